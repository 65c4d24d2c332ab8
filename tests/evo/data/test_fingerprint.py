"""Data that change are noticed: any image, label, file or row; and what did not change has the same fingerprint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.frames import load
from analysis.sentences import describe_comparability, describe_data_changes
from evo.data.fingerprint import check_fingerprint, fingerprint
from evo.round.__main__ import main
from studies.config import StudyConfig, check_config
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.round.test_control import POOL, config

pytestmark = pytest.mark.usefixtures("unpublished")


def settings(**data: object) -> StudyConfig:
    method = {"method": "fixed"}
    return check_config(
        {"space": {"name": "digits"}, "data": data, "evaluator": {"kind": "scratch"}, "evolution": method}, "test"
    )


def arrays(path: Path, **other: np.ndarray) -> StudyConfig:
    rng = np.random.default_rng(0)
    parts = {
        "x_train": rng.integers(0, 256, (20, 4, 4), np.uint8), "y_train": np.arange(20) % 2,
        "x_test": rng.integers(0, 256, (4, 4, 4), np.uint8), "y_test": np.arange(4) % 2,
    }  # fmt: skip
    np.savez(path, **parts | other)  # type: ignore[arg-type]
    return settings(name="arrays", path=str(path))


def test_one_pixel_and_one_label_matter(tmp_path: Path) -> None:
    same = [fingerprint(arrays(tmp_path / name)) for name in ("a.npz", "b.npz")]
    with np.load(tmp_path / "a.npz") as file:
        x, y = file["x_train"].copy(), file["y_test"].copy()
    x[3, 2, 1] ^= 1
    y[0] ^= 1
    others = [fingerprint(arrays(tmp_path / "c.npz", x_train=x)), fingerprint(arrays(tmp_path / "d.npz", y_test=y))]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 3


def test_files_of_a_folder_matter_by_class_name_size_and_content(tmp_path: Path) -> None:
    from PIL import Image

    found = []
    for number in range(4):
        folder = tmp_path / str(number)
        for label in ("cat", "dog"):
            (folder / label).mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / label / f"{i}.bmp")
        if number == 1:
            Image.new("RGB", (4, 4), (0, 9, 0)).save(folder / "cat" / "0.bmp")
        if number == 2:
            (folder / "cat" / "0.bmp").rename(folder / "dog" / "9.bmp")
        found.append(fingerprint(settings(name="images", path=str(folder))))
    assert found[0] == found[3]
    assert len(set(found)) == 3


def test_a_run_is_not_continued_on_other_data_unless_its_user_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from itertools import product

    storage, rows = f"sqlite:///{tmp_path}/evo.db", [f"{'|'.join(g)},{0.5}" for g in product(POOL, repeat=3)]
    work = [
        "--config",
        config(tmp_path, 'method = "pad_nas"', "\n".join(["arch,accuracy", *rows])),
        "--storage",
        storage,
    ]
    assert main(["1", *work, "--quiet"]) == 0
    with open_store(storage) as store:
        run = store.run("made")
        assert run.data_sha256 == fingerprint(run.config)
    (tmp_path / "table.csv").write_text("\n".join(["arch,accuracy", *rows]).replace(",0.5", ",0.6", 1))
    assert main(["2", *work, "--quiet"]) == 1
    told = capsys.readouterr().err
    with open_store(storage) as store:
        assert len(store.rounds(run)) == 1
        now = fingerprint(run.config)
        assert run.data_sha256
        assert run.data_sha256[:12] in told
        assert now[:12] in told
        assert "--accept-data-change" in told
        with pytest.raises(EvoError, match="was begun on data with the fingerprint"):
            check_fingerprint(run, accept=False)
    assert main(["3", *work, "--quiet", "--accept-data-change"]) == 0
    assert main(["4", *work, "--quiet"]) == 0
    with open_store(storage) as store:
        assert store.run("made").data_sha256 == now
        assert [row.stats.get("data_changed") for row in store.rounds(run)] == [
            None,
            [run.data_sha256, now],
            None,
            None,
        ]
        (said,) = describe_data_changes(load(store, run))
        assert said.startswith("The data changed before the end of round 2")
        assert "not comparable" in describe_comparability(load(store, run))
