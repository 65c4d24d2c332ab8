"""A run in words: the sentences that the report, the terminal and the dashboard share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.frames import Frames, RoundSummary
from analysis.ranking import Truth
from spaces.units import format_number
from studies.config import StudyConfig

COSTS = {
    "macs": "MACs",
    "params": "parameters",
    "latency_ms": "ms",
    "flash_kb": "KB of flash",
    "memory_kb": "KB of memory",
}
"""A cost objective as a unit behind a number."""


def device_columns(networks: pd.DataFrame) -> list[str]:
    """The columns of what networks need on a device, where there is one."""
    return [name for name in ("flash_kb", "memory_kb") if name in networks and networks[name].notna().any()]


OTHER_OBJECTIVE = {"accuracy": "log-likelihood", "likelihood": "accuracy"}
"""Objective of a search -> the other way to rank its networks."""

ESTIMATED = (
    "Accuracies are estimates of what networks reach when they are trained alone with the settings of ground_truth; they rank "
    "networks, and the best of many is likely to be estimated too high.",
)
"""What a reader of calibrated scores must know."""

MAX_NAMED = 20
"""How many classes are listed by name."""


def summary(frames: Frames) -> list[str]:
    """What was searched, the front that it gave, how the space changed, and how far the numbers can be trusted."""
    return [
        describe_search(frames),
        *describe_classes(frames),
        *describe_early_stopping(frames),
        *describe_all_found(frames),
        *describe_learned(frames),
        *[f"{told[0].upper()}{told[1:]}." for row in frames.rounds[-1:] for told in describe_latency(row.latency)],
        *describe_failures(frames),
        *describe_data_changes(frames),
        describe_front(frames),
        *describe_space(frames),
        *describe_last_cells(frames),
        describe_comparability(frames),
        *describe_truth(frames),
        *describe_calibration(frames),
        *caveats(frames),
    ]


def describe_search(frames: Frames) -> str:
    """The method, the space, the judge, and the number of evaluations."""
    run, config = frames.run, frames.run.config
    space = f"{run.space.name}: {run.space.layers_in_words}, {format_number(run.space.size)} architectures"
    measured = sum(row.measured for row in frames.rounds)
    return (
        f"{count(len(frames.rounds), 'round')} of {method_name(config)} searched the space {space}. "
        f"Architectures were judged by {config.judging.describe()}: {count(measured, 'evaluation')}, "
        f"{count(frames.results['arch'].nunique(), 'different architecture')}."
    )


def describe_classes(frames: Frames) -> list[str]:
    """The number of image classes and their names; empty if they are unknown."""
    names = frames.run.classes
    if not names:
        return []
    if frames.run.config.data.labels is False:
        return [f"The images have no labels; the network tells {len(names)} classes of its own apart."]
    if names == tuple(map(str, range(len(names)))):
        return [f"The images are in {len(names)} classes, {names[0]} to {names[-1]}."]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return [f"The images are in {len(names)} classes: {', '.join(names[:MAX_NAMED])}{more}."]


def method_name(config: StudyConfig) -> str:
    """The method's name, marked if the run is a control arm."""
    return f"{config.evolution.method} (control arm)" if config.control else config.evolution.method


def describe_early_stopping(frames: Frames) -> list[str]:
    """How many trainings were stopped early, and the epochs that this saved; empty if none were."""
    pruned, saved = (sum(getattr(row, what) for row in frames.rounds) for what in ("pruned", "epochs_saved"))
    if not pruned:
        return []
    return [f"Training was stopped early for {pruned} of them, clearly dominated at their cost: {saved} epochs saved."]


def describe_all_found(frames: Frames) -> list[str]:
    """What other runs had measured, in a sentence; empty where that was nothing."""
    found = Counter[str]()
    for row in frames.rounds:
        found.update(row.found or {})
    return describe_found(found, sum(row.measured for row in frames.rounds))


def describe_found(found: Mapping[str, int], measured: int) -> list[str]:
    """``12 of 16 networks were measured by run a, and not again.``; empty where other runs had measured none.

    Args:
        found: run -> how many of the ``measured`` it had measured before.
    """
    if not found:
        return []
    names, total = list(found), sum(found.values())
    by = f"run {names[0]}" if len(names) == 1 else f"runs {', '.join(f'{name} ({n})' for name, n in found.items())}"
    return [f"{total} of {measured} networks {'was' if total == 1 else 'were'} measured by {by}, and not again."]


def describe_learned(frames: Frames) -> list[str]:
    """What the last round learned from other runs, a sentence each."""
    return [
        f"In round {row.round} {told}."
        for row in frames.rounds[-1:]
        for told in describe_lessons(row.learned_from or ())
    ]


def describe_latency(known: Mapping[str, Any] | None) -> list[str]:
    """How well latency is known that a device measures, without a full stop; empty where none does.

    Args:
        known: as a round's ``stats`` hold it, ``latency``.
    """
    if known is None:
        return []
    timed = f"the latency of {count(known['networks'], 'network')} was measured"
    if "after" not in known:
        return [f"{timed}: too few to correct the table"]
    before, after = known["before"], known["after"]
    return [
        f"{timed}; that of others is predicted with an error of {after['error']:.1%} and a rank correlation of "
        f"{after['rank']:.2f} (by the table alone {before['error']:.1%}, {before['rank']:.2f})"
    ]


def describe_lessons(verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each run that was learned from, how much it helped, without a full stop.

    Args:
        verdicts: as a round's ``stats`` hold them, ``learned_from``.
    """
    return [_describe_lesson(**verdict) for verdict in verdicts]


def _describe_lesson(source: str, networks: int, own: int, weight: float, gain: float | None, ignored: bool) -> str:
    if gain is None:
        return f"the surrogate learned from run {source} on trust ({count(own, 'measurement')} of its own tell nothing of it)"
    evidence = f"log-likelihood of {own} measurements, each left out: {gain:+.1f}"
    if ignored:
        return f"run {source} did not help the surrogate ({evidence}), and is ignored from then on"
    if not weight:
        return f"run {source} has not helped the surrogate enough ({evidence}), and was not used"
    return f"the surrogate learned from {count(networks, 'network')} of run {source}, with weight {weight:.2f} ({evidence})"


def describe_failures(frames: Frames) -> list[str]:
    """How many networks could not be measured, and why, the most frequent reason first; empty if all were measured."""
    reasons = frames.results.loc[frames.results["is_new"] & frames.results["failed"], "reason"].value_counts()
    return describe_reasons(dict(zip(reasons.index.tolist(), reasons.tolist(), strict=True)))


def describe_reasons(reasons: Mapping[str, int]) -> list[str]:
    """Reasons of failures and how often each occurred: ``2 networks could not be measured: took longer than 5 seconds.``"""
    if not reasons:
        return []
    only = len(reasons) == 1
    listing = "; ".join(reason if only else f"{reason} ({number})" for reason, number in reasons.items())
    return [f"{count(sum(reasons.values()), 'network')} could not be measured: {listing}."]


def describe_data_changes(frames: Frames) -> list[str]:
    """The rounds in which the data changed, which the user had to accept; empty if there are none."""
    return [
        f"The data changed before the end of round {row.round} (fingerprint {row.data_changed[0][:12]}, then "
        f"{row.data_changed[1][:12]}): scores before and after are not those of the same data."
        for row in frames.rounds
        if row.data_changed
    ]


def describe_front(frames: Frames) -> str:
    """The hypervolume of the first and last round, and the final front."""
    first, last = frames.rounds[0], frames.rounds[-1]
    final = f"The final front holds {format_front(frames.final, frames.cost)}{what_it_is(frames.run.config)}."
    if first is last:
        return f"The front's hypervolume is {last.hypervolume:.4f}. {final}"
    was, now = f"{first.hypervolume:.4f} in round {first.round}", f"{last.hypervolume:.4f} in round {last.round}"
    change = f"rose from {was} to {now}" if last.hypervolume > first.hypervolume else f"was {was} and {now}"
    return f"The front's hypervolume {change}. {final}"


def format_front(front: pd.DataFrame, cost: str) -> str:
    """A front that is sorted by cost, its size, its cheapest network and its best:

    ``7 networks, from 93.51% at 28.9k MACs to 97.71% at 214k MACs``.
    """
    points = [
        f"{accuracy:.2%} at {format_number(least)} {COSTS[cost]}"
        for accuracy, least in zip(front["accuracy"].tolist(), front[cost].tolist(), strict=True)
    ]
    scores = front["score"].tolist()
    best = scores.index(max(scores))  # the last, but where there are several costs
    return (
        f"1 network, {points[0]}" if len(points) == 1 else f"{len(points)} networks, from {points[0]} to {points[best]}"
    )


def what_it_is(config: StudyConfig) -> str:
    """What stands behind percentages that are no accuracies: `` (agreement)``; empty where they are."""
    return "" if config.measured == "accuracy" else f" ({config.measured})"


def most_accurate(config: StudyConfig) -> str:
    """What a network is called that has most of what is measured: ``most accurate``, or ``of most agreement``."""
    return "most accurate" if config.measured == "accuracy" else f"of most {config.measured}"


def describe_space(frames: Frames) -> list[str]:
    """How the size of the space changed, and how many operations were dropped and added; empty before a round is finished."""
    rounds = [row for row in frames.rounds if row.next_size is not None]
    dropped, added = sum(row.dropped for row in rounds), sum(row.added for row in rounds)
    if not rounds:
        return []
    if not dropped and not added:
        return [f"The space never changed: {format_number(rounds[0].space_size)} architectures in every round."]
    known = [row.unmeasured for row in rounds if row.unmeasured is not None]
    measured = describe_measured(dropped, sum(known) if len(known) == len(rounds) else None, "their")
    return [
        f"The space went from {format_number(rounds[0].space_size)} to {format_number(rounds[-1].next_size or 0)} "
        f"architectures: {count(dropped, 'operation')} dropped{measured}, {added} added, counted per layer."
    ]


def describe_last_cells(frames: Frames) -> list[str]:
    """The same of the last round, as a sentence by itself."""
    return [f"In round {row.round} {told}." for row in frames.rounds[-1:] for told in describe_cells(row.cells)]


def describe_cells(cells: Mapping[str, Any] | None) -> list[str]:
    """Whether a space of bred cells has settled, in a sentence; empty where none are bred, and where nothing is known of it."""
    if not cells or not cells["cells"] or cells["reliability"] is None:
        return []
    known = f"(reliability of fitness {cells['reliability']:.2f})"
    if cells["stay"] == cells["cells"]:
        return [f"no new cell is better beyond chance: the space has converged {known}"]
    return [f"{cells['stay']} of {cells['cells']} bred cells stay candidates {known}"]


def describe_measured(dropped: int, unmeasured: int | None, whose: str = "this") -> str:
    """What is said behind a number of dropped operations: how many of them were measured; empty if that is not known."""
    if not dropped or unmeasured is None:
        return ""
    if not unmeasured:
        return " (all measured)" if dropped > 1 else " (and it was measured)"
    return f" ({unmeasured} of them not measured in {whose} round)"


def describe_comparability(frames: Frames) -> str:
    """Whether hypervolumes of different rounds can be compared."""
    if any(row.data_changed for row in frames.rounds):
        return "The data changed between rounds, so hypervolumes before and after are not comparable."
    judges = frames.results["judge"].unique().tolist()
    if len(judges) > 1:
        return (
            "Each round was scored by its own judge, so hypervolumes of different rounds are not strictly comparable: "
            "a rise can come from better networks or from a supernet whose shared weights fit them better."
        )
    return f"One judge ({judges[0]}) scored everything, so hypervolumes are comparable throughout."


def describe_truth(frames: Frames) -> list[str]:
    """How the rounds' scores rank architectures compared with stand-alone training, and a warning if that is not shown;
    empty if no round measured it."""
    asked = [row for row in frames.rounds if row.truth is not None]
    if not asked:
        return []
    last = asked[-1].truth
    assert last is not None
    taus = ", ".join("undefined" if (tau := format_tau(row)) == "-" else tau for row in asked)
    answer = (
        f"Do the scores rank rightly? Kendall's tau by round: {taus}. "
        f"In round {asked[-1].round}, {describe_agreement(last)}"
    )
    return [answer, *([last.of_objective.warning] if last.of_objective.warning else [])]


def describe_calibration(frames: Frames) -> list[str]:
    """What the rounds maximised in place of a judge's own scores; empty if it was these."""
    return [f"In round {row.round}, {row.calibration}." for row in frames.rounds if row.calibration]


def format_tau(row: RoundSummary) -> str:
    """A round's Kendall tau: ``0.52``, or ``-`` if it was not measured or is undefined."""
    tau = row.truth.of_objective.tau if row.truth else None
    return "-" if tau is None else f"{tau:.2f}"


def describe_agreement(truth: Truth) -> str:
    """The reference that a round's scores were compared with, and how well they agree:

    ``8 networks were trained alone (...): ...``.
    """
    agreement, other = truth.of_objective, truth.accuracy if truth.objective == "likelihood" else truth.nll
    source = "were looked up in a table" if truth.judge.startswith("table:") else "were trained alone"
    source += ", and any two of them compared by an estimate without both" if truth.left_out else ""
    if agreement.tau is None or agreement.interval is None or agreement.rho is None or agreement.overlap is None:
        return f"{count(agreement.n, 'network')} {source} ({truth.judge})."
    numbers = [
        f"tau {agreement.tau:.2f} (95% interval {agreement.interval[0]:.2f} to {agreement.interval[1]:.2f})",
        *([f"{other.tau:.2f} by {OTHER_OBJECTIVE[truth.objective]}"] if other and other.tau is not None else []),
        *([f"{agreement.tau_macs:.2f} by MACs alone"] if agreement.tau_macs is not None else []),
        f"Spearman's rho {agreement.rho:.2f}",
        f"{agreement.overlap:.0%} of the best {agreement.top} found",
    ]
    return f"{count(agreement.n, 'network')} {source} ({truth.judge}): {', '.join(numbers)}."


def caveats(frames: Frames) -> list[str]:
    """Limits of the evidence: of the evaluator, of the data, and of an unfinished round."""
    config = frames.run.config
    notes = list(ESTIMATED) if config.ground_truth.calibrates else config.judging.caveats()
    if config.evaluator.uses_images and config.data.name == "digits":
        notes.append("scikit-learn's digits are a smoke test of the machinery, not evidence for a method.")
    if not frames.rounds[-1].finished:
        notes.append(f"Round {frames.rounds[-1].round} is unfinished; its numbers are those so far.")
    return notes


def by_layer(choices: pd.DataFrame, fate: str) -> list[tuple[str, list[str]]]:
    """The operations of one round with this ``fate``, per layer: ``[("stage1.layer2", ["mb_k3_e6"]), ...]``."""
    selected = choices[choices["fate"] == fate]
    return [(str(name), group["op"].tolist()) for (_, name), group in selected.groupby(["layer_index", "layer"])]


def format_by_layer(by_layer: Sequence[tuple[str, Iterable[str]]]) -> str:
    """``stage1.layer2: mb_k3_e6, id; stage2.layer1: ...``, or ``none``."""
    return "; ".join(f"{layer}: {', '.join(ops)}" for layer, ops in by_layer) or "none"


def count(number: float, noun: str) -> str:
    """``1 layer``, ``3 layers``."""
    return f"{format_number(number)} {noun}{'' if number == 1 else 's'}"
