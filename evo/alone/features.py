"""A teacher's features: the outputs of a network's blocks are drawn towards those of its teacher's.

FitNets (https://arxiv.org/abs/1412.6550, section 2.2) has a student learn what a teacher gives inside, as hints, in a stage of
its own and through a layer that turns the student's channels into the teacher's. The form here is this program's own: one
training beside the soft targets, no further layer, all blocks that both networks have, and a distance that has no scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from evo.alone.teacher import Teacher
from evo.evaluators.cuts.imitation import relative_error
from evo.training.precision import in_full
from spaces.export.baselines import Contender
from spaces.layer import Shape
from spaces.networks.network import Network
from spaces.size import both_sides, size_text
from spaces.space import SearchSpace
from studies.config import DeliverSection
from studies.records import EvoError


@dataclass(frozen=True)
class Hint:
    """A block whose outputs a student learns to give.

    Attributes:
        block: its name in both spaces.
        student: the place of its last layer in the student; ``teacher``: in the teacher.
    """

    block: str
    student: int
    teacher: int


def find_hints(student: SearchSpace, teacher: SearchSpace) -> tuple[Hint, ...]:
    """The blocks that fit, in the student's order.

    A block fits where both spaces have one of its name, with the same channels behind it, and the teacher's outputs have at
    least as many pixels as the student's, along both sides. The spaces have no rows, as those of a ``Contender``.
    """
    there = _last_layers(teacher)
    both = (Hint(block, place, there[block]) for block, place in _last_layers(student).items() if block in there)
    return tuple(hint for hint in both if _fits(student.layers[hint.student].shape, teacher.layers[hint.teacher].shape))


def require_hints(student: Contender, teacher: Teacher | None, section: DeliverSection) -> tuple[Hint, ...]:
    """The blocks that ``teacher`` shows to ``student``; none where ``section.teacher_features`` is 0, or nothing teaches.

    Raises:
        EvoError: features are asked for, and no block fits.
    """
    if teacher is None or not section.teacher_features:
        return ()
    if teacher.network is None:
        raise EvoError(
            f"deliver.teacher_features is {section.teacher_features:g}, and the teacher {teacher.name!r} is a model of "
            "torchvision, which has no blocks of this program's: leave deliver.teacher_features out"
        )
    if hints := find_hints(student.space, teacher.network.space):
        return hints
    raise EvoError(
        f"deliver.teacher_features is {section.teacher_features:g}: expected a block that both networks have, with the same "
        f"channels and no fewer pixels in the teacher, and found {_said(student.space)} in {student.name}, and "
        f"{_said(teacher.network.space)} in the teacher {teacher.name!r} (channels x height x width): give another "
        "deliver.teacher, or leave deliver.teacher_features out"
    )


def feature_loss(
    network: Network, student: Contender, teacher: Teacher | None, section: DeliverSection
) -> FeatureLoss | None:
    """The loss of a training in which ``network`` imitates the blocks of ``teacher``; None: it does not.

    Args:
        student: the architecture of ``network``.

    Raises:
        EvoError: as ``require_hints``.
    """
    hints = require_hints(student, teacher, section)
    if teacher is None or not hints:
        return None
    return FeatureLoss(hints, network.layers, teacher.layers, section.teacher_features)


class FeatureLoss:
    """Cross-entropy, and ``weight`` times how far a student's blocks are from its teacher's: a ``Loss`` of the training.

    Inside of ``with`` both networks are watched: what their blocks give for a batch is kept until its loss is computed, and
    nothing from one batch to the next. The teacher must have seen the batch before the loss is asked for.

    Args:
        student, teacher: the layers of both networks.
    """

    def __init__(self, hints: Sequence[Hint], student: nn.ModuleList, teacher: nn.ModuleList, weight: float) -> None:
        self.weight = weight
        self.pairs = [(student[hint.student], teacher[hint.teacher]) for hint in hints]
        self.outputs: dict[nn.Module, Tensor] = {}
        self.hooks: list[RemovableHandle] = []

    def __enter__(self) -> FeatureLoss:
        self.hooks = [layer.register_forward_hook(self._keep) for pair in self.pairs for layer in pair]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
        self.outputs.clear()

    def __call__(self, scores: Tensor, targets: Tensor) -> Tensor:
        """A scalar, from scores and shares of the classes, ``(n, classes)`` each."""
        return F.cross_entropy(scores, targets) + self.weight * self.distance()

    def distance(self) -> Tensor:
        """The mean of ``block_distance`` over blocks, for the batch that both networks were given last; a scalar."""
        return torch.stack([block_distance(*map(self.outputs.pop, pair)) for pair in self.pairs]).mean()

    def _keep(self, layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        self.outputs[layer] = in_full(output)


def block_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of a block's outputs, as a share of the teacher's variance over the batch; a scalar.

    Args:
        student: ``(n, channels, height, width)``.
        teacher: ``(n, channels, HEIGHT, WIDTH)``, averaged to the student's height and width first.
    """
    _, _, height, width = student.shape
    return relative_error(student, F.adaptive_avg_pool2d(teacher, (height, width)))


def _last_layers(space: SearchSpace) -> dict[str, int]:
    """The last layer of each block: name -> place."""
    return {space.layers[stop - 1].block: stop - 1 for _, stop in space.blocks}


def _fits(student: Shape, teacher: Shape) -> bool:
    sides = zip(both_sides(student.size_out), both_sides(teacher.size_out), strict=True)
    return student.c_out == teacher.c_out and all(mine <= theirs for mine, theirs in sides)


def _said(space: SearchSpace) -> str:
    """The blocks of a space in words."""
    shapes = {block: space.layers[place].shape for block, place in _last_layers(space).items()}
    return ", ".join(f"{block} ({shape.c_out} x {size_text(shape.size_out)})" for block, shape in shapes.items())
