"""The fine-tuned network is trained together with what can be cut out of it, with one set of weights.

In every step the whole network learns from the labels, and some random cuts learn from what it has just said of the same images
(the sandwich rule without the smallest network, and in-place distillation: Yu et al., BigNAS, ECCV 2020,
https://arxiv.org/abs/2003.11142, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from torch import Tensor
from torch.nn import functional as F

from evo.data.source import Images
from evo.evaluators import FitContext
from evo.evaluators.cuts.network import section_of
from evo.seeds import derive_seed
from evo.training.loop import schedule_of, train
from evo.training.precision import precision_of
from spaces.architecture import Architecture
from spaces.networks.network import Network
from spaces.pretrained.cut_space import only_cuts, whole_network
from spaces.pretrained.nested import NestedNetwork
from spaces.space import SearchSpace
from studies.config import StudyConfig


def train_together(
    config: StudyConfig,
    space: SearchSpace,
    network: Network,
    measured: Mapping[str, Tensor],
    images: Images,
    context: FitContext,
    progress: Path,
) -> None:
    """Train the network in place, as ``evaluator.joint`` says.

    Args:
        space: the network's; what cannot be cut out of it takes no part.
        measured: what is known of its channels.
        progress: where each finished epoch is kept.
    """
    section = section_of(config)
    joint = section.joint
    assert joint is not None
    schedule = replace(schedule_of(section, config.data, 1), epochs=joint.epochs, learning_rate=joint.learning_rate)
    whole, cuts = whole_network(space), only_cuts(space)

    def paths(rng: Random) -> Sequence[tuple[Architecture]]:
        return [(whole,), *((cuts.sample(rng),) for _ in range(joint.cuts))]

    def loss(given: tuple[Tensor, Tensor | None], y: Tensor) -> Tensor:
        scores, said = given
        if said is None:
            return F.cross_entropy(scores, y, label_smoothing=schedule.label_smoothing)
        return F.cross_entropy(scores, said)

    train(
        NestedNetwork(network, space, measured, section.importance),
        images.train,
        schedule,
        seed=derive_seed(config.seed, "joint"),
        loss=loss,
        paths=paths,
        checkpoint=progress,
        track=context.track,
        label=f"training {section.network} and its cuts",
        group=context.group,
        precision=precision_of(config),
    )
