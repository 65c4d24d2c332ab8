"""Networks: stem, layers, head. The one place that stacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from spaces.architecture import IDENTITIES, Architecture, Op, operations
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.networks.build import build_operation
from spaces.networks.modules import build_activation, build_sequence, initialise, zero_init_last_norm
from spaces.operations.primitives import head_steps, stem_steps
from spaces.space import SearchSpace, resolve_variants
from spaces.variants import VariantBlock


def build_stem(space: SearchSpace) -> nn.Module:
    """The convolution in front: (n, stem.c_in, height, width) -> the first layer's input."""
    return build_sequence(stem_steps(space.stem))


def build_head(space: SearchSpace, channels: int | None = None) -> nn.Module:
    """The last convolution (if any), average pool and classifier: the last layer's output -> (n, classes).

    Args:
        channels: that the last layer gives; None: those of the space.
    """
    head, c_in = space.head, channels or space.layers[-1].shape.c_out
    features, middle = head.features or c_in, list[nn.Module]()
    if head.hidden:
        middle = [nn.Linear(features, head.hidden), build_activation(head.activation)]
        features = head.hidden
    return nn.Sequential(
        build_sequence(head_steps(head, c_in)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        *middle,
        nn.Linear(features, head.classes),
    )


class HeadByChannels(nn.Module):
    """A head for each number of channels that the last layer may give; none of their weights are shared."""

    def __init__(self, heads: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({str(channels): head for channels, head in heads.items()})

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, height, width)``, with so many channels -> ``(n, classes)``."""
        output: Tensor = self.heads[str(x.shape[1])](x)
        return output


def build_heads(space: SearchSpace) -> nn.Module:
    """The head of a supernet: one, but where channels are chosen one for each number of them."""
    sizes = space.input_sizes
    if sizes is None or not sizes.has_channels:
        return build_head(space)
    last = sizes.shapes_of_weights[-1].values()
    return HeadByChannels({shape.c_out: build_head(space, shape.c_out) for shape in last})


def merge_outputs(rule: str, shape: Shape, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
    """A layer's output from its input ``x`` and the outputs of its active operations, identities left out.

    No output at all gives ``x``. Otherwise ``residual`` adds all outputs, and ``x`` where the shape allows it;
    ``residual_relu`` likewise, with a ReLU behind it (ResNet, https://arxiv.org/abs/1512.03385); ``mean`` averages them, with
    ``x`` as one more of them where the shape allows it (NSE, https://arxiv.org/abs/2011.10904).
    """
    if not outputs:
        return x
    terms = (*outputs, x) if shape.is_residual else tuple(outputs)
    merged = terms[0]
    for term in terms[1:]:
        merged = merged + term
    if rule == "residual_relu":
        return merged.relu()
    return merged / len(terms) if rule == "mean" and len(terms) > 1 else merged


class MixedLayer(nn.Module):
    """One layer: some operations by name, and how their outputs become the layer's.

    The same class serves a network (all its operations always run) and a supernet (``forward`` is told the gene).
    """

    def __init__(self, shape: Shape, ops: Iterable[Op], rule: str) -> None:
        super().__init__()
        self.shape = shape
        self.rule = rule
        built = {
            op: build_operation(op, shape) for op in sorted(set(ops))
        }  # identities too: building checks that they fit
        self.ops = nn.ModuleDict({op: module for op, module in built.items() if op not in IDENTITIES})

    def forward(self, x: Tensor, gene: str | None = None) -> Tensor:
        """The layer's output when the operations of ``gene`` run (None: all), in whatever order it names them."""
        return merge_outputs(self.rule, self.shape, x, [op(x) for op in self.active_modules(gene)])

    def active_modules(self, gene: str | None = None) -> list[nn.Module]:
        """The operations that run for ``gene`` (None: all of them), in one order whatever the gene's."""
        names = list(self.ops) if gene is None else sorted(set(operations(gene)) - IDENTITIES)
        return [self.ops[name] for name in names]

    def zero_init(self) -> None:
        """Let every operation begin by giving zero, where the layer's input is added to it: the layer passes it on."""
        if self.shape.is_residual:
            for op in self.ops.values():
                zero_init_last_norm(op)


class VariantLayer(nn.Module):
    """One layer of a block with rows in a supernet: a ``MixedLayer`` with its own weights for each row in which it is there.
    Behind a choice of channels, one for each number of them.

    Where it is not there, and where the row is only chosen, it passes its input on.
    """

    def __init__(self, block: VariantBlock, place: int, rule: str) -> None:
        super().__init__()
        ops = block.layers[place].candidates
        shapes = block.shapes_of_weights[place]
        self.rows = nn.ModuleDict({key: MixedLayer(shape, ops, rule) for key, shape in shapes.items()})

    def forward(self, x: Tensor, gene: str) -> Tensor:
        """The layer's output for a gene as ``SearchSpace.weight_genes`` has it, e.g. ``row_d2_w24/mb_k3_e6``."""
        row, _, op = gene.partition("/")
        output: Tensor = self.rows[row](x, op) if row in self.rows else x
        return output

    def active_modules(self, gene: str) -> list[nn.Module]:
        """The operations that run for ``gene``."""
        row, _, op = gene.partition("/")
        if row not in self.rows:
            return []
        cell = self.rows[row]
        assert isinstance(cell, MixedLayer)
        return cell.active_modules(op)

    def zero_init(self) -> None:
        """As ``MixedLayer.zero_init``, in every row."""
        for cell in self.rows.values():
            assert isinstance(cell, MixedLayer)
            cell.zero_init()


def build_layers(space: SearchSpace) -> nn.ModuleList:
    """Every layer of a supernet, with all its candidates; what chooses the size of images passes on what it is given."""
    cells: list[MixedLayer | VariantLayer] = []
    for i, layer in enumerate(space.layers):
        block = space.variant_of(i)
        if block is None or "" in block[0].shapes_of_weights[block[1]]:  # weights know no size of images
            cells.append(MixedLayer(layer.shape, layer.candidates, space.merge))
        else:
            cells.append(VariantLayer(*block, space.merge))
    return nn.ModuleList(cells)


class Network(nn.Module):
    """The network of one architecture: images (n, c, height, width) -> class scores (n, classes).

    Its parameters carry the names they have in a supernet of the same space, ``layers.<i>.ops.<operation>...``. In a space
    with rows it has the layers that are there, and no others.

    Args:
        preprocessing: what is done to images first; None: they come normalised already.
        classes: names of the classes; empty: they have no names.

    Raises:
        SpaceError: the architecture has another number of layers than the space, or an operation is unknown.
    """

    def __init__(
        self,
        arch: Architecture,
        space: SearchSpace,
        preprocessing: nn.Module | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        if len(arch.genes) != len(space.layers):
            raise SpaceError(
                f"{space.name!r} has {len(space.layers)} layers, and {str(arch)!r} has {len(arch.genes)} genes"
            )
        arch, space = resolve_variants(arch, space)
        self.preprocessing = preprocessing or nn.Identity()
        self.stem = build_stem(space)
        self.layers = nn.ModuleList(
            MixedLayer(layer.shape, operations(gene), space.merge)
            for layer, gene in zip(space.layers, arch.genes, strict=True)
        )
        self.head = build_head(space)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.preprocessing(x))
        for layer in self.layers:
            x = layer(x)
        scores: Tensor = self.head(x)
        return scores
