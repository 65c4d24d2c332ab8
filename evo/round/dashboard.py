"""A finished round, as optuna-dashboard shows it: a note, and figures across rounds.

Optuna keeps a figure in pieces of 2 kB, each a commit of its own, and the dashboard sends all of them with every refresh.
So figures are thin here: fronts whole, everything else sampled. And drawings are made for the front alone, as artifacts:
a file each, and some 200 bytes among the study's attributes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import optuna
import plotly.graph_objects as go

from analysis import sentences
from analysis.drawings import draw_svg
from analysis.figures import plots
from analysis.frames import Frames, load
from spaces.atomic_files import write_text
from spaces.units import format_number
from studies.database.engines import retry_while_unavailable
from studies.database.mirror import own_trials
from studies.database.rows import StoredRun
from studies.database.store import Store

BACKGROUND = 100
"""How many trials beside the fronts are worth their bytes."""

DRAWINGS = "dashboard:artifacts"
"""Where optuna-dashboard looks among a study's attributes for the artifacts of a trial."""


@retry_while_unavailable
def publish(store: Store, run: StoredRun, n: int, artifacts: Path) -> None:
    """Write round ``n``'s note, the figures of rounds 1 to ``n`` and drawings of its front to the round's Optuna study.

    A second call changes nothing. ``artifacts``: the folder of the drawings.
    """
    frames = load(store, run, until=n)
    row = store.mirror_round(run, store.rounds(run)[n - 1])
    study = optuna.load_study(study_name=row.study, storage=store.optuna)
    write_note(study, round_note(frames, n))
    write_figures(study, dashboard_figures(frames, n))
    front = frames.fronts[frames.fronts["round"] == n]
    write_drawings(
        store, run, study, dict(zip(front["number"].tolist(), front["arch"].tolist(), strict=True)), artifacts
    )


def dashboard_figures(frames: Frames, n: int) -> Mapping[str, go.Figure]:
    """What the study's page shows under Optuna's own history, by identifier."""
    return {
        "fronts": without_hover(
            plots.fronts(
                frames.results,
                frames.fronts,
                frames.cost,
                frames.objective,
                frames.run.min_accuracy,
                BACKGROUND,
                stairs=len(frames.costs) == 1,
            ),
            n,
        ),
        "hypervolume": plots.hypervolume(frames.trace),
        "operations": plots.operations(frames.choices, n).update_layout(height=None),
    }


def without_hover(figure: go.Figure, n: int) -> go.Figure:
    """The fronts with architectures on hover in round ``n``'s own only: the other rounds' stand on their own pages."""
    for trace in figure.data:
        if trace.name != f"round {n}" or trace.mode == "markers":
            trace.update(hovertext=None, hovertemplate=None)
    return figure


def round_note(frames: Frames, n: int) -> str:
    """The round in Markdown: its space, what its search found, what was kept and dropped, and why."""
    row, before = frames.rounds[-1], frames.rounds[-2] if n > 1 else None
    front = frames.fronts[frames.fronts["round"] == n]
    choices = frames.choices[frames.choices["round"] == n]
    changes = [
        f"| {fate} | {escape_markdown(layer)} | {', '.join(f'`{escape_markdown(op)}`' for op in ops)} |"
        for fate in ("dropped", "added")
        for layer, ops in sentences.by_layer(choices, fate)
    ]
    truth = [sentences.describe_agreement(row.truth), row.truth.of_objective.warning] if row.truth else []
    pruned = f", {row.pruned} of them stopped early" if row.pruned else ""
    failed = f", {row.failed} of them failed" if row.failed else ""
    measured = sentences.describe_measured(row.dropped, row.unmeasured)
    volume = f"{row.hypervolume:.4f}"
    if before is not None:
        gain = f"{row.hypervolume - before.hypervolume:+.4f}"
        volume += f" (round {n - 1}: {before.hypervolume:.4f}, {gain}). {sentences.describe_comparability(frames)}"
    return "\n".join(
        [
            f"## Round {n}",
            "",
            f"- **Space:** {format_number(row.space_size)} architectures, {len(frames.run.space.layers)} layers",
            f"- **Search:** {sentences.count(row.proposals, 'proposal')}, {row.measured} measured for this "
            f"round{pruned}{failed}",
            f"- **Front:** {sentences.format_front(front, frames.cost)}{sentences.what_it_is(frames.run.config)}",
            f"- **Hypervolume:** {volume}",
            *(f"- **Truth:** {sentence}" for sentence in truth if sentence),
            *([f"- **Calibration:** {row.calibration}"] if row.calibration else []),
            f"- **Next space:** {format_number(row.next_size or 0)} architectures; "
            f"{row.kept} operations kept, {row.dropped} dropped{measured}, {row.added} added (counted per layer)",
            f"- **Rule:** {row.rule}",
            *(["", "| fate | layer | operations |", "|---|---|---|", *changes] if changes else []),
        ]
    )


def escape_markdown(text: str) -> str:
    """What a file of a user's calls something, without the signs that would end a cell of the table or begin HTML."""
    return "".join(" " if sign in "`|<>&\n\r" else sign for sign in text)


def write_note(study: optuna.Study, text: str) -> None:
    """Save the study's note, unless it says just that."""
    from optuna_dashboard import get_note, save_note  # 1.5 s to import: not before a round is done

    if get_note(study) != text:
        save_note(study, text)


def write_figures(study: optuna.Study, figures: Mapping[str, go.Figure]) -> None:
    """Save figures under stable identifiers."""
    from optuna_dashboard import save_plotly_graph_object

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for name, figure in figures.items():
            save_plotly_graph_object(study, figure, graph_object_id=name)


def write_drawings(store: Store, run: StoredRun, study: optuna.Study, archs: Mapping[int, str], folder: Path) -> None:
    """Save a drawing of each of these architectures: a file in ``folder``, and its name in the study's attributes.

    Optuna refuses changes to a finished trial; optuna-dashboard also looks for a trial's artifacts among the attributes of
    its study. The file is named after what it shows, so that other databases may share the folder.

    Args:
        archs: proposal -> architecture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = store.optuna.get_study_system_attrs(study._study_id)
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    ours = own_trials([(number, trial.user_attrs) for number, trial in trials.items()], archs)
    for proposal, number in ours.items():
        trial = trials[number]
        svg = draw_svg(run, archs[proposal], f"Trial {number}")
        if svg is None:
            continue
        name = str(uuid5(NAMESPACE_URL, svg))
        artifact = {"artifact_id": name, "filename": "architecture.svg", "mimetype": "image/svg+xml", "encoding": None}
        write_text(folder / name, svg)
        if (key := f"{DRAWINGS}:{trial._trial_id}:{name}") not in there:
            store.optuna.set_study_system_attr(study._study_id, key, json.dumps(artifact))
