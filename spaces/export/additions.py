"""What is added to a network that was found, before it is trained: squeeze-excitation, and swish in the place of ReLU.

NSE (https://arxiv.org/abs/2011.10904) searches without both, and retrains with them. Operations keep their place and are given
another name, so costs stay exact. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from spaces.architecture import IDENTITIES, Architecture, Op, join, operations
from spaces.errors import SpaceError
from spaces.export.baselines import Contender, contender
from spaces.operations.grammar import BOTTLENECKS, Bottleneck, parse_op
from spaces.space import SearchSpace
from spaces.variants import is_variant

HIDDEN_PERCENT = 25
"""Channels of an added squeeze-excitation, in percent of those in front of it, as NSE has them."""


@dataclass(frozen=True)
class Addition:
    """One thing that can be added.

    Attributes:
        change: an operation -> the same with it.
        activation: that of stem and head with it; None: theirs stay.
    """

    change: Callable[[Bottleneck], Bottleneck]
    activation: str | None = None


def squeeze_excited(op: Bottleneck) -> Bottleneck:
    """With a squeeze-excitation; one that it has already stays."""
    return op if op.se or op.se_hidden or op.se_hard else replace(op, se_hidden=HIDDEN_PERCENT)


def with_swish(op: Bottleneck) -> Bottleneck:
    """With swish in the place of its activation."""
    return replace(op, activation="swish")


def add_to_network(arch: Architecture, space: SearchSpace, names: Sequence[str]) -> tuple[Architecture, SearchSpace]:
    """A network with what ``names`` say, of a space that holds nothing else; without names ``arch`` and ``space`` themselves.

    Operations that have no such form stay (``unchanged_operations``), and so does the ReLU behind the sums of
    ``residual_relu``. Adding it twice is adding it once.

    Raises:
        SpaceError: a name is unknown, or two branches of a layer would be one operation.
    """
    if not names:
        return arch, space
    space = space.restrict_to(arch)
    layers, genes = [], []
    for name, layer, gene in zip(space.names, space.layers, arch.genes, strict=True):
        changed = tuple(add_to_operation(op, names) for op in operations(gene))
        if len(set(changed)) < len(changed):
            raise SpaceError(
                f"{name} of {space.name!r} is {gene!r}, and with {', '.join(names)} two of its branches would be one "
                "operation: leave out what makes them alike"
            )
        genes.append(join(changed))
        layers.append(layer if gene in IDENTITIES else replace(layer, candidates=changed))
    return Architecture(tuple(genes)), _with_activation(space.replace_layers(layers), names)


def add_to_operation(op: Op, names: Sequence[str]) -> Op:
    """The operation with what ``names`` say; itself where it has no such form.

    Raises:
        SpaceError: a name is unknown; the message lists the known ones.
    """
    additions = [_addition(name) for name in names]
    if not _has_forms(op):
        return op
    parsed = parse_op(op)
    for addition in additions:
        parsed = addition.change(parsed)
    return str(parsed)


def add_to_contender(network: Contender, names: Sequence[str], convention: str) -> Contender:
    """``add_to_network`` of a network that is compared with others, with its costs by ``convention``."""
    if not names:
        return network
    return contender(network.name, *add_to_network(network.arch, network.space, names), convention)


def unchanged_operations(arch: Architecture) -> tuple[Op, ...]:
    """The operations of a network to which nothing can be added, each once, in its order."""
    ops = dict.fromkeys(op for gene in arch.genes for op in operations(gene))
    return tuple(op for op in ops if not _has_forms(op) and not is_variant(op))


def _has_forms(op: Op) -> bool:
    """Whether the grammar knows the operation with and without options."""
    return op.partition("_")[0] in BOTTLENECKS


def _with_activation(space: SearchSpace, names: Sequence[str]) -> SearchSpace:
    """The space with the activation that ``names`` give its stem and its head."""
    for activation in filter(None, (_addition(name).activation for name in names)):
        stem, head = replace(space.stem, activation=activation), replace(space.head, activation=activation)
        space = replace(space, stem=stem, head=head)
    return space


def _addition(name: str) -> Addition:
    if name not in ADDITIONS:
        raise SpaceError(f"{name!r} cannot be added to a network; known: {', '.join(ADDITIONS)}")
    return ADDITIONS[name]


ADDITIONS: dict[str, Addition] = {"se": Addition(squeeze_excited), "swish": Addition(with_swish, "swish")}
"""All that can be added, by name; ``deliver.add`` lists such names."""
