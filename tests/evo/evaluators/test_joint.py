"""A network that is trained together with its cuts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from evo.alone.charge import round_macs
from evo.console import untracked
from evo.data.loading import load_dataset
from evo.evaluators.cuts.judge import CutsJudge
from evo.evaluators.cuts.network import cuts_space
from evo.round.context import fit_context, open_round, run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from evo.workers.ranks import ProcessGroup
from spaces.costs.table import count_costs
from spaces.pretrained.cut_space import whole_network
from studies.config import StudyConfig
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.conftest import interrupted_at
from tests.evo.evaluators.cut_examples import judge_of, network_folder, settings

network = pytest.fixture(scope="module")(network_folder)

PLAIN = {"importance": "taylor", "channel_images": 64, "refit": True}
JOINT = PLAIN | {"joint": {"epochs": 3, "cuts": 2, "learning_rate": 0.05}}


def judge_for(config: StudyConfig, folder: Path, stop_at: int | None = None) -> CutsJudge:
    folder.mkdir(exist_ok=True)
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        run = begin_run(store, "cuts", config)
        if stop_at is not None:
            with pytest.raises(KeyboardInterrupt):
                judge_of(run_context(run, store, folder / "files", map_inline, interrupted_at(stop_at)))
        return judge_of(run_context(run, store, folder / "files", map_inline, untracked))


def test_cuts_lose_less_when_they_were_trained_too(network: Path, tmp_path: Path) -> None:
    """Beside the network that is fine-tuned alone for as many epochs."""
    alone = judge_for(settings(network, evaluator=PLAIN | {"epochs": 6}), tmp_path)
    together = judge_for(settings(network, evaluator=JOINT), tmp_path / "joint")
    assert fmean(together.losses.values()) < 0.7 * fmean(alone.losses.values())
    assert together([whole_network(alone.space)])[0].accuracy > 0.5  # a tenth would be chance


@pytest.mark.parametrize("stop_at", [9, 11, 12])
def test_an_interrupted_training_ends_with_the_same_bits(network: Path, tmp_path: Path, stop_at: int) -> None:
    """The fine-tuning takes 8 steps, so it is not what is interrupted; the training of both takes 12."""
    config = settings(network, evaluator=JOINT | {"epochs": 2, "batch_size": 64})
    undisturbed = judge_for(config, tmp_path)
    killed = judge_for(config, tmp_path / "killed", stop_at)
    assert killed.sha256 == undisturbed.sha256
    assert not [path for path in (tmp_path / "killed").rglob("*") if path.suffix in (".joint", ".progress")]


def test_it_is_paid_for(network: Path) -> None:
    """Three epochs of 256 of 280 images, three passes each: of the whole network, and of two cuts of the mean size."""
    config, plain = settings(network, evaluator=JOINT), settings(network, evaluator=PLAIN)
    images = load_dataset(config.data, "cpu")
    space = cuts_space(config)
    spent, alone = (round_macs(one, space, 1, [], {}, [], images) for one in (config, plain))
    assert spent is not None
    assert alone is not None
    whole = count_costs(space, whole_network(space)).macs
    mean_cut = ((spent.training - alone.training) / (3 * 3 * 256) - whole) / 2
    assert 0.2 * whole < mean_cut < 0.9 * whole
    assert spent.scoring == alone.scoring


def test_a_pool_takes_no_part(network: Path, tmp_path: Path) -> None:
    pool = {"operations": ["mb_k3_e1"], "epochs": 1, "at_once": True}
    assert judge_for(settings(network, evaluator=JOINT | {"pool": pool}), tmp_path).made == 3


def test_one_process_trains(network: Path, tmp_path: Path) -> None:
    config = settings(network, evaluator=JOINT)
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        context = open_round(run_context(begin_run(store, "cuts", config), store, tmp_path / "files", map_inline), 1)
        two = replace(fit_context(context), group=ProcessGroup(0, 2, True))
        with pytest.raises(EvoError, match=r"torchrun has started 2: start the round without torchrun"):
            context.shared.evaluator.fit(context.space, two)
