"""Every evaluator computes in bf16 where it is asked to, all of it, and what comes of it has names of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evo.evaluators import FitContext, Judge
from evo.evaluators.cuts import evaluator
from evo.evaluators.oneshot.evaluator import OneShotJudge
from evo.evaluators.registry import evaluator_of
from evo.round.new_run import prepared_space
from spaces.costs.table import cost_table
from studies.config import StudyConfig, load_config
from studies.config.loading import config_from_mapping
from tests.evo.evaluators.cut_examples import network_folder, settings

network = pytest.fixture(scope="module")(network_folder)

SMALL = ("data.max_images=200", "evaluator.epochs=1", "evaluator.batch_size=40", "evaluator.eval_batch_size=60")
PRESETS: dict[str, tuple[str, ...]] = {
    "digits": SMALL,
    "nse_digits": (*SMALL, "evaluator.gates.update_every=2"),
    "autospace_digits": (
        *SMALL, "evaluator.cells.epochs=2", "evaluator.cells.steps=4", "evaluator.cells.networks=1", "evolution.population=4",
        "evaluator.cells.last_networks=1", "evaluator.cells.measured_images=16", "evolution.k=2", "evolution.references=0",
    ),
    "dna_digits": (*SMALL, "evaluator.teacher.epochs=1", "evaluator.teacher.batch_size=40", "evaluator.candidates=3"),
    "scratch": SMALL[:3],
}  # fmt: skip


def preset(name: str, precision: str) -> StudyConfig:
    settings = [*PRESETS[name], f"precision={precision}"]
    if name != "scratch":
        return load_config(name, settings)
    sections = {"space": {"name": "digits"}, "data": {"name": "digits"}, "evolution": {"method": "fixed"}}
    return config_from_mapping(sections | {"evaluator": {"kind": "scratch"}}, settings)


def cuts(network: Path, precision: str) -> StudyConfig:
    said = {
        "refit": True, "importance": "taylor", "channel_images": 64, "epochs": 1, "batch_size": 40, "loss": "divergence",
        "joint": {"epochs": 1, "cuts": 1, "learning_rate": 0.05},
        "pool": {"operations": ["conv_k3_h16"], "at_once": True, "epochs": 1, "batch_size": 40},
    }  # fmt: skip
    data = {"name": "digits", "max_images": 200, "validation_fraction": 0.3}
    return settings(network, evaluator=said, data=data).model_copy(update={"precision": precision})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of every pass through a convolution, whether it was in bfloat16."""
    seen: list[bool] = []
    whole = nn.Conv2d.forward

    def watched(self: nn.Conv2d, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and x.device.type == "cpu":  # where shapes are asked for, there are no numbers
            seen.append(torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16)
        return whole(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    return seen


def fitted(config: StudyConfig, folder: Path) -> tuple[Judge, list[Any]]:
    """A judge, and what it says of some networks."""
    folder.mkdir()
    space = prepared_space(config)
    context = FitContext(1, 5, cost_table(space), folder)
    judge = evaluator_of(config, space).fit(space, context)
    rng = Random(0)
    archs = [judge.space.sample(rng) for _ in range(3)]
    return judge, [(answer.judge, answer.accuracy, answer.nll) for answer in judge(archs)]


def compare(config: Callable[[str], StudyConfig], folder: Path, passes: list[bool]) -> list[bool]:
    """Fit in both precisions and compare; gives the passes of bf16."""
    judge, full = fitted(config("fp32"), folder / "fp32")
    assert passes
    assert not any(passes)
    passes.clear()
    other, low = fitted(config("bf16"), folder / "bf16")
    assert other.name.endswith(":bf16")
    assert not judge.name.endswith(":bf16")
    assert [answer[1:] for answer in low] != [answer[1:] for answer in full]
    assert [float(answer[1]) for answer in low] == pytest.approx([float(answer[1]) for answer in full], abs=0.35)
    files = [
        {path.name for path in (folder / name).iterdir() if "delivery" not in path.name} for name in ("fp32", "bf16")
    ]
    assert not files[0] & files[1]
    return passes


@pytest.mark.parametrize("name", PRESETS)
def test_every_pass_is_in_bf16(name: str, tmp_path: Path, passes: list[bool]) -> None:
    assert all(compare(lambda precision: preset(name, precision), tmp_path, passes))


def test_of_cuts_all_but_what_is_known_of_their_channels(
    network: Path, tmp_path: Path, passes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their importance and their moments are statistics, which stay in fp32."""
    for name in ("measure_importance", "measure_moments"):
        monkeypatch.setattr(f"evo.evaluators.cuts.evaluator.{name}", without_passes(name, passes))
    assert all(compare(lambda precision: cuts(network, precision), tmp_path, passes))


def without_passes(name: str, passes: list[bool]) -> Callable[..., Any]:
    """One of the evaluator's functions, whose passes are in fp32 and are not counted."""
    whole = getattr(evaluator, name)

    def measured(*given: Any) -> Any:
        before = len(passes)
        found = whole(*given)
        assert len(passes) > before
        assert not any(passes[before:])
        del passes[before:]
        return found

    return measured


def test_scores_of_one_file_have_another_name_in_bf16(tmp_path: Path) -> None:
    """Its weights are the same, what they say is not: which is why the judge's name tells it, beside the file's."""
    config = preset("digits", "fp32")
    judge, _ = fitted(config, tmp_path / "one")
    assert isinstance(judge, OneShotJudge)
    other = replace(judge, config=config.model_copy(update={"precision": "bf16"}))
    assert other.name == f"{judge.name}:bf16"
