"""A network as the text of a Python file that needs torch and nothing else: ``model.py``.

The modules are read off a built network, so whatever an operation is made of can be written, if its class stands in
``WRITERS`` or ``PLAIN``. Parameters keep their names: the file reads the weights that the network was saved with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from textwrap import indent
from typing import Any

from torch import nn

from spaces.architecture import Architecture
from spaces.errors import SpaceError
from spaces.networks.cell_module import CellModule, edge_name
from spaces.networks.modules import SameConv2d, SqueezeExcitation, WithShortcut
from spaces.networks.network import MixedLayer, Network
from spaces.size import both_sides, short_size
from spaces.space import SearchSpace, resolve_variants

HEADER = '''"""{title}

Needs torch and nothing else. Images are floats from 0 to 1, (n, {channels}, {height}, {width}); scores are (n, {classes}),
one for each of CLASSES.

    from model import load
    network = load(".")  # the folder that holds model.safetensors
    scores = network(images)
    names = [network.classes[i] for i in scores.argmax(1)]
"""

import json
from pathlib import Path

import torch
from torch import nn

ARCHITECTURE = (
{arch})

CLASSES = (
{names})

'''

CONV = '''
def conv(c_in, c_out, kernel=(1, 1), stride=(1, 1), dilation=1, groups=1, norm=True, activation=None, kind=nn.Conv2d):
    """Convolution, batch normalisation, activation; the size of the image is kept, or divided by the stride."""
    padding = tuple(dilation * (side // 2) for side in kernel) if kind is nn.Conv2d else 0
    parts = [kind(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)]
    parts += [nn.BatchNorm2d(c_out)] if norm else []
    parts += [activation()] if activation else []
    return nn.Sequential(*parts)

'''

SAME = '''
class SameConv2d(nn.Conv2d):
    """A convolution that pads no more than it needs, an odd pixel more at the far side: TensorFlow's SAME."""

    def forward(self, x):
        (top, bottom), (left, right) = (self.margins(axis, x.shape[axis + 2]) for axis in (0, 1))
        return super().forward(nn.functional.pad(x, (left, right, top, bottom)))

    def margins(self, axis, pixels):
        stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        missing = max(0, (-(-pixels // stride) - 1) * stride + reach - pixels)
        return missing // 2, missing - missing // 2

'''

SHORTCUT = '''
class WithShortcut(nn.Module):
    """What branch gives, and what shortcut makes of the same input, added."""

    def __init__(self, branch, shortcut):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x):
        return self.branch(x) + self.shortcut(x)

'''

SQUEEZE_EXCITE = '''
class SqueezeExcite(nn.Module):
    """Scales each channel by a gate between 0 and 1 that is computed from all channels' means."""

    def __init__(self, channels, reduced, activation, gate=nn.Sigmoid):
        super().__init__()
        small, large = nn.Conv2d(channels, reduced, 1), nn.Conv2d(reduced, channels, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), small, activation(), large, gate())

    def forward(self, x):
        return x * self.gate(x)

'''

CELL = '''
class Graph(nn.Module):
    """A small graph between two 1x1 convolutions. A node is the sum of what its edges bring; some sums are gated."""

    def __init__(self, nodes, expand, edges, project):
        super().__init__()
        self.nodes = nodes  # of each but the first: its edges, named from_to_what, and whether the sum is gated
        self.expand, self.edges, self.project = expand, nn.ModuleDict(edges), project

    def forward(self, x):
        values = [self.expand(x)]
        for edges, gated in self.nodes:
            terms = [self.edges[edge](values[int(edge[0])]) for edge in edges]
            value = sum(terms[1:], terms[0])
            values.append(value * value.mean((2, 3), keepdim=True).sigmoid() if gated else value)
        return self.project(values[-1])

'''

REST = '''
class Layer(nn.Module):
    """Operations side by side; their outputs are {merged}. None at all: the input itself."""

    def __init__(self, residual, ops):
        super().__init__()
        self.residual = residual  # whether input and output have one shape, and the input is one more term
        self.ops = nn.ModuleDict(ops)

    def forward(self, x):
        terms = [op(x) for op in self.ops.values()]
        if not terms:
            return x
        terms += [x] if self.residual else []
        return {merge}


class Normalise(nn.Module):
    """Values from 0 to 1 -> less each channel's mean, over its standard deviation. Both are read with the weights."""

    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, images):
        return (images - self.mean) / self.std


class Network(nn.Module):
    classes = CLASSES

    def __init__(self):
        super().__init__()
        self.preprocessing = Normalise({channels})
        self.stem = {stem}
        self.layers = nn.ModuleList(
            [
{layers}            ]
        )
        self.head = {head}

    def forward(self, images):
        x = self.stem(self.preprocessing(images))
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def read(path):
    """The tensors of a safetensors file by name: eight bytes of length, so much JSON, then the numbers."""
    kinds = {{"F32": torch.float32, "I64": torch.int64}}
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8:start])
    tensors.pop("__metadata__", None)
    found = {{}}
    for name, tensor in tensors.items():
        first, last = (start + offset for offset in tensor["data_offsets"])
        numbers = torch.frombuffer(bytearray(data[first:last]), dtype=kinds[tensor["dtype"]])
        found[name] = numbers.reshape(tensor["shape"])
    return found


def load(folder="."):
    """The trained network, ready to be used."""
    network = Network()
    network.load_state_dict(read(Path(folder) / "model.safetensors"))
    return network.eval()


if __name__ == "__main__":
    network = load(Path(__file__).parent)
    images = torch.rand(1, {channels}, {height}, {width})
    with torch.no_grad():
        scores = network(images)
    print(ARCHITECTURE)
    print(f"{{sum(weight.numel() for weight in network.parameters()):,}} parameters")
    print(f"images {{tuple(images.shape)}} -> scores {{tuple(scores.shape)}}")
'''


def network_source(network: Network, space: SearchSpace, arch: str, title: str, classes: Sequence[str]) -> str:
    """The text of ``model.py`` for ``network``, which is ``arch`` in ``space``; ``classes`` are called so.

    Raises:
        SpaceError: there is no rule for writing a module of an operation.
    """
    _, there = resolve_variants(Architecture.parse(arch), space)
    kinds = {type(module) for module in network.modules()}
    height, width = both_sides(there.stem.size)
    facts: dict[str, Any] = {
        "title": title,
        "channels": space.stem.c_in,
        "height": height,
        "width": width,
        "classes": space.head.classes,
        "names": "".join(f"    {name!r},\n" for name in classes),
        "arch": "".join(f"    {json.dumps(part)}\n" for part in _arch_lines(arch)),
        "merged": MERGED[space.merge][0],
        "merge": MERGED[space.merge][1],
        "stem": _indent(module_expression(network.stem), 8),
        "layers": indent("".join(_layer_lines(network, there)), " " * 16),
        "head": _indent(module_expression(network.head), 8),
    }
    parts = (HEADER, CONV, *(text for kind, text in DEFINITIONS.items() if kind in kinds))
    return "".join(part.format(**facts) if part in (HEADER, REST) else part for part in (*parts, REST))


def check_exportable(network: Network) -> str:
    """Why ``network_source`` cannot write ``network``, in a line; empty where it can. To be asked before it is trained."""
    ops = []
    for layer in network.layers:
        assert isinstance(layer, MixedLayer)
        ops += list(layer.ops.values())
    reasons = map(not_written, [*ops, network.stem, network.head])
    return next((reason for reason in reasons if reason), "")


def not_written(module: nn.Module) -> str:
    """Why model.py cannot have ``module``, in a line; empty where it can."""
    try:
        module_expression(module)
    except SpaceError as error:
        return str(error)
    return ""


def _arch_lines(arch: str) -> Iterator[str]:
    """An architecture in lines of a few genes, which joined are the architecture."""
    genes = arch.split("|")
    for start in range(0, len(genes), 4):
        yield "|".join(genes[start : start + 4]) + ("|" if start + 4 < len(genes) else "")


def _layer_lines(network: Network, space: SearchSpace) -> Iterator[str]:
    """Each layer's name and shapes as a comment, and the expression that builds it."""
    for name, cell in zip(space.names, network.layers, strict=True):
        assert isinstance(cell, MixedLayer)
        shape = cell.shape
        ops = "".join(
            f"        {json.dumps(op)}: {_indent(module_expression(part), 8)},\n" for op, part in cell.ops.items()
        )
        mapping = f"{{\n{ops}    }}" if ops else "{}"
        yield f"# {name}: {shape.c_in} x {short_size(shape.size)} -> {shape.c_out} x {short_size(shape.size_out)}\n"
        yield f"Layer(\n    residual={shape.is_residual},\n    ops={mapping},\n),\n"


def module_expression(module: nn.Module) -> str:
    """The expression that builds ``module``.

    Raises:
        SpaceError: there is no rule for writing a module of this class.
    """
    if (writer := WRITERS.get(type(module))) is not None:
        return writer(module)
    if type(module) in PLAIN:
        return f"nn.{module!r}"
    raise SpaceError(
        f"{type(module).__name__} cannot be written into model.py: enter it in spaces.export.python_source.WRITERS and "
        "DEFINITIONS"
    )


def _write_sequential(module: nn.Module) -> str:
    parts = list(module.children())
    if parts and isinstance(parts[0], nn.Conv2d) and parts[0].bias is None:
        return _write_convolution(parts[0], parts[1:])
    return (
        "nn.Sequential("
        + "".join(f"\n    {_indent(module_expression(part), 4)}," for part in parts)
        + ("\n" if parts else "")
        + ")"
    )


def _write_convolution(conv: nn.Conv2d, behind: list[nn.Module]) -> str:
    """A call of ``conv``: what is at its default is left out."""
    norms = [part for part in behind if isinstance(part, nn.BatchNorm2d)]
    activations = [type(part).__name__ for part in behind if not isinstance(part, nn.BatchNorm2d)]
    options = {
        "kernel": (conv.kernel_size, (1, 1)),
        "stride": (conv.stride, (1, 1)),
        "dilation": (conv.dilation[0], 1),
        "groups": (conv.groups, 1),
        "norm": (bool(norms), True),
    }
    keywords = [f"{name}={value}" for name, (value, default) in options.items() if value != default]
    keywords += [f"activation=nn.{name}" for name in activations]
    keywords += ["kind=SameConv2d"] if isinstance(conv, SameConv2d) else []
    return f"conv({', '.join([str(conv.in_channels), str(conv.out_channels), *keywords])})"


def _write_squeeze_excite(module: nn.Module) -> str:
    assert isinstance(module, SqueezeExcitation)
    _, small, activation, _, gate = module.gate
    assert isinstance(small, nn.Conv2d)
    parts = [f"{small.in_channels}, {small.out_channels}, nn.{type(activation).__name__}"]
    parts += [] if isinstance(gate, nn.Sigmoid) else [f"nn.{type(gate).__name__}"]
    return f"SqueezeExcite({', '.join(parts)})"


def _write_shortcut(module: nn.Module) -> str:
    assert isinstance(module, WithShortcut)
    parts = (module_expression(part) for part in (module.branch, module.shortcut))
    return "WithShortcut(" + "".join(f"\n    {_indent(part, 4)}," for part in parts) + "\n)"


def _write_activation(module: nn.Module) -> str:
    return f"nn.{type(module).__name__}()"


def _write_average(module: nn.Module) -> str:
    assert isinstance(module, nn.AvgPool2d)
    sizes = f"{module.kernel_size}, {module.stride}, {module.padding}"
    return f"nn.AvgPool2d({sizes}, count_include_pad={module.count_include_pad})"


def _write_cell(module: nn.Module) -> str:
    assert isinstance(module, CellModule)
    assert module.cell is not None
    nodes: list[tuple[list[str], bool]] = [([], gate) for gate in module.cell.gates]
    for (source, target), code in module.cell.edges.items():
        nodes[target - 1][0].append(edge_name((source, target, code)))
    edges = "".join(
        f"        {json.dumps(name)}: {_indent(module_expression(part), 8)},\n" for name, part in module.edges.items()
    )
    parts = (repr(nodes), module_expression(module.expand), f"{{\n{edges}    }}", module_expression(module.project))
    return "Graph(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def _indent(text: str, spaces: int) -> str:
    """Every line but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


WRITERS: dict[type[nn.Module], Callable[[nn.Module], str]] = {
    nn.Sequential: _write_sequential,
    nn.AvgPool2d: _write_average,
    SqueezeExcitation: _write_squeeze_excite,
    WithShortcut: _write_shortcut,
    CellModule: _write_cell,
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish), _write_activation),
}
"""How a module is written: class -> the expression that builds it."""

PLAIN: set[type[nn.Module]] = {nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear, nn.MaxPool2d}
"""Modules of torch that print themselves as the call that makes them, with nothing left out."""

DEFINITIONS: dict[type[nn.Module], str] = {
    SqueezeExcitation: SQUEEZE_EXCITE,
    CellModule: CELL,
    SameConv2d: SAME,
    WithShortcut: SHORTCUT,
}
"""What such an expression needs: class -> the text that ``model.py`` defines it with."""

MERGED = {
    "residual": ("added", "sum(terms[1:], terms[0])"),
    "residual_relu": ("added, with a ReLU behind", "sum(terms[1:], terms[0]).relu()"),
    "mean": ("averaged", "sum(terms[1:], terms[0]) / len(terms)"),
}
"""How a layer merges what its operations give: in words, and in code."""
