"""Operations that no cut gives are made when evolution tries them, once for all runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evo.alone.start import Start
from evo.console import untracked
from evo.data.loading import load_dataset
from evo.evaluators.cuts.evaluator import Cuts
from evo.evaluators.cuts.imitation import Imitations
from evo.evaluators.cuts.network import made_choices, read_pool
from evo.methods.worth_making import worth_of_waiting
from evo.round.algorithm import run_round
from evo.round.context import RunContext, fit_context, open_round, run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.errors import SpaceError
from spaces.networks.network import MixedLayer, Network
from spaces.pretrained.cut_space import whole_network
from studies.config import ConfigError, StudyConfig, load_config
from studies.database.measured import measured_rounds
from studies.database.store import open_store
from tests.evo.conftest import interrupted_at
from tests.evo.evaluators.cut_examples import judge_of, network_folder, settings

POOL = {"operations": ["mb_k3_e1", "mb_k7_e2"], "epochs": 2, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network_folder(tmp_path_factory)


def pooled(network: Path, **pool: Any) -> StudyConfig:
    return settings(
        network,
        evaluator={"pool": POOL | pool, "shares": [0.5]},
        evolution={"method": "evidence", "k": 9},
        search={"evaluations": 16},
    )


@pytest.fixture(scope="module")
def with_pool(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunContext]:
    """Two rounds, of which the second tries operations that waited in the first."""
    folder = tmp_path_factory.mktemp("pool")
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        shared = run_context(begin_run(store, "pool", pooled(network)), store, folder / "files" / "pool", map_inline)
        for n in (1, 2):
            run_round(shared, n)
        yield shared


def test_operations_wait_where_shapes_allow_them_and_are_made_when_they_are_tried(with_pool: RunContext) -> None:
    first, second = with_pool.store.rounds(with_pool.run)
    assert [layer.pending for layer in first.space.layers] == [("mb_k3_e1", "mb_k7_e2")] * 3
    tried = [
        (i, op) for i, layer in enumerate(second.space.layers) for op in layer.candidates if op in POOL["operations"]
    ]
    assert tried
    assert made_choices(with_pool.run.space, first.space) == []
    assert made_choices(with_pool.run.space, second.space) == tried
    assert len(list((with_pool.folder.parent / "library").glob("operation-*.safetensors"))) == len(tried)
    assert "made" not in first.stats
    assert second.stats["made"]["operations"] == len(tried)


def test_what_was_made_imitates_the_layer_better_than_fresh_weights_do(with_pool: RunContext) -> None:
    (second,) = with_pool.store.rounds(with_pool.run)[1:]
    judge = judge_of(with_pool, 2)
    assert judge.pool is not None
    made_weights = read_pool(judge.pool)
    images = load_dataset(with_pool.config.data, with_pool.config.device)
    whole = Cuts(with_pool.config, with_pool.run.space).fine_tuned(judge.checkpoint)
    network = Network(whole.arch, whole.space).eval()
    network.load_state_dict(dict(whole.weights))
    x, _ = next(iter(images.validation.batches(64)))
    for place, op in made_choices(with_pool.run.space, second.space):
        with torch.no_grad():
            given = network.stem(x)
            for layer in network.layers[:place]:
                given = layer(given)
            target, errors = network.layers[place](given), []
            for made in (False, True):
                torch.manual_seed(5)
                mixed = MixedLayer(whole.space.layers[place].shape, (op,), whole.space.merge).train()
                own = {f"ops.{op}.{name}": tensor for name, tensor in made_weights[place, op].items()}
                if made:
                    mixed.load_state_dict(own)
                errors.append(float((mixed(given) - target).square().mean()))
        assert errors[1] < 0.8 * errors[0]


def test_a_network_with_a_made_operation_is_scored_and_begins_with_its_weights(with_pool: RunContext) -> None:
    store, run = with_pool.store, with_pool.run
    second = store.rounds(run)[1]
    place, op = made_choices(run.space, second.space)[0]
    whole = whole_network(run.space)
    arch = Architecture((*whole.genes[:place], op, *whole.genes[place + 1 :]))
    judge = judge_of(with_pool, 2)
    start = Start.of(store, run, load_dataset(run.config.data, run.config.device))
    assert start is not None
    given = start.weights(arch, second.space.restrict_to(arch))
    assert given is not None
    assert judge.pool is not None
    for name, tensor in read_pool(judge.pool)[place, op].items():
        assert torch.equal(given[f"layers.{place}.ops.{op}.{name}"], tensor)
    (score,) = judge([arch])
    assert judge.losses[place, op] == pytest.approx((score.nll or 0.0) - (judge([whole])[0].nll or 0.0), abs=1e-6)


def test_what_one_run_has_made_another_one_finds(network: Path, with_pool: RunContext) -> None:
    """The same network, data, layers and operations; the other run tries all in its first round."""
    library = with_pool.folder.parent / "library"
    before = {path: path.stat().st_mtime_ns for path in library.iterdir()}
    config = with_pool.config.model_copy(
        update={"search": with_pool.config.search.model_copy(update={"evaluations": 3})}
    )
    with open_store(f"sqlite:///{library.parent}/other.db") as store:
        other = run_context(begin_run(store, "other", config), store, library.parent / "other", map_inline)
        judge = judge_of(other)
        makers = Imitations(
            config, config.evaluator.pool, Cuts(config, other.run.space).fine_tuned(judge.checkpoint), judge.sha256, library,
            other.folder, sources=fit_context(open_round(other, 1)).sources,
        )  # type: ignore[arg-type, union-attr]  # fmt: skip
        choices = made_choices(with_pool.run.space, with_pool.store.rounds(with_pool.run)[1].space)
        assert {makers.path(choice) for choice in choices} == set(before)
        makers(choices)
    assert {path: path.stat().st_mtime_ns for path in library.iterdir()} == before


def test_all_at_once_are_candidates_of_the_first_round(network: Path, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = begin_run(store, "at once", pooled(network, at_once=True))
        assert all(layer.candidates[-2:] == ("mb_k3_e1", "mb_k7_e2") for layer in run.space.layers)
        assert not any(layer.pending for layer in run.space.layers)


def test_a_pool_that_nothing_would_try_is_refused(network: Path) -> None:
    with pytest.raises(ConfigError, match=r"set evolution\.make, to how many are made in a round, evolution\.k"):
        settings(network, evaluator={"pool": POOL})


def test_a_round_makes_what_is_most_worth_it(network: Path, tmp_path: Path) -> None:
    """One operation a round, which nothing but ``worth_of_waiting`` chooses."""
    config = settings(
        network,
        evaluator={"pool": POOL, "shares": [0.5]},
        evolution={"method": "evidence", "make": 1},
        search={"evaluations": 6},
    )
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        shared = run_context(begin_run(store, "pool", config), store, tmp_path / "files" / "pool", map_inline)
        for n in (1, 2, 3):
            run_round(shared, n)
        spaces = [row.space for row in store.rounds(shared.run)]
        choices = [made_choices(shared.run.space, space) for space in spaces]
        first, second = measured_rounds(store, config, store.rounds(shared.run)[:2])
        second = replace(second, earlier=(first,))
        worth = worth_of_waiting(first, cost_table(spaces[0]))
        assert choices[:2] == [[], [max(worth, key=worth.__getitem__)]]
        assert set(choices[2]) > set(choices[1]) or not max(worth_of_waiting(second, cost_table(spaces[1])).values())
        made = [row.stats.get("made", {}).get("operations", 0) for row in store.rounds(shared.run)]
        assert made == [0, 1, len(choices[2]) - 1]


@pytest.mark.parametrize(
    ("evolution", "expected"),
    [
        ({"k": 5, "make": 1}, "both say what is tried next"),
        ({"make": 0}, "evolution.make"),
    ],
)
def test_what_evolution_cannot_do_is_told(network: Path, evolution: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        settings(network, evaluator={"pool": POOL}, evolution={"method": "evidence"} | evolution)


@pytest.mark.parametrize("evaluator", [{}, {"pool": POOL | {"at_once": True}}])
def test_nothing_can_be_made_where_nothing_waits(network: Path, evaluator: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=r"makes operations that wait, and none does: give evaluator\.pool\.operations"
    ):
        settings(network, evaluator=evaluator, evolution={"method": "evidence", "make": 1})


def test_only_losses_that_add_up_tell_what_is_worth_making() -> None:
    with pytest.raises(ConfigError, match=r"evolution\.make weighs what single operations lose"):
        load_config("digits", ["evolution.make=1"])


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (["nonsense"], "'nonsense' in the pool fits no layer of the network: unknown operation"),
        (["id"], "'id' in the pool is no operation that could be made"),
        (["row_d2_w8"], "is no operation that could be made"),
        (["size_4"], "is no operation that could be made"),
    ],
)
def test_an_operation_that_nobody_could_make_is_refused(
    network: Path, tmp_path: Path, pool: list[str], expected: str
) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store, pytest.raises(SpaceError, match=re.escape(expected)):
        begin_run(store, "pool", pooled(network, operations=pool))


def test_two_runs_may_make_one_operation_at_a_time(with_pool: RunContext, tmp_path: Path) -> None:
    """Each in its own folder; what is in the library is whole, and the same bytes."""
    judge, config = judge_of(with_pool, 2), with_pool.config
    whole, library = Cuts(config, with_pool.run.space).fine_tuned(judge.checkpoint), tmp_path / "library"
    choice = made_choices(with_pool.run.space, with_pool.store.rounds(with_pool.run)[1].space)[0]
    stopped, other = (
        Imitations(config, config.evaluator.pool, whole, judge.sha256, library, tmp_path / name, track)  # type: ignore[attr-defined]
        for name, track in (("one", interrupted_at(5)), ("two", untracked))
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.make(choice)
    assert list((tmp_path / "one").glob("*.progress"))
    made = other.make(choice).read_bytes()
    other.path(choice).unlink()
    assert replace(stopped, track=untracked).make(choice).read_bytes() == made
    assert [path.suffix for path in library.iterdir()] == [".safetensors"]
