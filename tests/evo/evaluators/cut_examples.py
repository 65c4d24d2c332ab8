"""A small network, a folder of it, and a run of its cuts: what several tests begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from evo.data.source import Images
from evo.evaluators.cuts.judge import CutsJudge
from evo.evaluators.cuts.network import cut_out
from evo.round.algorithm import fit_judge
from evo.round.clock import Clock
from evo.round.context import RunContext, open_round
from spaces.architecture import Architecture
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.pretrained.cut_space import whole_network
from spaces.space import SearchSpace
from studies.config import StudyConfig, check_config

MADE = SearchSpace(
    "made",
    (
        Layer(Shape(8, 8, 1, 8), ("mb_k5_e3",)),
        Layer(Shape(8, 16, 2, 8), ("mb_k3_e4_se25_swish",)),
        Layer(Shape(16, 16, 1, 4), ("conv_k3_h32",)),
    ),
    Stem(8, 1, activation="relu", c_in=1, size=8),
    Head(0, 10),
)


def network_folder(tmp_path_factory: pytest.TempPathFactory, space: SearchSpace = MADE) -> Path:
    """A folder with a network, as ``evo.deliver`` makes them."""
    folder = tmp_path_factory.mktemp("network")
    described = describe_network(whole_network(space), space, [0.3], [0.4])
    (folder / DESCRIPTION).write_text(json.dumps(described))
    torch.manual_seed(0)
    save_file(build_described(described).state_dict(), folder / WEIGHTS)
    return folder


def settings(network: Path, **sections: dict[str, Any]) -> StudyConfig:
    known: dict[str, dict[str, Any]] = {
        "space": {"name": "pretrained"},
        "data": {"name": "digits", "max_images": 400, "validation_fraction": 0.3},
        "evaluator": {
            "kind": "cuts",
            "network": str(network),
            "epochs": 3,
            "learning_rate": 0.1,
            "eval_batch_size": 64,
        },
        "search": {"evaluations": 10, "population": 5, "objective": "likelihood"},
        "evolution": {"method": "evidence"},
        "deliver": {"epochs": 6, "batch_size": 32, "learning_rate": 0.0, "mixup": 0, "ema": 0},
    }
    return check_config({name: known.get(name, {}) | sections.get(name, {}) for name in known | sections}, "test")


def judge_of(shared: RunContext, n: int = 1) -> CutsJudge:
    judge = fit_judge(open_round(shared, n), Clock({}))
    assert isinstance(judge, CutsJudge)
    return judge


def recalibrated_probabilities(judge: CutsJudge, arch: Architecture, images: Images, batch: int) -> Tensor:
    """What a cut says of the validation images, built alone, its normalisations recalibrated on two batches of training
    images; ``(n, classes)``."""
    alone = Network(arch, judge.space)
    inherit_weights(alone, cut_out(judge.config, judge.origin, judge.space, judge.checkpoint, images))
    with torch.no_grad():
        for norm in (part for part in alone.eval().modules() if isinstance(part, nn.BatchNorm2d)):
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None
            for x, _ in list(images.train.batches(batch))[:2]:
                alone(x)
            norm.eval()
        scores = torch.cat([alone(x) for x, _ in images.validation.batches(batch)])
    return scores.double().softmax(1)
