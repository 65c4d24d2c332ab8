"""A run's architectures as SVG drawings."""

from __future__ import annotations

from dataclasses import replace

from spaces.architecture import Architecture, operations
from spaces.show.drawing import draw_architecture
from spaces.show.overview import make_overview
from spaces.space import resolve_variants
from studies.database.rows import StoredRun


def draw_svg(run: StoredRun, arch: str, title: str) -> str | None:
    """The architecture as SVG; None where its operations are known by name only, as those of a benchmark table are.

    The overview is made of the architecture's own operations: later rounds may have added some that the first space lacks.
    """
    try:
        resolved, space = resolve_variants(Architecture.parse(arch), run.space)
        layers = [
            replace(layer, candidates=() if gene == "skip" else operations(gene), pending=())
            for layer, gene in zip(space.layers, resolved.genes, strict=True)
        ]
        overview = make_overview(space.replace_layers(layers), resolved, run.config.search.macs_convention)
    except ValueError:
        return None
    return draw_architecture(overview, title)
