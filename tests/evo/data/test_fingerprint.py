"""Data that change are noticed: any image, label, file or row; and what did not change has the same fingerprint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.frames import load
from analysis.sentences import describe_comparability, describe_data_changes
from evo.data import image_folders, torch_datasets
from evo.data.datasets import DATASETS
from evo.data.fingerprint import check_fingerprint, fingerprint, forget_data, hash_images
from evo.data.source import Coverage
from evo.data.torch_datasets import DatasetItems
from evo.round.__main__ import main
from spaces.library.named_spaces import load_space
from studies.config import DataSection, StudyConfig, check_config
from studies.database.rows import StoredRun
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.round.test_control import POOL, config

pytestmark = pytest.mark.usefixtures("unpublished")


@pytest.fixture(autouse=True)
def anew() -> None:
    """No fingerprint is remembered from another test."""
    forget_data()


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


WHOLE = "11792ea8b0a6ec65fe4aa6f71d0408f8d19e6a015af7fa3fccb5907b47a3702e"
"""Of ``pictures``, by release 0.1."""

SAMPLED = "b908ab9ee316736f04aab9dbdc850e981931ed386a63dc6c131aeb845cfec09f"
"""The same, were it a sample of two of the fifteen training images."""

NOW = "d074f1da1cd0b2e6b48bcba96090d41c7fa069feb296e6e828b733ab90c566c4"


def pictures(root: Path) -> StudyConfig:
    """Cats and dogs in files of one size."""
    for place, label in enumerate(("cat", "dog")):
        (root / label).mkdir()
        for i in range(9):
            first = 100 * place + 10 * i
            (root / label / f"{i}.ppm").write_bytes(b"P6 2 2 255\n" + bytes(range(first, first + 12)))
    return settings(name="images", path=str(root))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few images are many."""
    monkeypatch.setattr(image_folders, "HASHED_IMAGES", 2)
    monkeypatch.setattr(torch_datasets, "HASHED_IMAGES", 2)


def begun(config: StudyConfig, sha256: str) -> Any:
    return SimpleNamespace(config=config, data_sha256=sha256, name="begun")


def changed(config: StudyConfig, *edits: tuple[str, bytes]) -> StudyConfig:
    """The same folder with the last bytes of some files replaced."""
    for name, end in edits:
        path = Path(config.data.path) / name
        path.write_bytes(path.read_bytes()[: -len(end)] + end)
    forget_data()
    return config


def test_few_images_have_the_fingerprint_that_they_always_had(tmp_path: Path) -> None:
    config = pictures(tmp_path)
    assert fingerprint(config) == fingerprint(config, coverage="sample") == WHOLE


@pytest.mark.usefixtures("many")
def test_of_many_images_each_counts_whole(tmp_path: Path) -> None:
    config = pictures(tmp_path)
    assert (fingerprint(config, coverage="sample"), fingerprint(config)) == (SAMPLED, NOW)
    changed(config, ("cat/1.ppm", b"\0"))
    assert fingerprint(config, coverage="sample") == SAMPLED
    assert fingerprint(config) != NOW


@pytest.mark.usefixtures("many")
def test_of_too_many_bytes_a_piece_of_each_image_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folders, "HASHED_BYTES", 100)
    monkeypatch.setattr(image_folders, "PIECE", 4)
    config = pictures(tmp_path)
    pieces = fingerprint(config)
    assert pieces != NOW
    assert fingerprint(changed(config, ("cat/1.ppm", b"\0"))) == pieces
    assert fingerprint(changed(config, ("cat/1.ppm", bytes(12)))) != pieces


@pytest.mark.usefixtures("many")
def test_a_run_that_was_begun_with_a_sampled_fingerprint_goes_on_with_it(tmp_path: Path) -> None:
    config = pictures(tmp_path)
    old, new = begun(config, SAMPLED), begun(config, NOW)
    assert check_fingerprint(old, accept=False) == SAMPLED
    assert check_fingerprint(new, accept=False) == NOW
    assert hash_images(config.data, old) == hash_images(config.data.model_copy(), old) != hash_images(config.data, new)
    assert hash_images(config.data, new) == hash_images(config.data)
    changed(config, ("cat/0.ppm", b"\0"))
    for run in (old, new):
        with pytest.raises(EvoError, match="was begun on data with the fingerprint"):
            check_fingerprint(run, accept=False)
        assert check_fingerprint(run, accept=True) == fingerprint(config)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(("items_", "bytes_", "noticed"), [(10, 160, True), (10, 159, False), (9, 160, False)])
def test_of_many_items_all_count_where_they_are_decoded_soon(
    monkeypatch: pytest.MonkeyPatch, items_: int, bytes_: int, noticed: bool
) -> None:
    monkeypatch.setattr(torch_datasets, "DECODED_ITEMS", items_)
    monkeypatch.setattr(torch_datasets, "DECODED_BYTES", bytes_)
    x = np.arange(160, dtype=np.uint8).reshape(10, 4, 4)
    one, other = ([(image, 0) for image in images] for images in (x, np.where(x == 16, 0, x)))
    items, others = DatasetItems.of("items", one), DatasetItems.of("items", other)
    assert (list(items.content("usual")) != list(others.content("usual"))) == noticed
    assert list(items.content("sample")) == list(others.content("sample"))


@pytest.mark.usefixtures("many")
def test_how_large_items_are_is_not_told_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_datasets, "DECODED_BYTES", 1000)
    sizes = [2, *[30] * 9]
    items = DatasetItems(
        "items", ([(np.zeros((n, n), np.uint8), 0) for n in sizes],), np.array([(0, i) for i in range(10)])
    )
    assert len(list(items.content("usual"))) == len(list(items.content("sample"))) == 1 + 2


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("coverage", ["usual", "sample"])
def test_a_run_on_many_items_goes_on_with_the_fingerprint_that_it_was_begun_with(
    monkeypatch: pytest.MonkeyPatch, coverage: Coverage
) -> None:
    made = [(np.full((4, 4), 10 * i, np.uint8), i % 2) for i in range(20)]
    monkeypatch.setitem(DATASETS, "own", lambda section: made)
    config = settings(name="digits").model_copy(update={"data": DataSection(name="own", in_memory=False)})
    known = fingerprint(config, coverage)
    assert (known == fingerprint(config)) == (coverage == "usual")
    run = begun(config, known)
    assert check_fingerprint(run, accept=False) == known
    assert (hash_images(config.data, run) == hash_images(config.data)) == (coverage == "usual")
    made[0] = (np.full((4, 4), 255, np.uint8), 0)
    forget_data()
    with pytest.raises(EvoError, match="was begun on data with the fingerprint"):
        check_fingerprint(run, accept=False)


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    config = pictures(tmp_path)
    (tmp_path / "cat" / "3.ppm").unlink()
    (tmp_path / "cat" / "3.ppm").symlink_to("nowhere.ppm")
    with pytest.raises(
        EvoError, match=r"cat/3\.ppm cannot be read \(No such file or directory\): replace or remove it"
    ):
        fingerprint(config)


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


def with_latency(path: Path, milliseconds: float) -> StudyConfig:
    """Settings without images, and a latency table that says so much of everything."""
    path.write_text(f"op,c_in,c_out,stride,size,median_ms\nmb_k3_e1,8,8,1,8,{milliseconds}\n")
    other = {"latency": {"path": str(path)}, "evaluator": {"kind": "tabular", "path": "none.csv"}}
    return check_config({"space": {"name": "digits"}, "evolution": {"method": "fixed"}, **other}, "test")


def stored(config: StudyConfig, data: str) -> StoredRun:
    return StoredRun(1, "made", config, load_space("digits"), max_cost=1.0, min_accuracy=0.0, data_sha256=data)


def test_a_latency_table_that_changed_is_not_mixed_in(tmp_path: Path) -> None:
    config = with_latency(tmp_path / "lut.csv", 0.5)
    run = stored(config, fingerprint(config))
    assert check_fingerprint(run, accept=False) == run.data_sha256
    now = fingerprint(with_latency(tmp_path / "lut.csv", 1120))
    with pytest.raises(EvoError, match=r"images, tables, or the latency table '.*lut.csv'\) were changed"):
        check_fingerprint(run, accept=False)
    assert check_fingerprint(run, accept=True) == now != run.data_sha256


@pytest.mark.usefixtures("many")
def test_a_run_of_release_0_1_goes_on_with_latencies_and_a_sample_of_many_images(tmp_path: Path) -> None:
    config = pictures(tmp_path)
    latency = with_latency(tmp_path / "lut.csv", 0.5).latency
    old = begun(config.model_copy(update={"latency": latency}), SAMPLED)
    assert fingerprint(old.config) not in (SAMPLED, NOW)
    assert check_fingerprint(old, accept=False) == SAMPLED
    assert hash_images(config.data, old) != hash_images(config.data)


def test_a_run_from_before_latency_tables_counted_goes_on(tmp_path: Path) -> None:
    config = with_latency(tmp_path / "lut.csv", 0.5)
    run = stored(config, fingerprint(config.model_copy(update={"latency": None})))
    assert check_fingerprint(run, accept=False) == run.data_sha256
