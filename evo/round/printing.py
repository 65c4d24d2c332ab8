"""The lines that ``python -m evo.round`` prints."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TypeVar

from analysis.frames import calibration_of, choices, truth_of
from analysis.sentences import (
    count,
    describe_cells,
    describe_found,
    describe_latency,
    describe_lessons,
    describe_reasons,
    what_it_is,
)
from evo.round.options import DEFAULT_RUN, RunOptions
from spaces import columns
from spaces.show.overview import channel_range
from spaces.size import as_text
from spaces.space import SearchSpace
from spaces.units import format_number
from studies.config import StudyConfig
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.database.urls import command_on, files_folder, shown_url
from studies.records import Evaluation, Round, complete_evaluations
from studies.run_names import run_folder

T = TypeVar("T")

HEADINGS = (
    "round", "space", "proposals", "distinct", "front", "best acc", "its cost", "hypervolume", "tau",
    "kept", "dropped", "added", "compute", "seconds",
)  # fmt: skip
WIDTHS = tuple(max(7, len(heading)) for heading in HEADINGS)


def space_lines(space: SearchSpace) -> str:
    """The space, a line per layer."""
    width = max(map(len, space.names))
    channels = [
        (channel_range(space.shapes(i), "c_in"), channel_range(space.shapes(i), "c_out"))
        for i in range(len(space.layers))
    ]
    wide = [max(4, *map(len, column)) for column in zip(*channels, strict=True)]
    return "\n".join(
        f"{name:{width}}  {c_in:>{wide[0]}} -> {c_out:<{wide[1]}} stride {layer.shape.stride} at "
        f"{as_text(layer.shape.size):>3} px  {' '.join(layer.candidates)}"
        for name, layer, (c_in, c_out) in zip(space.names, space.layers, channels, strict=True)
    )


def run_headings(run: StoredRun) -> Sequence[str]:
    """``HEADINGS``, without the word accuracy where none is measured."""
    return HEADINGS if run.config.measured == "accuracy" else [h.replace("best acc", "best") for h in HEADINGS]


def format_line(run: StoredRun, values: Sequence[str]) -> str:
    """Values under ``HEADINGS``, as far as the run has them."""
    return columns.format_row(asked(run, values), asked(run, WIDTHS))


def asked(run: StoredRun, values: Sequence[T]) -> list[T]:
    """One of ``values`` for each of ``HEADINGS``; that for ``tau`` only where the run asks for the truth, that for ``compute``
    only where images are trained or scored on."""
    shown = {"tau": bool(run.config.ground_truth.sample), "compute": run.config.evaluator.uses_images}
    return [value for heading, value in zip(HEADINGS, values, strict=True) if shown.get(heading, True)]


def row_values(store: Store, run: StoredRun, row: StoredRound) -> Sequence[str]:
    """A finished round, one value for each of ``HEADINGS``."""
    assert row.next_space is not None
    changes = row.space.diff(row.next_space)
    best = max(round_front(store, run, row), key=lambda e: e.score(run.config.search.objective))
    truth = truth_of(row)
    return (
        str(row.number),
        format_number(row.space.size),
        str(row.stats["proposals"]),
        str(row.stats["distinct"]),
        str(row.stats["front"]),
        f"{best.accuracy:.2%}",
        format_number(best.cost(run.config.search.cost)),
        f"{row.hypervolume:.4f}",
        "-" if truth is None or truth.of_objective.tau is None else f"{truth.of_objective.tau:.2f}",
        str(sum(len(change.kept) for change in changes)),
        str(sum(len(change.dropped) for change in changes)),
        str(sum(len(change.added) for change in changes)),
        _compute(row),
        f"{sum(row.stats['seconds'].values()):.1f}",
    )


def _compute(row: StoredRound) -> str:
    """MACs that the round has cost; a dash where they are not known."""
    macs = row.stats.get("macs")
    return "-" if macs is None else format_number(sum(macs.values()))


def round_front(store: Store, run: StoredRun, row: StoredRound) -> tuple[Evaluation, ...]:
    """The Pareto front of a round, cheapest first."""
    evaluations = complete_evaluations(proposal.evaluation for proposal in store.proposals(row))
    search = run.config.search
    return Round(
        row.number,
        row.space,
        evaluations,
        cost=search.cost,
        objective=search.objective,
        further_costs=search.costs[1:],
    ).front


def nothing_to_do(run: StoredRun, options: RunOptions) -> str:
    """Why nothing ran."""
    done = options.rounds
    named = [] if run.name == DEFAULT_RUN else ["--run", run.name]
    further = command_on(options.storage, "evo.round", str(done + 1), *named)
    return f"\nnothing to do: run {run.name} has finished round {done}; next: {further}"


def next_commands(store: Store, run: StoredRun, options: RunOptions) -> str:
    """Where the results are, and the next commands."""
    rows = store.rounds(run)[: options.rounds]
    last = rows[-1]
    members = round_front(store, run, last)
    cost = run.config.search.cost
    storage = shown_url(options.storage)
    said = (*remarks(rows), *remarks_on_dropped(store, run, last.number), *remarks_on_scores(store, run, last))
    notes = "".join(f"{remark}\n" for remark in said)
    hidden = (
        "\n(*** is the password; it need not be in the URL: see docs/howto/postgresql.md)" if "***" in storage else ""
    )
    best = max(members, key=lambda e: e.score(run.config.search.objective))  # the last, but with several costs
    ends = [f"{e.accuracy:.2%} at {format_number(e.cost(cost))}" for e in (members[0], best)]
    front = f"1 network, {ends[0]}" if len(members) == 1 else f"{len(members)} networks, from {' to '.join(ends)}"
    return (
        f"\n{notes}front of round {last.number}: {front} {cost}{what_it_is(run.config)}\n"
        f"results: {storage} (view results, run {run.name!r}); weights: {run_folder(files_folder(options.storage), run.name)}\n"
        f"next: {command_on(options.storage, 'analysis.report', run.name)}\n"
        f"      optuna-dashboard {shlex.quote(storage)}\n"
        f"      {command_on(options.storage, 'evo.deliver', run.name)}{hidden}"
    )


def remarks_on_dropped(store: Store, run: StoredRun, until: int) -> list[str]:
    """The rounds that have dropped operations which they had never measured, a sentence each."""
    found = choices(store, run, until)
    dropped = found[found["fate"] == "dropped"].groupby("round")["measured"]
    return [
        f"round {number} dropped {count(len(times), 'operation')}, {(times == 0).sum()} of them not measured in it"
        for number, times in dropped
        if (times == 0).any()
    ]


def remarks_on_scores(store: Store, run: StoredRun, row: StoredRound) -> list[str]:
    """What a reader of a round's line should know of its scores, a sentence each."""
    objective, notes = run.config.search.objective, []
    measured = complete_evaluations(proposal.evaluation for proposal in store.proposals(row))
    best, most = max(measured, key=lambda e: e.score(objective)), max(measured, key=lambda e: e.accuracy)
    if row.hypervolume is not None and row.hypervolume < HALF_OF_LAST_DIGIT:
        notes.append(explain_no_hypervolume(run, measured, row.hypervolume))
    if most.accuracy > best.accuracy:
        notes.append(explain_best(run.config, most.accuracy))
    return notes


def explain_best(config: StudyConfig, most: float) -> str:
    """Why the best network of a round is not the one of most accuracy, or what stands in its place, which has ``most``."""
    if config.measured == "accuracy":
        return f"best acc is that of the network with the highest {config.score}; the most accurate one has {most:.2%}"
    return f"best is the {config.measured} of the network with the highest {config.score}; the most is {most:.2%}"


HALF_OF_LAST_DIGIT = 5e-5
"""A hypervolume below is shown as 0.0000."""


def explain_no_hypervolume(run: StoredRun, measured: Sequence[Evaluation], hypervolume: float) -> str:
    """Why networks have, as shown, a hypervolume of nothing."""
    search = run.config.search
    best = max(evaluation.score(search.objective) for evaluation in measured)
    if best <= run.min_accuracy:
        return (
            f"hypervolume is 0: it counts above search.min_accuracy = {run.min_accuracy:g}, and the best score is "
            f"{best:.4f}; a run with a lower search.min_accuracy shows progress"
        )
    counting = [e for e in measured if e.score(search.objective) > run.min_accuracy]
    box = dict(zip(search.costs, (run.max_cost, *run.further_max_costs), strict=True))
    for cost, most in box.items():
        if (least := min(e.cost(cost) for e in counting)) >= most:
            return (
                f"hypervolume is 0: it counts below {format_number(most)} {cost}, the most when the run began, and the "
                f"cheapest network has {format_number(least)}; was a table of costs changed since, or is this cost the same "
                "for all?"
            )
    ends = " and ".join(f"{format_number(most)} {cost}" for cost, most in box.items())
    return (
        f"hypervolume is {hypervolume:.1e}: networks score little above search.min_accuracy = {run.min_accuracy:g}, or cost "
        f"nearly as much as the most when the run began, {ends}"
    )


def remarks(rows: Sequence[StoredRound]) -> list[str]:
    """What a reader of finished rounds should know, a sentence each."""
    last = rows[-1]
    notes = []
    if last.stats["exhausted"]:
        notes.append("the space was exhausted before the budget was")
    if unscreened := last.stats.get("unscreened"):
        generations = f"{unscreened} generation{'s' * (unscreened > 1)}"
        notes.append(f"the surrogate was no better than chance in {generations}: NSGA-II chose alone there")
    notes += [
        f"round {row.number}: {reason}" for row in rows for reason in describe_reasons(row.stats.get("failed", {}))
    ]
    notes += [
        f"round {row.number}: {told.removesuffix('.')}"
        for row in rows
        for told in describe_found(row.stats.get("found", {}), row.stats.get("measured", 0))
    ]
    notes += [
        f"round {row.number}: {told}" for row in rows for told in describe_lessons(row.stats.get("learned_from", ()))
    ]
    notes += [f"round {row.number}: {told}" for row in rows for told in describe_latency(row.stats.get("latency"))]
    notes += [f"round {row.number}: {told}" for row in rows for told in describe_guards(row.stats.get("guards"))]
    notes += [f"round {row.number}: {told}" for row in rows for told in describe_cells(row.stats.get("cells"))]
    if found := calibration_of(last):
        notes.append(f"round {last.number}: {found.sentence()}")
    truth = truth_of(last)
    if truth and truth.of_objective.warning:
        notes.append(truth.of_objective.warning)
    return notes


def describe_guards(guards: Mapping[str, int] | None) -> list[str]:
    """What it means that guard samples are missing, in a sentence; empty where none is."""
    if guards is None or guards["found"] >= guards["wanted"]:
        return []
    return [
        f"{guards['found']} of {guards['wanted']} guard samples were found just below the limits, so that the cheap end of the "
        "front stands against fewer networks; a larger evolution.guard widens the band"
    ]
