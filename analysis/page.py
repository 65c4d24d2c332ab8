"""Runs as one self-contained HTML page: words, figures, tables, drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis import comparison, sentences
from analysis.comparison import RunComparison
from analysis.drawings import draw_svg
from analysis.figures import lineage, objectives, plots
from analysis.figures.operation_history import evidence, flows
from analysis.figures.theme import ADDED, DROPPED, SHARES, run_styles
from analysis.frames import Frames
from spaces.units import format_number
from studies.database.rows import StoredRun

CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}

MIN_SECONDS = 5.0
"""Runs that took fewer seconds get no figure over seconds."""

COLOURS = {"dropped": DROPPED, "added": ADDED, "none": SHARES[0][1], "all": SHARES[-1][1]}


def render(
    frames: Frames, compared: RunComparison, verdict: Sequence[str] = (), agreements: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The page of a run as HTML. Strings from the database are escaped; figures contain their data.

    Args:
        compared: this run, alone or with others; the figures show the others and the references too.
        verdict: paragraphs to highlight above the summary.
        agreements: see ``comparison.rank_agreements``; shown as a table if there are several.
    """
    beside = len(compared.runs) > 1 or len(compared.references) > 0
    run, parts = frames.run, {name: fragment(name, figure) for name, figure in figures(frames, compared).items()}
    final = [row | {"drawing": drawing(run, row["arch"])} for row in _best_first(frames.final)]
    return _environment().get_template("report.html").render(
        title=f"{run.name}: architecture search report",
        run=run.name,
        summary=[*sentences.summary(frames), *(comparison.describe_comparison(compared) if beside else [])],
        verdict=verdict,
        facts=facts(frames),
        compared=_comparison_values(compared) if len(compared.runs) > 1 else None,
        fronts=parts["fronts"],
        beside_costs=[parts[name] for name in ("objectives", "parallel") if name in parts],
        volumes=[parts[name] for name in parts if name.startswith("hypervolume")],
        truth=parts.get("truth"),
        agreements=agreements if len(agreements) > 1 else (),
        spent=parts.get("time"),
        lineage=[
            fragment(f"lineage-{i}", figure) | {"words": caption}
            for i, (figure, caption) in enumerate(lineage.figures(frames))
        ],
        flows=flows(frames.choices),
        evidence=evidence(frames.choices),
        unseen=bool((frames.choices["measured"] == 0).any()),
        rated=bool(frames.choices["rating"].notna().any()),
        gated=run.config.evaluator.learns_gates and bool(frames.choices["learned"].notna().any()),
        added=bool((frames.choices["fate"] == "added").any()),
        rules=frames.choices["rule"].unique().tolist(),
        whatif=frames.whatif.to_dict("records"),
        free=int((frames.whatif["on_front"] == 0).sum()),
        box=comparison.describe_box(
            frames.costs, (run.max_cost, *run.further_max_costs), frames.objective, run.min_accuracy
        ),
        taus=taus(frames),
        rounds=frames.rounds,
        final=final,
        chosen=final[0],
        cost=frames.cost,
        costs=frames.costs,
        objective=frames.objective,
        measured=frames.accuracy_name,
        most_accurate=sentences.most_accurate(run.config),
        units=sentences.COSTS,
        layers=run.space.names,
        settings=list(comparison.flatten(run.config.model_dump(mode="json"))),
        versions=frames.versions,
    )  # fmt: skip


def render_comparison(compared: RunComparison, verdict: Sequence[str] = ()) -> str:
    """The page of several runs side by side as HTML. ``verdict``: sentences to highlight at the top."""
    return _environment().get_template("compare.html").render(
        title=" · ".join(compared.labels), compared=_comparison_values(compared, alone=True), verdict=verdict
    )  # fmt: skip


def figures(frames: Frames, compared: RunComparison) -> dict[str, go.Figure]:
    """The figures of a run, by name; the fronts also show the other runs and the references of ``compared``."""
    run = frames.run
    two = len(frames.costs) == 1
    fronts = plots.fronts(frames.results, frames.fronts, frames.cost, frames.objective, run.min_accuracy, stairs=two)
    styles = run_styles(compared.labels)
    others = {label: styles[label] for label in compared.labels[1:]}
    plots.add_runs(fronts, compared.fronts, frames.cost, others, stairs=two)
    plots.add_references(fronts, compared.references, frames.cost)
    by_name = {"fronts": fronts}
    if not two:
        by_name["objectives"] = objectives.matrix(frames.fronts, frames.costs, frames.objective)
        by_name["parallel"] = objectives.parallel(frames.final, frames.costs, frames.objective)
    for over in _overs(frames.trace):
        by_name[f"hypervolume-{over}"] = plots.hypervolume(frames.trace, over)
    if taus(frames):
        by_name["truth"] = plots.truth(frames.witnesses, taus(frames), frames.accuracy_name)
    if frames.time_spent["seconds"].sum() >= 1:
        by_name["time"] = plots.time_spent(frames.time_spent)
    return by_name


def operation_figures(frames: Frames) -> dict[str, go.Figure]:
    """The operations of each round as a heat map, by name: a picture of the tables in the page."""
    return {
        f"operations-{number}": plots.operations(frames.choices, number) for number in frames.choices["round"].unique()
    }


def comparison_figures(compared: RunComparison) -> dict[str, go.Figure]:
    """The figures of several runs side by side, by name."""
    fronts = plots.final_fronts(
        compared.fronts, compared.cost, compared.objective, compared.min_accuracy, stairs=len(compared.costs) == 1
    )
    by_name = {"runs-fronts": plots.add_references(fronts, compared.references, compared.cost)}
    for over in _overs(compared.trace):
        budget = compared.budget if over == "evaluations" else None
        by_name[f"runs-hypervolume-{over}"] = plots.volumes(compared.trace, over, budget)
    return by_name


def _overs(trace: pd.DataFrame) -> Sequence[str]:
    return ("evaluations", "seconds") if trace["seconds"].max() >= MIN_SECONDS else ("evaluations",)


def fragment(name: str, figure: go.Figure) -> dict[str, Any]:
    """A figure as an HTML fragment, its title apart: the page sets titles as headings."""
    title = figure.layout.title.text
    figure.update_layout(title=None, margin={"t": 40})
    height = "100%" if figure.layout.height is None else f"{figure.layout.height}px"
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, default_height=height, config=CONFIG)
    return {"title": title, "html": Markup(html), "name": name}


def drawing(run: StoredRun, arch: str) -> Markup | None:
    """The architecture as SVG; None if its operations are known by name only."""
    svg = draw_svg(run, arch, run.space.name)
    return None if svg is None else Markup(svg)


def facts(frames: Frames) -> list[tuple[str, str]]:
    """The four numbers at the top of the page."""
    first, last = frames.rounds[0], frames.rounds[-1]
    end = last.space_size if last.next_size is None else last.next_size
    return [
        ("hypervolume", f"{first.hypervolume:.3f} → {last.hypervolume:.3f}"),
        (f"best {frames.accuracy_name}", f"{frames.final['accuracy'].max():.2%}"),
        ("architectures in the space", f"{format_number(first.space_size)} → {format_number(end)}"),
        ("evaluations", format_number(sum(row.measured for row in frames.rounds))),
    ]


def taus(frames: Frames) -> dict[int, str]:
    """Round -> Kendall's tau as text, for the rounds that measured it."""
    return {row.round: sentences.format_tau(row) for row in frames.rounds if row.truth}


def _comparison_values(compared: RunComparison, alone: bool = False) -> Mapping[str, Any]:
    """The values of the template ``compared.html``. ``alone``: on a page of its own, with words and fronts; the page of a run
    shows these elsewhere."""
    parts = {name: fragment(name, figure) for name, figure in comparison_figures(compared).items()}
    return {
        "words": comparison.describe_comparison(compared) if alone else [],
        "labels": compared.labels,
        "measured": compared.measured,
        "rows": comparison.rows(compared),
        "points": sorted(compared.equal["evaluations"].unique().tolist()),
        "box": compared.box,
        "fronts": parts["runs-fronts"] if alone else None,
        "volumes": [part for name, part in parts.items() if name != "runs-fronts"],
        "settings": compared.settings.to_dict("records"),
    }


def _best_first(front: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = front.sort_values("accuracy", ascending=False).to_dict("records")
    return rows


def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    environment.globals |= {"plotlyjs": Markup(get_plotlyjs()), "short": format_number, "colours": COLOURS}
    return environment
