"""A run's architectures as small drawings."""

from __future__ import annotations

from dataclasses import replace

from spaces.architecture import Architecture, operations
from spaces.show.drawing import draw_architecture
from spaces.show.overview import make_overview
from spaces.space import resolve_variants
from studies.database.rows import StoredRun


def drawn(run: StoredRun, arch: str, title: str) -> str | None:
    """The architecture as SVG; None where its operations are a table's own, of which nothing is known but their names.

    Only the architecture's own operations are counted: later rounds may have brought some that the first space had not.
    """
    try:
        found, space = resolve_variants(Architecture.parse(arch), run.space)
        layers = [
            replace(layer, candidates=() if gene == "skip" else operations(gene), pending=())
            for layer, gene in zip(space.layers, found.genes, strict=True)
        ]
        shown = make_overview(space.replace_layers(layers), found, run.config.search.macs_convention)
    except ValueError:
        return None
    return draw_architecture(shown, title)
