"""AutoSpace's two released files: per layer the learned cells, and a network of 340 M multiply-accumulates.

ICCV 2021, https://arxiv.org/abs/2103.11833. A cell is a triangle of codes over four nodes, with its expansion and two gates
packed into the entries above the diagonal. No source says what the codes mean. Our reading: 1 nothing, 2 the node as it is,
5, 7 and 9 depthwise 3x3, 5x5 and 7x7 (code = kernel + 2), 3 something without weights, here a 3x3 average; expansion
index 0, 1, 2 is 1, 3, 6 (1 and 2 are certain); a gate is ``spaces.operations.cells``'. Under it the network has 336.3 M
multiply-accumulates and 4.51 M parameters where 340 M and 4.3 M were published: near, and not proven.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spaces.architecture import IDENTITIES, Architecture, Op
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.operations.cells import Genome, canonical_cell, parse_cell, unroll
from spaces.operations.grammar import Bottleneck, parse_op
from spaces.space import SearchSpace

NODES = 4
EXPANSIONS = (1, 3, 6)
CODES = {1: "-", 2: "i", 3: "p", 5: "3", 7: "5", 9: "7"}
NUMBERS = {code: number for number, code in CODES.items()}

Grid = list[list[Any]]
"""The released 4 x 4 list of a cell."""


@dataclass(frozen=True, slots=True)
class Motif:
    """A cell as released; it may hold edges that lead nowhere, which a ``Genome`` may not.

    Attributes:
        rows: of nodes 1 to 3, the codes of the edges from the nodes before it.
        dim: index into ``EXPANSIONS``.
        mix: of nodes 2 and 3, 0 where inputs are added, 1 where they are mixed otherwise.
    """

    rows: tuple[tuple[int, ...], ...]
    dim: int
    mix: tuple[int, int]

    @classmethod
    def from_grid(cls, grid: Grid) -> Motif:
        """The cell of a released list.

        Raises:
            SpaceError: it is no strict lower triangle of known codes with the two packed entries.
        """
        try:
            motif = cls(tuple(tuple(grid[i][:i]) for i in range(1, NODES)), grid[0][3], tuple(grid[1][3]))
            known = {code for row in motif.rows for code in row} <= CODES.keys()
            if not (known and motif.dim in range(3) and {*motif.mix} <= {0, 1} and motif.to_grid() == grid):
                raise SpaceError
        except (IndexError, TypeError, ValueError):
            raise SpaceError(
                f"{grid!r} is no cell of AutoSpace: expected 4 x 4, codes {', '.join(map(str, CODES))} below the diagonal, "
                "the expansion's index (0 to 2) in [0][3], two of 0 and 1 in [1][3], 0 elsewhere"
            ) from None
        return motif

    def to_grid(self) -> Grid:
        """The released list."""
        grid: Grid = [[0] * NODES] + [[*row] + [0] * (NODES - len(row)) for row in self.rows]
        grid[0][3], grid[1][3] = self.dim, list(self.mix)
        return grid

    def genome(self, activation: str = "relu6") -> Genome:
        """The cell in the notation of ``spaces.operations.cells``, as far as its codes are understood.

        Raises:
            SpaceError: nothing reaches its last node.
        """
        rows = tuple("".join(CODES[code] for code in row) for row in self.rows)
        gates = (False, *map(bool, self.mix))
        return canonical_cell(Genome(EXPANSIONS[self.dim], rows, gates, activation))

    @classmethod
    def of(cls, cell: Genome) -> Motif:
        """The released form of a cell.

        Raises:
            SpaceError: the cell has more than four nodes, or another expansion than 1, 3 and 6.
        """
        if cell.expansion not in EXPANSIONS:
            raise SpaceError(f"cell {str(cell)!r} has expansion {cell.expansion}; AutoSpace's files know 1, 3 and 6")
        whole = unroll(cell, NODES)
        rows = tuple(tuple(NUMBERS[code] for code in row) for row in whole.node_inputs)
        return cls(rows, EXPANSIONS.index(cell.expansion), (int(whole.gates[1]), int(whole.gates[2])))


# -- search_space.config ----------------------------------------------------------------------------------------------


def read_space(text: str) -> tuple[tuple[Motif, ...], ...]:
    """Per layer the cells of a learned space, as released; a layer's last three are its reference cells.

    Raises:
        SpaceError: the text is no such file.
    """
    data = _loaded(text)
    if not isinstance(data, dict) or data.keys() != {"name", "blocks"} or data["name"] != _SPACE:
        raise SpaceError(f"not a space of AutoSpace: expected an object of name {_SPACE!r} and blocks")
    return tuple(tuple(Motif.from_grid(grid) for grid in layer) for layer in data["blocks"])


def write_space(layers: Sequence[Sequence[Motif]]) -> str:
    """The text that ``read_space`` reads."""
    blocks = [[motif.to_grid() for motif in layer] for layer in layers]
    return json.dumps({"name": _SPACE, "blocks": blocks}, separators=(",", ":"))


_SPACE = "SuperProxylessNASNets"


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SpaceError(f"not a file of AutoSpace: no JSON: {error}") from None


# -- net.config -------------------------------------------------------------------------------------------------------


def read_net(text: str, size: int = 224) -> tuple[SearchSpace, Architecture]:
    """The network of a released file for images of ``size`` pixels, and the space that holds it and nothing else.

    The batch normalisation's momentum (0.1) and epsilon (0.006) are the file's, and not those of the modules built here.

    Raises:
        SpaceError: the file says something that a space cannot; the message shows where it first does.
    """
    data = _loaded(text)
    try:
        space, arch = _network(data, size)
    except (KeyError, TypeError) as error:
        raise SpaceError(f"not a network of AutoSpace: {error!r}") from None
    if (difference := _difference(data, json.loads(write_net(space, arch)))) is not None:
        raise SpaceError(f"this network says what a space cannot: {difference}")
    return space, arch


def write_net(space: SearchSpace, arch: Architecture) -> str:
    """The network in the form of the released file.

    Raises:
        SpaceError: an operation is none that the form knows.
    """
    space.check(arch)
    last = space.layers[-1].shape.c_out
    head = space.head
    data = {
        "name": "ProxylessNASNets",
        "bn": {"momentum": 0.1, "eps": 0.006},
        "first_conv": _conv(
            space.stem.c_in, space.stem.c_out, space.stem.kernel, space.stem.stride, space.stem.activation
        ),
        "blocks": [_block(layer.shape, gene) for layer, gene in zip(space.layers, arch.genes, strict=True)],
        "feature_mix_layer": _conv(last, head.features, 1, 1, head.activation),
        "classifier": {
            "name": "LinearLayer",
            "in_features": head.features,
            "out_features": head.classes,
            "bias": True,
            "use_bn": False,
            "act_func": None,
            "dropout_rate": 0,
            "ops_order": "weight_bn_act",
        },
    }
    return json.dumps(data, separators=(",", ":"))


def _conv(c_in: int, c_out: int, kernel: int, stride: int, activation: str) -> dict[str, Any]:
    return {
        "name": "ConvLayer",
        "kernel_size": kernel,
        "stride": stride,
        "dilation": 1,
        "groups": 1,
        "bias": False,
        "has_shuffle": False,
        "in_channels": c_in,
        "out_channels": c_out,
        "use_bn": True,
        "act_func": activation,
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }


def _block(shape: Shape, op: Op) -> dict[str, Any]:
    """A layer of the file: what it does, and the identity beside it where the shape allows one."""
    shortcut = None
    if shape.is_residual:
        shortcut = {
            "name": "IdentityLayer",
            "in_channels": shape.c_in,
            "out_channels": shape.c_out,
            "use_bn": False,
            "act_func": None,
            "dropout_rate": 0,
            "ops_order": "weight_bn_act",
        }
    return {
        "name": "MobileInvertedResidualBlock",
        "mobile_inverted_conv": _inner(shape, op),
        "shortcut": shortcut,
    }


def _inner(shape: Shape, op: Op) -> dict[str, Any]:
    """What a layer does. The kernel that the file gives for a cell is 3 whatever its edges say."""
    if op in IDENTITIES:
        return {"name": "ZeroLayer", "stride": shape.stride}
    ends = {"in_channels": shape.c_in, "out_channels": shape.c_out}
    if op.startswith("cell:"):
        motif = Motif.of(parse_cell(op))
        return {
            "name": "Motif",
            **ends,
            "kernel_size": 3,
            "stride": shape.stride,
            "expand_ratio": EXPANSIONS[motif.dim],
            "num_nodes": NODES,
            "build_graph": json.dumps(motif.to_grid()),
            "dim_conv_idx": motif.dim,
            "atten_mode": "channel",
            "feature_mix_mode_idx": list(motif.mix),
            "has_se": False,
        }
    block = parse_op(op)
    if block != Bottleneck("mb", block.kernel, block.expansion, groups=block.groups, activation=block.activation):
        raise SpaceError(f"AutoSpace's file has no form for {op!r}: expected cell:..., mb_k<kernel>_e<expansion> or id")
    return {
        "name": "MBInvertedConvLayer",
        **ends,
        "kernel_size": block.kernel,
        "stride": shape.stride,
        "expand_ratio": block.expansion,
        "mid_channels": None,
        "has_se": False,
    }


def _network(data: Mapping[str, Any], size: int) -> tuple[SearchSpace, Architecture]:
    """Space and architecture, read without doubting; layers of one width are one stage."""
    first, mix, classifier = data["first_conv"], data["feature_mix_layer"], data["classifier"]
    stem = Stem(
        first["out_channels"], first["stride"], first["kernel_size"], first["act_func"], first["in_channels"], size
    )
    layers: list[Layer] = []
    c_in, pixels, stage = stem.c_out, -(-size // stem.stride), 1
    for block in data["blocks"]:
        inner = block["mobile_inverted_conv"]
        shape = Shape(c_in, inner.get("out_channels", c_in), inner["stride"], pixels)
        stage += bool(layers) and shape.c_out != c_in
        layers.append(Layer(shape, (_op(inner, stem.activation),), block=f"stage{stage}"))
        c_in, pixels = shape.c_out, shape.size_out
    head = Head(mix["out_channels"], classifier["out_features"], mix["act_func"])
    space = SearchSpace("autospace_net", tuple(layers), stem, head)
    return space, Architecture(tuple(layer.candidates[0] for layer in layers))


def _op(inner: Mapping[str, Any], activation: str) -> Op:
    match inner["name"]:
        case "ZeroLayer":
            return "id"
        case "Motif":
            return str(Motif.from_grid(_loaded(inner["build_graph"])).genome(activation))
        case "MBInvertedConvLayer":
            expansion = inner["expand_ratio"]
            groups = None if expansion == 1 else (1, 1)
            return str(Bottleneck("mb", inner["kernel_size"], expansion, groups=groups, activation=activation))
    raise SpaceError(f"unknown block {inner['name']!r}; known: MBInvertedConvLayer, Motif, ZeroLayer")


def _difference(a: Any, b: Any, place: str = "") -> str | None:
    """Where two JSON values first differ, and how; None: nowhere."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        found = (_difference(a[key], b[key], f"{place}.{key}") for key in a)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        found = (_difference(x, y, f"{place}[{i}]") for i, (x, y) in enumerate(zip(a, b, strict=True)))
    else:
        return None if a == b else f"{place.removeprefix('.') or 'the file'} is {a!r}, expected {b!r}"
    return next((difference for difference in found if difference), None)
