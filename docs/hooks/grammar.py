"""Reference: the grammar of operations, the conventions by which MACs are counted, and the named spaces."""

from __future__ import annotations

from collections.abc import Iterator

from docs.hooks.markdown import code, first_sentence, prose, table
from spaces.architecture import Op
from spaces.costs.table import CONVENTIONS, cost_table, count_costs
from spaces.layer import Shape
from spaces.library import named_spaces
from spaces.operations import grammar
from spaces.operations.cells import Alphabet, reference_cells
from spaces.space import SearchSpace
from spaces.units import format_number

SHOWN = Shape(24, 24, 1, 14)
"""The layer that the examples stand in."""

MEASURED_ON = ("mobilenet_v2", "efficientnet_b0")
"""Spaces of one published network, by which conventions are compared."""


def operations_page() -> str:
    """The page of operations, as Markdown."""
    costs = [
        [code(example), code(name), f"{counts.macs:,}", f"{counts.params:,}"]
        for name in grammar.OPERATIONS
        if (example := _example(name)) and (counts := grammar.count_operation(example, SHOWN))
    ]
    return "\n\n".join(
        [
            "# Operations",
            prose(grammar.__doc__),
            "## What they cost",
            f"One example of each, in a layer of {SHOWN.c_in} channels and {SHOWN.size} x {SHOWN.size} pixels.",
            table(["operation", "entry of `OPERATIONS`", "MACs", "parameters"], costs) + "\n",
        ]
    )


def _example(name: str) -> Op | None:
    """An operation of this entry that some space of the library uses, and that fits the layer; None: there is none."""
    return next((op for op in _used() if grammar.entry_of(op) == name and _fits(op)), None)


def _used() -> Iterator[Op]:
    yield from ("id", "skip")
    for name in named_spaces.LIBRARY:
        for layer in named_spaces.load_space(name).layers:
            yield from (op for op in layer.candidates + layer.pending if not op.startswith("row_"))
    yield from map(str, reference_cells(Alphabet()))


def _fits(op: Op) -> bool:
    try:
        grammar.count_operation(op, SHOWN)
    except ValueError:
        return False
    return True


def macs_page() -> str:
    """The page of conventions, as Markdown."""
    networks = {name: named_spaces.load_space(name) for name in MEASURED_ON}
    rows = [
        [
            code(name),
            convention.definition,
            convention.source,
            *(f"{count_costs(space, next(space.enumerate()), name).macs:,}" for space in networks.values()),
        ]
        for name, convention in CONVENTIONS.items()
    ]
    return f"""# How MACs are counted

A MAC is one multiply-accumulate. Papers and tools count different things, so every convention has a name here. `macs` is the
default; `search.macs_convention` chooses another one for a run, `--convention` for `python -m spaces.show`. All figures are of
one image.

{table(["convention", "what is counted", "who counts so", *map(code, networks)], rows)}
"""


def spaces_page() -> str:
    """The page of named spaces, as Markdown."""
    rows = [
        [code(name), *_space(named_spaces.load_space(name), first_sentence(_maker(name).__doc__))]
        for name in named_spaces.LIBRARY
    ]
    headings = ["space", "what it is", "layers and images", "architectures", "MACs", "parameters"]
    return f"""# Named spaces

`space.name` takes one of these names, or the name `table` (the space is read from a [table](../start/your-table.md)).
`space.path` takes a file with a space as JSON instead. `channels`, `size` and `classes` adapt a space to other images.
`python -m spaces.show NAME` prints a space layer by layer. Costs are the least and the most that an architecture costs, by the
convention `macs`.

{table(headings, rows)}
"""


def _maker(name: str) -> object:
    """The function behind an entry of the library."""
    maker = named_spaces.LIBRARY[name]
    return getattr(maker, "func", maker)


def _space(space: SearchSpace, what: str) -> list[str]:
    stem = space.stem
    images = f"{len(space.layers)} layers; {stem.c_in} x {stem.size} x {stem.size}, {space.head.classes} classes"
    least, most = cost_table(space).bounds()[:, :2].tolist()
    costs = [" to ".join(dict.fromkeys(map(format_number, ends))) for ends in zip(least, most, strict=True)]
    return [what, images, format_number(space.size), *costs]
