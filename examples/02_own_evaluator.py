"""An evaluator of your own: networks are scored before any training, by how differently they see images.

The score is NASWOT's (Mellor et al., ICML 2021, https://arxiv.org/abs/2006.04647): two images are alike for a network when the
same units are active; a network that tells images apart has a kernel of large determinant.

    python examples/02_own_evaluator.py
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn

import evo
from evo import EvaluatorSettings, Judge, evaluations_of, evaluator
from evo.data.loading import load_dataset
from evo.seeds import derive_seed
from spaces.costs.table import CostTable
from spaces.networks.network import Network
from spaces.space import SearchSpace, canonical_arch
from studies.config import DataSection


class ActivationSettings(EvaluatorSettings):
    """Keys of ``[evaluator]`` beside ``kind``; checked as the tool's own are."""

    measures: ClassVar[str] = "NASWOT"
    images: int = 64
    """Images that are shown to each network."""

    def describe(self):
        return f"the activation patterns of {self.images} images in untrained networks"


@evaluator("activations", settings=ActivationSettings)
class Activations:
    """Nothing is learned from a space, so fitting gives the judge at once."""

    def __init__(self, config, space):
        self.config = config

    def fit(self, space, context):
        return ActivationJudge(space, context.table, self.config.data, self.config.evaluator.images, self.config.seed)


@dataclass(frozen=True)
class ActivationJudge(Judge):
    space: SearchSpace = field(repr=False)
    table: CostTable = field(repr=False)
    data: DataSection
    images: int
    seed: int

    @property
    def name(self):
        return f"activations:{self.images}"

    def __call__(self, archs):
        return evaluations_of(self, archs, map(self.score, archs), self.table)

    def score(self, arch):
        """From 0 (all images look alike) to 1 (no two have anything in common)."""
        torch.manual_seed(derive_seed(self.seed, str(canonical_arch(arch, self.space))))
        network, patterns = Network(arch, self.space), []
        for module in network.modules():
            if isinstance(module, (nn.ReLU, nn.ReLU6)):
                module.register_forward_hook(lambda module, x, y: patterns.append((y > 0).flatten(1).double()))
        with torch.no_grad():
            network(next(load_dataset(self.data, "cpu").train.batches(self.images))[0])
        active = torch.cat(patterns, 1)
        kernel = (active @ active.T + (1 - active) @ (1 - active).T) / active.shape[1]
        return float(torch.exp(torch.linalg.slogdet(kernel).logabsdet / len(kernel)))


if __name__ == "__main__":
    settings = {
        "evaluator": {"kind": "activations", "images": 64},
        "search.evaluations": 16,
        "ground_truth.sample": 8,
        "ground_truth.epochs": 1,
    }
    run = evo.search("digits", rounds=1, run="own-evaluator", plugins=[__file__], set=settings)
    print(run.front()[["accuracy", "macs", "arch"]].to_string(index=False))
    print("Kendall's tau against networks trained alone:", run.rounds()["tau"].tolist())
