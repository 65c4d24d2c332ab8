"""``python -m spaces.show NAME``: a space or an architecture as a table to read, as JSON, or as a drawing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spaces import columns, shell
from spaces.architecture import Architecture
from spaces.costs.memory import PRECISIONS
from spaces.costs.table import CONVENTIONS, Floats
from spaces.errors import SpaceError
from spaces.files.outputs import write_output
from spaces.latency.measure import load_latency_table
from spaces.library.cli import SPACE_HELP, add_image_arguments, resolve_space
from spaces.library.named_spaces import LIBRARY
from spaces.show.drawing import draw_space
from spaces.show.overview import Overview, OverviewLine, abbreviate_ops, channel_range, make_overview
from spaces.size import short_size, size_text
from spaces.space import SearchSpace

HEADINGS = {"macs": "MACs", "params": "params", "latency_ms": "ms"}
"""What the columns of costs are called on paper."""


def table(shown: Overview) -> str:
    """The overview as lines of aligned text."""
    headings = ["layer", "input", "output", *(HEADINGS[name] for name in shown.columns), "share", "operations"]
    lines = [headings]
    for row, share in zip(shown.rows, shown.shares(), strict=True):
        waiting = f" ({row.waiting} more waiting)" if row.waiting else ""
        text = " + ".join(row.ops) if shown.arch else abbreviate_ops(row.ops)
        lines.append([row.name, *_end_lines(row), *_costs(shown, row.costs), f"{share:.1%}", text + waiting])
    lines.append(["total", "", "", *_costs(shown, shown.totals), "", ""])
    return "\n".join(
        [headline(shown), "", columns.format_table(lines, left=(0, 1, 2, len(headings) - 1)), *footnotes(shown)]
    )


def headline(shown: Overview) -> str:
    """What is shown, in one line."""
    space, stem = shown.space, shown.space.stem
    images = f"images {stem.c_in} x {size_text(stem.size)}, {space.head.classes} classes"
    if shown.arch:
        return f"an architecture of {space.name}; {images}"
    size = f"{space.size:,}" if space.size < 10**9 else f"{space.size:.4e}".replace("e+", "e")
    return f"{space.name}: {space.layers_in_words}, {size} architectures; {images}"


def footnotes(shown: Overview) -> list[str]:
    """How the figures are to be read."""
    notes = ["", f"MACs ({shown.convention}): {CONVENTIONS[shown.convention].definition}."]
    if not shown.arch:
        notes.append(
            "Costs are the least and the most of a layer's choices; share: of the MACs, each layer at its most."
        )
    if "latency_ms" in shown.columns:
        notes.append("ms: the stem's time is in the head's.")
    if shown.on_device is not None:
        flash, memory = (_ends(ends) for ends in shown.on_device.T.tolist())
        notes.append(
            f"On a device with {shown.target} numbers: {flash} KB of flash for weights, {memory} KB of memory."
        )
    return notes


def _ends(ends: Sequence[float]) -> str:
    """A least and a most, as whole numbers: one where they are equal."""
    return " to ".join(dict.fromkeys(f"{end:,.0f}" for end in ends))


def _end_lines(row: OverviewLine) -> tuple[str, str]:
    shape = row.shape
    c_in, c_out = channel_range(row.shapes, "c_in"), channel_range(row.shapes, "c_out")
    output = c_out if row.block == "head" else f"{c_out} x {short_size(shape.size_out)}"
    return f"{c_in} x {short_size(shape.size)}", output


def _costs(shown: Overview, costs: Floats) -> list[str]:
    """The known costs: one number each, or two where the choice decides."""
    cells = []
    for name, least, most in zip(shown.columns, *costs.tolist(), strict=False):
        ends = dict.fromkeys(f"{cost:.3f}" if name == "latency_ms" else f"{cost:,.0f}" for cost in (least, most))
        cells.append(" - ".join(ends))
    return cells


def as_json(shown: Overview) -> dict[str, Any]:
    """The overview as plain data; every cost is [least, most] of a space, and one number of an architecture."""

    def costs(values: Floats) -> dict[str, Any]:
        whole = [
            [v if name == "latency_ms" else round(v) for v in ends]
            for name, ends in zip(shown.columns, values.T.tolist(), strict=False)
        ]
        return {name: ends[0] if shown.arch else ends for name, ends in zip(shown.columns, whole, strict=True)}

    space, on_device = shown.space, dict[str, Any]()
    if shown.on_device is not None:
        for name, ends in zip(("flash_kb", "memory_kb"), shown.on_device.T.tolist(), strict=True):
            on_device[name] = ends[0] if shown.arch else ends
    return {
        "space": space.name,
        "architectures": space.size,
        "arch": str(shown.arch) if shown.arch else None,
        "convention": shown.convention,
        "total": costs(shown.totals) | on_device,
        "rows": [
            {
                "layer": row.name,
                "c_in": row.shape.c_in,
                "c_out": row.shape.c_out,
                **({"shapes": [[shape.c_in, shape.c_out] for shape in row.shapes]} if len(row.shapes) > 1 else {}),
                "stride": row.shape.stride,
                "size": row.shape.size,
                "operations": list(row.ops),
                "waiting": row.waiting,
                "share": float(share),
                **costs(row.costs),
            }
            for row, share in zip(shown.rows, shown.shares(), strict=True)
        ],
    }


EXAMPLES = """examples:
  python -m spaces.show pad_nas_large
  python -m spaces.show pad_nas_large --out space.svg
  python -m spaces.show nas_bench_macro --arch "proj|id|..." --out network.svg
  python -m spaces.show mobilenet_v3_small --size 96 --target int8
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = shell.parser(
        "spaces.show",
        "Show a space, or one of its architectures: layers, shapes, operations and what they cost.",
        EXAMPLES,
    )
    add = command.add_argument
    add("space", metavar="NAME", help=f"{SPACE_HELP}, or a network of torchvision or timm (resnet50, timm:fbnetc_100)")
    add("--arch", metavar="STRING", help="an architecture: its genes joined by |, as studies print it")
    add("--convention", choices=CONVENTIONS, default="macs", help="how MACs are counted")
    add("--latency", type=Path, metavar="FILE", help="a latency table: measured by spaces.latency, or published")
    add("--latency-device", metavar="NAME", help="which device of a table that has several")
    add("--target", choices=PRECISIONS, help="also KB of flash and of memory on a device with such numbers")
    add("--out", type=Path, metavar="FILE", help="also draw it into this file, as SVG")
    add("--svg", dest="out", type=Path, action=shell.Renamed)
    add("--json", action="store_true", help="print JSON instead of the table")
    add_image_arguments(command)
    return command


def main(argv: Sequence[str] | None = None) -> int:
    """0: shown; 1: something the user must do first."""
    return shell.run_command(_show, parser().parse_args(argv))


def _show(args: argparse.Namespace) -> int:
    arch = Architecture.parse(args.arch) if args.arch is not None else None
    latency = load_latency_table(args.latency, args.latency_device) if args.latency else None
    shown = make_overview(_find_space(args), arch, args.convention, latency, args.target)
    if args.out:
        write_output(args.out, draw_space(shown, headline(shown)))
    print(json.dumps(as_json(shown), indent=2) if args.json else table(shown))
    return 0


def _find_space(args: argparse.Namespace) -> SearchSpace:
    """The space of this name or in this file; of a network that another library has, the space that holds it alone."""
    if args.space in LIBRARY or args.space.endswith(".json"):
        return resolve_space(args.space, args)
    from spaces.pretrained.networks import check_reading, find_original, is_network  # torch: a second

    if not is_network(args.space):
        return resolve_space(args.space, args)  # raises
    if args.channels or args.classes:
        raise SpaceError(f"{args.space} has its own channels and classes: leave out --channels and --classes")
    original = find_original(args.space, args.size)
    if args.space.startswith("timm:") and original.build is not None:
        check_reading(args.space, original, original.build())
    return original.read.space


if __name__ == "__main__":
    sys.exit(main())
