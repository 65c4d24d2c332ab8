"""A run's architectures as small drawings."""

from __future__ import annotations

from dataclasses import replace

from spaces.architecture import Architecture, operations
from spaces.drawing import portrait
from spaces.overview import overview
from studies.store import Run


def drawn(run: Run, arch: str, title: str) -> str | None:
    """The architecture as SVG; None where its operations are a table's own, of which nothing is known but their names.

    Only the architecture's own operations are counted: later rounds may have brought some that the first space had not.
    """
    genes = arch.split("|")
    layers = [
        replace(layer, candidates=() if gene == "skip" else operations(gene), pending=())
        for layer, gene in zip(run.space.layers, genes, strict=True)
    ]
    try:
        shown = overview(run.space.replace_layers(layers), Architecture.parse(arch), run.config.search.convention)
    except ValueError:
        return None
    return portrait(shown, title)
