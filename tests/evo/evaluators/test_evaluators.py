"""What every evaluator promises, and what each does by itself."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file

from evo.evaluators import FitContext, Judge
from evo.evaluators.registry import EVALUATORS
from evo.round.new_run import first_space
from evo.workers.executors import local_executor
from evo.workers.protocol import Evaluate
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network
from spaces.space import SearchSpace
from studies.config import StudyConfig, check_config
from studies.records import Evaluation, EvoError

EVOLUTION = {"method": "fixed"}
QUICK = {"epochs": 1, "batch_size": 64}


@pytest.fixture(scope="module")
def table_file(space: SearchSpace, table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of some architectures of the digits space, accuracies in percent."""
    rng = Random(0)
    archs = [space.sample(rng) for _ in range(10)]
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    rows = [f"{arch},{50 + i}" for i, arch in enumerate(archs)]
    path.write_text("\n".join(["arch,top1", *rows]))
    return path


@pytest.fixture(scope="module")
def network(space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the digits space in a folder, as ``evo.deliver`` makes them."""
    folder = tmp_path_factory.mktemp("network")
    described = describe_network(
        Architecture(tuple(layer.candidates[2] for layer in space.layers)), space, [0.3], [0.4]
    )
    (folder / DESCRIPTION).write_text(json.dumps(described))
    torch.manual_seed(0)
    save_file(build_described(described).state_dict(), folder / WEIGHTS)
    return folder


@pytest.fixture(scope="module", params=sorted(EVALUATORS))
def config(request: pytest.FixtureRequest, table_file: Path, network: Path) -> StudyConfig:
    section = {
        "tabular": {"path": str(table_file), "separator": "|", "accuracy_column": "top1", "accuracy_scale": 0.01},
        "scratch": QUICK,
        "oneshot": QUICK,
        "blockwise": {**QUICK, "teacher": QUICK, "candidates": 20},
        "cuts": {**QUICK, "network": str(network), "shares": [0.5]},
    }[request.param]
    evaluator = {"kind": request.param, **section}
    data = {"name": "digits", "max_images": 300}
    name = "pretrained" if request.param == "cuts" else "digits"
    return check_config({"space": {"name": name}, "data": data, "evaluator": evaluator, "evolution": EVOLUTION}, "test")


@pytest.fixture(scope="module")
def first(config: StudyConfig) -> SearchSpace:
    """The space in which a run begins."""
    return first_space(config)


@pytest.fixture
def archs(first: SearchSpace) -> list[Architecture]:
    rng = Random(0)
    return [first.sample(rng) for _ in range(4)]


@pytest.fixture(scope="module")
def fit(config: StudyConfig, first: SearchSpace) -> Callable[[Path], Judge]:
    evaluator = EVALUATORS[config.evaluator.kind](config, first)
    return lambda folder: evaluator.fit(first, FitContext(1, 7, cost_table(first), folder))


@pytest.fixture(scope="module")
def folder(config: StudyConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``judge`` keeps what it has learned."""
    return tmp_path_factory.mktemp(config.evaluator.kind)


@pytest.fixture(scope="module")
def judge(fit: Callable[[Path], Judge], folder: Path) -> Judge:
    """Fitted once for all tests of its kind."""
    return fit(folder)


def answers(evaluations: list[Evaluation]) -> list[tuple[object, ...]]:
    return [(e.arch, e.judge, e.accuracy, e.nll, e.macs, e.params) for e in evaluations]


def test_answers_come_in_order_with_exact_costs(judge: Judge, archs: list[Architecture], first: SearchSpace) -> None:
    found = judge(archs)
    assert [e.arch for e in found] == archs
    assert {e.judge for e in found} == {judge.name}
    assert [[e.macs, e.params] for e in found] == cost_table(first).count(archs)[:, :2].tolist()
    assert all(0 <= e.accuracy <= 1 for e in found)
    assert [e.latency_ms for e in found] == [None] * 4


def test_an_answer_depends_on_its_architecture_alone(judge: Judge, archs: list[Architecture]) -> None:
    together = answers(judge(archs))
    assert answers(judge(archs[::-1])) == together[::-1]
    assert answers(judge(archs[1:2])) == together[1:2]


def test_fitting_twice_gives_the_same_judge(
    judge: Judge, fit: Callable[[Path], Judge], archs: list[Architecture], folder: Path, tmp_path: Path
) -> None:
    again, elsewhere = fit(folder), fit(tmp_path / "elsewhere")
    assert judge.name == again.name == elsewhere.name
    assert answers(judge(archs)) == answers(again(archs)) == answers(elsewhere(archs))


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Evaluate]:
    with local_executor(2, torch.get_num_threads()) as evaluate:
        yield evaluate


def test_a_judge_travels_to_worker_processes(judge: Judge, archs: list[Architecture], two_workers: Evaluate) -> None:
    assert len(pickle.dumps(judge)) < 100_000
    assert answers(two_workers(judge, archs)) == answers(judge(archs))


def test_no_architectures_no_answers(judge: Judge) -> None:
    assert judge([]) == []


def test_an_architecture_that_the_table_lacks_costs_one_trial(
    table_file: Path, space: SearchSpace, table: CostTable
) -> None:
    section = {
        "kind": "tabular",
        "path": str(table_file),
        "separator": "|",
        "accuracy_column": "top1",
        "accuracy_scale": 0.01,
    }
    config = check_config({"space": {"name": "digits"}, "evaluator": section, "evolution": EVOLUTION}, "test")
    judge = EVALUATORS["tabular"](config, space).fit(space, FitContext(1, 0, table, table_file.parent))
    stranger = Architecture(tuple(layer.genes[0] for layer in space.layers))
    known = judge.measurable()
    assert known is not None
    assert len(list(known)) == 10
    assert stranger not in known
    lacking, measured = judge([stranger, next(iter(known))])
    assert lacking.failed == f"{str(table_file)!r} has no row for it"
    assert (measured.failed, measured.accuracy) == ("", 0.5)


def test_a_table_that_is_not_there_says_where_it_may_be(space: SearchSpace) -> None:
    section = {"kind": "tabular", "path": "no/such.csv"}
    config = check_config({"space": {"name": "digits"}, "evaluator": section, "evolution": EVOLUTION}, "test")
    with pytest.raises(EvoError, match="no such table here, nor below the folder EVO_DATA"):
        EVALUATORS["tabular"](config, space)


def test_a_damaged_checkpoint_is_told(space: SearchSpace, table: CostTable, tmp_path: Path) -> None:
    evaluator = {"kind": "oneshot", **QUICK}
    data = {"name": "digits", "max_images": 300}
    config = check_config(
        {"space": {"name": "digits"}, "data": data, "evaluator": evaluator, "evolution": EVOLUTION}, "test"
    )
    judge = EVALUATORS["oneshot"](config, space).fit(space, FitContext(1, 7, table, tmp_path))
    weights, _ = judge.files()["weights"]
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EvoError, match="its sha256 has changed"):
        judge([space.sample(Random(0))])


def test_weights_that_another_run_left_behind_are_not_taken(
    space: SearchSpace, table: CostTable, tmp_path: Path
) -> None:
    names = []
    for seed, epochs in ((7, 1), (8, 1), (7, 2), (7, 1)):
        evaluator = {"kind": "oneshot", "epochs": epochs, "batch_size": 64}
        data = {"name": "digits", "max_images": 240}
        config = check_config(
            {"space": {"name": "digits"}, "data": data, "evaluator": evaluator, "evolution": EVOLUTION}, "test"
        )
        names.append(EVALUATORS["oneshot"](config, space).fit(space, FitContext(1, seed, table, tmp_path)).name)
    assert names[0] == names[3]
    assert len(set(names)) == 3
