"""One run as one HTML page that needs no network: words, figures, tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis import lineage, plots, words
from analysis.frames import Frames
from studies.store import Store
from studies.units import short

CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}

WORTH_A_LOOK = 5.0
"""Seconds from which on a figure over seconds says something."""


def render(store: Store, frames: Frames) -> str:
    """The page of a run. Strings from the database are escaped; figures carry their own data."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    run = frames.run
    descent = lineage.figures(store, frames)
    overs = ("evaluations", "seconds") if frames.trace["seconds"].iloc[-1] >= WORTH_A_LOOK else ("evaluations",)
    return environment.get_template("report.html").render(
        run=run.name,
        plotlyjs=Markup(get_plotlyjs()),
        summary=words.summary(frames),
        facts=facts(frames),
        fronts=figure(
            plots.fronts(frames.results, frames.fronts, frames.cost, frames.objective, run.min_accuracy), "fronts"
        ),
        volumes=[figure(plots.hypervolume(frames.trace, over), f"hypervolume-{over}") for over in overs],
        lineage=[{**figure(drawn, f"lineage-{i}"), "words": said} for i, (drawn, said) in enumerate(descent)],
        operations=[
            figure(plots.operations(frames.choices, n), f"operations-{n}") for n in frames.choices["round"].unique()
        ]
        if not descent  # a bred cell stands in one layer and seldom in two rounds: a row for each says nothing
        else [],
        box=f"0 to {short(run.max_cost)} {words.COSTS[frames.cost]}, {frames.objective} {run.min_accuracy:.0%} to 100%",
        truth=figure(plots.truth(witnesses(frames), taus(frames)), "truth") if taus(frames) else None,
        taus=taus(frames),
        rounds=frames.rounds,
        changes={row.round: change(frames, row.round) for row in frames.rounds},
        final=frames.final.sort_values("accuracy", ascending=False).to_dict("records"),
        cost=frames.cost,
        units=words.COSTS,
        layers=run.space.names,
        settings=list(flat(run.config.model_dump(mode="json"))),
        versions=versions(store, frames),
        short=short,
    )


def figure(figure: go.Figure, name: str) -> dict[str, Any]:
    """A figure as a fragment of HTML, and its title: the page has headings of its own."""
    title = figure.layout.title.text
    figure.update_layout(title=None, margin={"t": 40})
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, default_height="100%", config=CONFIG)
    return {"title": title, "html": Markup(html), "name": name}


def facts(frames: Frames) -> list[tuple[str, str]]:
    """The four numbers at the top of the page."""
    first, last = frames.rounds[0], frames.rounds[-1]
    end = last.space_size if last.next_size is None else last.next_size
    return [
        ("hypervolume", f"{first.hypervolume:.3f} → {last.hypervolume:.3f}"),
        ("best accuracy", f"{frames.final['accuracy'].max():.2%}"),
        ("architectures in the space", f"{short(first.space_size)} → {short(end)}"),
        ("evaluations", short(sum(row.measured for row in frames.rounds))),
    ]


def witnesses(frames: Frames) -> pd.DataFrame:
    """One row per round and network that was scored and also trained alone (or looked up)."""
    return pd.DataFrame(
        {"round": row.round, **asdict(witness)} for row in frames.rounds if row.truth for witness in row.truth.witnesses
    )


def taus(frames: Frames) -> dict[int, str]:
    """Kendall's tau, as it is to be read, of the rounds that asked for the truth."""
    return {row.round: words.ranked(row) for row in frames.rounds if row.truth}


def change(frames: Frames, number: int) -> dict[str, Any]:
    """What a round did to the space, per layer."""
    choices = frames.choices[frames.choices["round"] == number]
    return {"dropped": words.by_layer(choices, "dropped"), "refilled": words.by_layer(choices, "refilled")}


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as ``section.key`` and value, the way ``--set`` takes them; what was left unset is left out."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", json.dumps(value)


def versions(store: Store, frames: Frames) -> dict[str, str]:
    """When the run was begun, and with which versions of the program and its libraries."""
    row = store.frame("SELECT created_at, versions_json FROM runs WHERE id = :run", run=frames.run.id).iloc[0]
    return {"begun (UTC)": str(row["created_at"])[:19], **json.loads(row["versions_json"])}
