"""A run in words: the sentences that the report, the terminal and the dashboard share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from analysis.frames import Frames, RoundSummary
from analysis.ranking import Truth
from spaces.units import format_number
from studies.config import StudyConfig

COSTS = {"macs": "MACs", "params": "parameters", "latency_ms": "ms"}
"""A cost objective as a unit behind a number."""

OTHER = {"accuracy": "log-likelihood", "likelihood": "accuracy"}
"""What a search did not go by."""

NAMED = 20
"""Classes that are named one by one."""


def summary(frames: Frames) -> list[str]:
    """What was searched, what it found, what became of the space, and how far the numbers can be trusted."""
    said = [
        searched(frames),
        *classes(frames),
        *stopped(frames),
        *failed(frames),
        *changed(frames),
        found(frames),
        *evolved(frames),
        comparable(frames),
    ]
    return [*said, *truth(frames), *trust(frames)]


def searched(frames: Frames) -> str:
    """What was searched, how, and how much of it was looked at."""
    run, config = frames.run, frames.run.config
    space = f"{run.space.name}: {count(len(run.space.layers), 'layer')}, {format_number(run.space.size)} architectures"
    measured = sum(row.measured for row in frames.rounds)
    return (
        f"{count(len(frames.rounds), 'round')} of {method(config)} searched the space {space}. "
        f"Architectures were judged by {config.evaluator.describe()}: {count(measured, 'evaluation')}, "
        f"{count(frames.results['arch'].nunique(), 'different architecture')}."
    )


def classes(frames: Frames) -> list[str]:
    """How many classes the images are in, and what these are called; nothing where that is not known."""
    names = frames.run.classes
    if not names:
        return []
    if names == tuple(map(str, range(len(names)))):
        return [f"The images are in {len(names)} classes, {names[0]} to {names[-1]}."]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [f"The images are in {len(names)} classes: {', '.join(names[:NAMED])}{more}."]


def method(config: StudyConfig) -> str:
    """The method's name, and whether the run is the control arm of it."""
    return f"{config.evolution.method} (control arm)" if config.control else config.evolution.method


def stopped(frames: Frames) -> list[str]:
    """What early stopping did, where it did anything."""
    pruned, saved = (sum(getattr(row, what) for row in frames.rounds) for what in ("pruned", "epochs_saved"))
    if not pruned:
        return []
    return [f"Training was stopped early for {pruned} of them, clearly dominated at their cost: {saved} epochs saved."]


def failed(frames: Frames) -> list[str]:
    """How many networks could not be measured, and why, the most frequent reason first; nothing where all could."""
    reasons = frames.results.loc[frames.results["is_new"] & frames.results["failed"], "reason"].value_counts()
    return unmeasured(dict(zip(reasons.index.tolist(), reasons.tolist(), strict=True)))


def unmeasured(reasons: Mapping[str, int]) -> list[str]:
    """Reasons and how often each: ``2 networks could not be measured: took longer than 5 seconds.``"""
    if not reasons:
        return []
    alone = len(reasons) == 1
    told = "; ".join(reason if alone else f"{reason} ({number})" for reason, number in reasons.items())
    return [f"{count(sum(reasons.values()), 'network')} could not be measured: {told}."]


def changed(frames: Frames) -> list[str]:
    """Where the data changed under the run, with the user's consent."""
    return [
        f"The data changed before the end of round {row.round} (fingerprint {row.data_changed[0][:12]}, then "
        f"{row.data_changed[1][:12]}): scores before and after are not those of the same data."
        for row in frames.rounds
        if row.data_changed
    ]


def found(frames: Frames) -> str:
    """The first and last hypervolume, and the front that remains."""
    first, last = frames.rounds[0], frames.rounds[-1]
    remains = f"The final front holds {ends(frames.final, frames.cost)}."
    if first is last:
        return f"The front's hypervolume is {last.hypervolume:.4f}. {remains}"
    was, now = f"{first.hypervolume:.4f} in round {first.round}", f"{last.hypervolume:.4f} in round {last.round}"
    grown = f"rose from {was} to {now}" if last.hypervolume > first.hypervolume else f"was {was} and {now}"
    return f"The front's hypervolume {grown}. {remains}"


def ends(front: pd.DataFrame, cost: str) -> str:
    """A front, cheapest first, end to end: ``7 networks, from 93.51% at 28.9k MACs to 97.71% at 214k MACs``."""
    points = [
        f"{accuracy:.2%} at {format_number(least)} {COSTS[cost]}"
        for accuracy, least in zip(front["accuracy"].tolist(), front[cost].tolist(), strict=True)
    ]
    return (
        f"1 network, {points[0]}" if len(points) == 1 else f"{len(points)} networks, from {points[0]} to {points[-1]}"
    )


def evolved(frames: Frames) -> list[str]:
    """What became of the space; nothing to say before a round is finished."""
    rounds = [row for row in frames.rounds if row.next_size is not None]
    dropped, added = sum(row.dropped for row in rounds), sum(row.added for row in rounds)
    if not rounds:
        return []
    if not dropped and not added:
        return [f"The space never changed: {format_number(rounds[0].space_size)} architectures in every round."]
    return [
        f"The space went from {format_number(rounds[0].space_size)} to {format_number(rounds[-1].next_size or 0)} "
        f"architectures: {count(dropped, 'operation')} dropped, {added} added, counted per layer."
    ]


def comparable(frames: Frames) -> str:
    """Whether hypervolumes of different rounds may be compared."""
    if any(row.data_changed for row in frames.rounds):
        return "The data changed between rounds, so hypervolumes before and after are not comparable."
    judges = frames.results["judge"].unique().tolist()
    if len(judges) > 1:
        return (
            "Each round was scored by its own judge, so hypervolumes of different rounds are not strictly comparable: "
            "a rise can come from better networks or from a supernet whose shared weights fit them better."
        )
    return f"One judge ({judges[0]}) scored everything, so hypervolumes are comparable throughout."


def truth(frames: Frames) -> list[str]:
    """How the last round's scores rank architectures against stand-alone training, and what to beware of."""
    asked = [row for row in frames.rounds if row.truth is not None]
    if not asked:
        return []
    last = asked[-1].truth
    assert last is not None
    taus = ", ".join(ranked(row) for row in asked)
    said = f"Do the scores rank rightly? Kendall's tau by round: {taus}. In round {asked[-1].round}, {compared(last)}"
    return [said, *([last.found.warning] if last.found.warning else [])]


def ranked(row: RoundSummary) -> str:
    """A round's Kendall tau: ``0.52``, or ``-`` where there is none."""
    tau = row.truth.found.tau if row.truth else None
    return "-" if tau is None else f"{tau:.2f}"


def compared(truth: Truth) -> str:
    """What a round's scores were compared with, and how well they agree: ``8 networks were trained alone (...): ...``."""
    found, other = truth.found, truth.accuracy if truth.objective == "likelihood" else truth.nll
    source = "were looked up in a table" if truth.judge.startswith("table:") else "were trained alone"
    if found.tau is None or found.interval is None or found.rho is None or found.overlap is None:
        return f"{count(found.n, 'network')} {source} ({truth.judge})."
    numbers = [
        f"tau {found.tau:.2f} (95% interval {found.interval[0]:.2f} to {found.interval[1]:.2f})",
        *([f"{other.tau:.2f} by {OTHER[truth.objective]}"] if other and other.tau is not None else []),
        *([f"{found.tau_macs:.2f} by MACs alone"] if found.tau_macs is not None else []),
        f"Spearman's rho {found.rho:.2f}",
        f"{found.overlap:.0%} of the best {found.top} found",
    ]
    return f"{count(found.n, 'network')} {source} ({truth.judge}): {', '.join(numbers)}."


def trust(frames: Frames) -> list[str]:
    """What the numbers do not say."""
    config = frames.run.config
    notes = config.evaluator.caveats()
    if config.evaluator.uses_images and config.data.name == "digits":
        notes.append("scikit-learn's digits are a smoke test of the machinery, not evidence for a method.")
    if not frames.rounds[-1].finished:
        notes.append(f"Round {frames.rounds[-1].round} is unfinished; its numbers are those so far.")
    return notes


def by_layer(choices: pd.DataFrame, fate: str) -> list[tuple[str, list[str]]]:
    """The operations of one round that met a fate, per layer: ``[("stage1.layer2", ["mb_k3_e6"]), ...]``."""
    met = choices[choices["fate"] == fate]
    return [(str(name), group["op"].tolist()) for (_, name), group in met.groupby(["layer_index", "layer"])]


def listed(by_layer: Sequence[tuple[str, Iterable[str]]]) -> str:
    """``stage1.layer2: mb_k3_e6, id; stage2.layer1: ...``, or ``none``."""
    return "; ".join(f"{layer}: {', '.join(ops)}" for layer, ops in by_layer) or "none"


def count(number: float, noun: str) -> str:
    """``1 layer``, ``3 layers``."""
    return f"{format_number(number)} {noun}{'' if number == 1 else 's'}"
