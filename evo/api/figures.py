"""Figures by name."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from studies.records import EvoError


def figure_named(figures: Mapping[str, go.Figure], name: str) -> go.Figure:
    """The figure of that name.

    Raises:
        EvoError: there is none; the message names those there are.
    """
    if name not in figures:
        raise EvoError(f"no figure {name!r}; there are: {', '.join(figures)}")
    return figures[name]
