"""An overview as a drawing: one line per layer, its operations as boxes, what it costs as bars. Pure SVG text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from spaces.architecture import IDENTITIES
from spaces.show.overview import Overview, OverviewLine, channel_range
from spaces.size import short_size
from spaces.units import format_number

DRAWING_WIDTH = 1120
LEFT, OPS, BARS, RIGHT = 20, 250, 800, 1100
"""Where the names, the boxes and the bars begin, and where all ends; in pixels, as all below."""

LINE, GAP, CHARACTER = 26, 6, 6.7
"""Height of a line of boxes, space between lines and boxes, width of a letter."""

NARROW = 400
"""Width of a portrait."""

KERNELS = {3: "#4c78a8", 5: "#f58518", 7: "#54a24b", 9: "#b279a2", 11: "#9d755d"}
"""Boxes are coloured by kernel size."""

QUIET = "#8a94a6"
"""The colour of what has no kernel, and of what is not searched."""


PLAIN = {"fill": "#2b3445", "font-size": "12", "font-weight": "normal", "text-anchor": "start"}
"""How text looks where nothing else is said."""


class Box(NamedTuple):
    """An operation at its place, relative to its row."""

    text: str
    x: float
    y: float
    width: float


def draw_space(shown: Overview, title: str) -> str:
    """The text of an SVG file."""
    parts, y, block = [_text(LEFT, 34, title, size=16, weight="bold"), *_legend(shown, 62)], 84.0, ""
    most = max(row.costs[1, 0] for row in shown.rows) or 1.0
    for row in shown.rows:
        boxes = _boxes(row)
        if row.block != block:
            parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:g}" y2="{y:g}" stroke="#d9dee7"/>')
            y, block = y + GAP, row.block
        parts += _row(row, boxes, y, most)
        y += boxes[-1].y + LINE + GAP if boxes else LINE + GAP
    parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:g}" y2="{y:g}" stroke="#2b3445"/>')
    totals = zip(("MACs", "params", "ms"), shown.totals.T[: len(shown.columns)].tolist(), strict=False)
    total = ",  ".join(f"{_range(ends, ' to ')} {unit}" for unit, ends in totals)
    parts.append(_text(RIGHT, y + 22, total, weight="bold", anchor="end"))
    height = y + 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{DRAWING_WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {DRAWING_WIDTH} {height:g}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#2b3445">\n'
        f'<rect width="{DRAWING_WIDTH}" height="{height:g}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def draw_architecture(shown: Overview, title: str) -> str:
    """An architecture, narrow enough for a phone: a line per layer, its operation, its output and its cost as a bar."""
    y, block, parts = 40.0, "", [_text(8, 22, title, size=13, weight="bold")]
    most = max(row.costs[0, 0] for row in shown.rows) or 1.0
    for row in shown.rows:
        if row.block != block:
            parts.append(f'<line x1="8" x2="{NARROW - 8}" y1="{y - 3:g}" y2="{y - 3:g}" stroke="#d9dee7"/>')
            block = row.block
        for i, op in enumerate(row.ops):
            colour = QUIET if row.block in ("stem", "head") else _colour(op)
            hollow = op in IDENTITIES
            style = f'fill="white" stroke="{colour}" stroke-dasharray="3 3"' if hollow else f'fill="{colour}"'
            text, top = op if len(op) <= 21 else f"{op[:20]}…", y + i * 22
            parts.append(f'<rect x="94" y="{top:g}" width="148" height="19" rx="4" {style}/>')
            parts.append(_text(168, top + 13.5, text, fill=colour if hollow else "white", size=11, anchor="middle"))
        output = (
            str(row.shape.c_out) if row.block == "head" else f"{row.shape.c_out} × {short_size(row.shape.size_out)}"
        )
        cost, middle = float(row.costs[0, 0]), y + 13.5
        parts.append(f'<rect x="310" y="{y + 4:g}" width="{42 * cost / most:.1f}" height="11" fill="#5b6b85"/>')
        parts += [_text(8, middle, row.name, size=11), _text(248, middle, output, fill=QUIET, size=10.5)]
        parts.append(_text(NARROW - 8, middle, format_number(cost), size=10.5, anchor="end"))
        y += 22 * max(1, len(row.ops)) + 2
    total = f"{format_number(float(shown.totals[0, 0]))} MACs, {format_number(float(shown.totals[0, 1]))} parameters"
    parts.append(_text(NARROW - 8, y + 16, total, weight="bold", anchor="end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {NARROW} {y + 26:g}" role="img" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#2b3445">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _boxes(row: OverviewLine) -> list[Box]:
    """The row's operations, and how many wait, side by side and in as many lines as they need."""
    boxes: list[Box] = []
    x, y = float(OPS), 0.0
    for op in (*row.ops, f"+ {row.waiting} waiting") if row.waiting else row.ops:
        width = len(op) * CHARACTER + 14
        if x + width > BARS - 20 and x > OPS:
            x, y = float(OPS), y + LINE
        boxes.append(Box(op, x, y, width))
        x += width + GAP
    return boxes


def _row(row: OverviewLine, boxes: list[Box], y: float, most: float) -> list[str]:
    """Name, shape, boxes and the bar of the multiply-accumulates: dark up to the least, light up to the most."""
    c_out, middle = channel_range(row.shapes, "c_out"), y + LINE / 2 + 1
    output = c_out if row.block == "head" else f"{c_out} × {short_size(row.shape.size_out)}"
    parts = [_text(LEFT, middle + 3, row.name), _text(OPS - 110, middle + 3, output, fill=QUIET)]
    for box in boxes:
        colour = _colour(box.text) if row.block not in ("stem", "head") else QUIET
        hollow = box.text in IDENTITIES or box.text.startswith("+")
        style = f'fill="white" stroke="{colour}" stroke-dasharray="3 3"' if hollow else f'fill="{colour}"'
        parts.append(
            f'<rect x="{box.x:g}" y="{y + box.y + 2:g}" width="{box.width:g}" height="{LINE - 4}" rx="4" {style}/>'
        )
        fill = colour if hollow else "white"
        parts.append(_text(box.x + box.width / 2, y + box.y + LINE / 2 + 4, box.text, fill=fill, anchor="middle"))
    room = RIGHT - BARS - 110
    for cost, colour in ((row.costs[1, 0], "#c5d0e0"), (row.costs[0, 0], "#5b6b85")):
        parts.append(
            f'<rect x="{BARS}" y="{middle - 6:g}" width="{room * cost / most:.1f}" height="12" fill="{colour}"/>'
        )
    return [*parts, _text(BARS + room + 8, middle + 4, _range(row.costs[:, 0].tolist(), " – "), size=11)]


def _legend(shown: Overview, y: float) -> list[str]:
    parts, x = [], float(OPS)
    colours = {_colour(op) for row in shown.rows for op in row.ops}
    for kernel, colour in KERNELS.items():
        if colour in colours:
            parts.append(f'<rect x="{x:g}" y="{y - 10:g}" width="12" height="12" rx="3" fill="{colour}"/>')
            parts.append(_text(x + 17, y, f"kernel {kernel}", fill=QUIET, size=11))
            x += 78
    return [*parts, _text(BARS, y, "MACs" if shown.arch else "MACs: least (dark), most (light)", fill=QUIET, size=11)]


def _colour(op: str) -> str:
    kernel = re.search(r"_k(\d+)", op)
    return KERNELS.get(int(kernel[1]), QUIET) if kernel else QUIET


def _range(ends: Sequence[float], between: str) -> str:
    """``12345678, 23456789`` -> ``12.3M to 23.5M``; one number where they read the same."""
    return between.join(dict.fromkeys(format_number(cost) for cost in ends))


def _text(
    x: float,
    y: float,
    text: str,
    *,
    fill: str = "#2b3445",
    size: float = 12,
    weight: str = "normal",
    anchor: str = "start",
) -> str:
    style = {"fill": fill, "font-size": f"{size:g}", "font-weight": weight, "text-anchor": anchor}
    attributes = "".join(f' {name}="{value}"' for name, value in style.items() if value != PLAIN[name])
    return f'<text x="{x:g}" y="{y:g}"{attributes}>{escape(text)}</text>'
