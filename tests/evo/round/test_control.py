"""Control arms: the same start, data and budget; the verdict is right where the answer is known beforehand."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import pytest

from analysis.verdict import Verdict, verdicts
from evo.round.__main__ import main
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.database.store import open_store

pytestmark = pytest.mark.usefixtures("unpublished")


POOL = ("mb_k3_e1", "mb_k3_e3", "mb_k5_e1", "mb_k5_e3")
SPACE = SearchSpace("pool", (Layer(Shape(8, 8, 1, 8), POOL),) * 3, Stem(8, stride=1, c_in=1, size=8), Head(0, 10))
QUICK = """
[search]
evaluations = 24
population = 8
surrogate = false
"""


def config(folder: Path, evolution: str, table: str, search: str = QUICK) -> str:
    """A configuration with its space and its table of accuracies in ``folder``."""
    (folder / "space.json").write_text(SPACE.to_json())
    (folder / "table.csv").write_text(table)
    path = folder / "made.toml"
    path.write_text(
        f'[space]\nname = "pool"\npath = "{folder}/space.json"\n'
        f'[evaluator]\nkind = "tabular"\npath = "{folder}/table.csv"\nseparator = "|"\n'
        f"[evolution]\n{evolution}\n{search}"
    )
    return str(path)


def judged(folder: Path, path: str, rounds: int, seeds: int, *controls: str) -> list[Verdict]:
    storage = f"sqlite:///{folder}/evo.db"
    command = [str(rounds), "--config", path, "--storage", storage, "--quiet", "--seeds", str(seeds), *controls]
    assert main(command) == 0
    with open_store(storage) as store:
        return verdicts(store, store.run("made-seed2"))


def branches(gene: tuple[str, ...]) -> str:
    return "+".join(gene) or "skip"


@pytest.fixture(scope="module")
def treasure(tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    """One operation of the pool is worth a lot at every layer, and whoever was not dealt it can only get it by evolving."""
    folder = tmp_path_factory.mktemp("treasure")
    genes = [chosen for n in range(len(POOL) + 1) for chosen in combinations(POOL, n)]
    rows = [
        f"{'|'.join(map(branches, arch))},{0.1 + sum(0.25 * ('mb_k5_e1' in gene) for gene in arch)}"
        for arch in product(genes, repeat=3)
    ]
    path = config(folder, 'method = "nse"\nk = 2', "\n".join(["arch,accuracy", *rows]))
    return judged(folder, path, 2, 5, "--control", "--control", "random")


def test_where_evolving_must_help_the_verdict_says_so(treasure: list[Verdict]) -> None:
    assert [found.control for found in treasure] == ["fixed", "random"]
    for found in treasure:
        assert (len(found.evolved), found.rounds) == (5, 2)
        assert found.hypervolume.conclusion == "better"
        assert found.hypervolume.mean > 0.05
    assert "Evolving the space helped." in treasure[0].sentences()


def test_where_it_cannot_help_the_verdict_says_so(tmp_path: Path) -> None:
    """Every architecture of the space is measured, by both arms: no evolution can find more."""
    rows = [
        f"{'|'.join(arch)},{0.3 + 0.1 * sum('k5' in op for op in arch) + 0.03 * sum('e3' in op for op in arch)}"
        for arch in product(POOL, repeat=3)
    ]
    path = config(
        tmp_path, 'method = "pad_nas"\nrank = 1\nshare = 0.2', "\n".join(["arch,accuracy", *rows]),
        QUICK.replace("24", "64").replace("8", "32"),
    )  # fmt: skip
    (found,) = judged(tmp_path, path, 2, 3, "--control")
    assert (found.hypervolume.mean, found.hypervolume.conclusion) == (0, "no difference shown")
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        dropped = store.frame(
            "SELECT name FROM runs JOIN rounds ON run_id = runs.id JOIN choices ON round_id = rounds.id "
            "WHERE fate = 'dropped'"
        )
        assert set(dropped["name"]) == {"made", *(f"made-seed{seed}" for seed in range(1, 3))}
        assert "made-seed2-fixed" in store.runs()


def test_a_control_arm_begins_where_its_run_begins(treasure: list[Verdict], tmp_path: Path) -> None:
    path = config(tmp_path, 'method = "nse"\nk = 2', "arch,accuracy\nskip|skip|skip,0.1\n")
    storage = f"sqlite:///{tmp_path}/evo.db"
    main(["1", "--config", path, "--storage", storage, "--quiet", "--control"])  # the table lacks what is asked for
    with open_store(storage) as store:
        assert store.run("made").space == store.run("made-fixed").space


def test_an_arm_that_is_the_same_search_is_called_so(tmp_path: Path) -> None:
    """A rule that keeps everything."""
    rows = [f"{'|'.join(arch)},{0.3 + 0.1 * sum('k5' in op for op in arch)}" for arch in product(POOL, repeat=3)]
    path = config(tmp_path, 'method = "pad_nas"\nrank = 1000\nshare = 0.0', "\n".join(["arch,accuracy", *rows]))
    (found,) = judged(tmp_path, path, 2, 3, "--control")
    assert found.same_search
    assert found.sentences()[0].endswith("in any round: both arms are one and the same search.")
    assert [one.own for one in found.evolved] == [one.own for one in found.controls]


def test_a_table_has_no_networks_to_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, 'method = "pad_nas"', "arch,accuracy\nskip|skip|skip,0.1\n")
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["1", "--config", path, "--storage", storage, "--control", "uniform"]) == 1
    told = (
        "control uniform trains networks on images, and evaluator.kind = 'tabular' uses none: expected fixed or random"
    )
    assert told in capsys.readouterr().err
    with open_store(storage) as store:
        assert store.runs() == []
