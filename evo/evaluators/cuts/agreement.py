"""How well networks agree with one of them: what there is to measure where images have no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from evo.data.source import InOrder
from evo.evaluators.oneshot.scoring import PrefixRunner, Score, add_at
from spaces.architecture import Architecture


@dataclass(frozen=True)
class Imitated:
    """Images, and beside each what a network says of it.

    Attributes:
        said: logarithms of its probabilities of the classes, ``(n, classes)``.
    """

    images: InOrder
    said: Tensor

    @property
    def device(self) -> torch.device:
        return self.images.device

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them in order; the last batch may be smaller."""
        pairs = zip(self.images.batches(size), torch.split(self.said, size), strict=True)
        return ((x, said) for (x, _), said in pairs)


def agreement(scores: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image, whether the class of most probability is the same, and the Kullback-Leibler divergence in nats: of the
    probabilities by ``scores``, ``(n, classes)``, from those whose logarithms are ``said``."""
    divergence = F.kl_div(scores.log_softmax(1), said, reduction="none", log_target=True).sum(1)
    return scores.argmax(1) == said.argmax(1), divergence.clamp(min=0)  # rounding may make it a little negative


def measure_agreement(
    network: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor], images: InOrder, size: int = 512
) -> tuple[int, float]:
    """On how many images two networks give the same class, and the mean divergence of the first one's probabilities.

    Args:
        network: from images to scores; ``other``: from images to probabilities.
    """
    same, lost = 0, 0.0
    with torch.inference_mode():
        for x, _ in images.batches(size):
            found, divergence = agreement(network(x), other(x).clamp(min=1e-30).log())
            same, lost = same + int(found.sum()), lost + float(divergence.sum(dtype=torch.float64))
    return same, lost / len(images)


def say(runner: PrefixRunner, arch: Architecture) -> Tensor:
    """Logarithms of what an architecture says of the runner's images, ``(n, classes)``, in their order."""
    said: list[Tensor] = []
    runner.run([arch], lambda scores, _, places: said.append(scores.log_softmax(1)))
    return torch.cat(said)


class AgreementScorer(PrefixRunner):
    """Scores architectures by how well they agree with what images are ``Imitated`` with: accuracy is the share of images of
    the same class, and nll the mean divergence."""

    def __call__(self, archs: Sequence[Architecture]) -> list[Score]:
        """One score per architecture."""
        same, lost = torch.zeros((2, len(archs)), dtype=torch.float64, device=self.validation.device)

        def count(scores: Tensor, said: Tensor, places: list[int]) -> None:
            found, divergence = agreement(scores, said)
            add_at(same, places, found.sum())
            add_at(lost, places, divergence.sum(dtype=torch.float64))

        self.run(archs, count)
        images = len(self.validation)
        return [Score(hits / images, far / images) for hits, far in zip(same.tolist(), lost.tolist(), strict=True)]
