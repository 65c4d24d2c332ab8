"""A run as pandas frames: the only module of this room that asks the database.

One column has one name everywhere: ``round``, ``arch``, ``accuracy`` (a fraction, higher is better), ``macs``,
``params``, ``latency_ms``, ``hypervolume`` (a share of the run's box, higher is better), ``seconds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.ranking import Truth
from studies import pareto
from studies.records import EvoError
from studies.store import RoundRow, Run, Store

RESULTS = """
SELECT rounds.number AS round, proposals.number AS number, proposals.generation, proposals.origin, proposals.fresh,
       proposals.arch, proposals.evaluation_id AS evaluation, evaluations.judge, evaluations.state = 'pruned' AS pruned,
       CASE evaluations.state WHEN 'complete' THEN evaluations.accuracy END AS accuracy,
       CASE evaluations.state WHEN 'complete' THEN evaluations.nll END AS nll,
       evaluations.macs, evaluations.params, evaluations.latency_ms, evaluations.seconds
FROM rounds
JOIN proposals ON proposals.round_id = rounds.id
JOIN evaluations ON evaluations.id = proposals.evaluation_id
WHERE rounds.run_id = :run AND rounds.number <= :until
ORDER BY rounds.number, proposals.number
"""

CHOICES = """
SELECT rounds.number AS round, choices.layer_index, choices.layer, choices.op, choices.rating, choices.share,
       choices.fate, choices.rule
FROM rounds
JOIN choices ON choices.round_id = rounds.id
WHERE rounds.run_id = :run AND rounds.number <= :until
ORDER BY rounds.number, choices.layer_index, choices.id
"""

ALL_ROUNDS = 1_000_000
NUMBERS = ["accuracy", "nll", "macs", "params", "latency_ms", "seconds"]


@dataclass(frozen=True)
class RoundSummary:
    """One round in numbers; ``next_size`` and ``rule`` are missing while it is unfinished.

    Attributes:
        space_size: how many architectures the round's space held; ``next_size``: how many the next one holds.
        trials: how many were proposed; ``distinct`` networks among them, of which ``measured`` were not known before.
        pruned: of the measured ones, those that were stopped early, which saved ``epochs_saved`` epochs of training.
        front: networks on the round's own Pareto front, of which the best has ``best_accuracy``.
        kept: operations, counted per layer, like ``dropped`` and ``refilled``.
        fitting: seconds; like ``searching``, and ``asking`` for the truth.
        truth: how far the round's scores may be trusted, where that was asked.
    """

    round: int
    finished: bool
    judge: str
    space_size: int
    next_size: int | None
    trials: int
    distinct: int
    measured: int
    front: int
    best_accuracy: float
    best_cost: float
    hypervolume: float
    kept: int
    dropped: int
    refilled: int
    rule: str | None
    fitting: float
    searching: float
    asking: float = 0.0
    truth: Truth | None = None
    pruned: int = 0
    epochs_saved: int = 0


@dataclass(frozen=True)
class Frames:
    """Everything that figures, tables and sentences about one run are made of."""

    run: Run
    results: pd.DataFrame
    fronts: pd.DataFrame
    final: pd.DataFrame
    trace: pd.DataFrame
    choices: pd.DataFrame
    rounds: tuple[RoundSummary, ...]

    @property
    def cost(self) -> str:
        """The cost objective: ``macs``, ``params`` or ``latency_ms``."""
        return self.run.config.search.cost

    @property
    def objective(self) -> str:
        """What was maximised: ``accuracy`` or ``likelihood``; the column ``score``."""
        return self.run.config.search.objective


def load(store: Store, run: Run, until: int = ALL_ROUNDS) -> Frames:
    """The frames of a run's rounds 1 to ``until``.

    Raises:
        EvoError: nothing has been measured in this run yet.
    """
    measured = results(store, run, until)
    if measured.empty:
        raise EvoError(f"run {run.name!r} has measured nothing yet; run: python -m evo.round 1 --run {run.name}")
    rows = [row for row in store.rounds(run) if row.number <= until]
    cost = run.config.search.cost
    best = fronts(measured, cost)
    volumes = trace(measured, run, {row.number: spent(row, "fitting") for row in rows})
    fates = choices(store, run, until)
    summaries = [summary(row, cost, measured, best, volumes, fates) for row in rows]
    last = final(measured, cost)
    return Frames(run, measured, best, last, volumes, fates, tuple(found for found in summaries if found.trials))


def results(store: Store, run: Run, until: int = ALL_ROUNDS) -> pd.DataFrame:
    """One row per trial, in the order in which they were proposed.

    ``score`` is what the search maximised. ``fresh`` tells whether the trial was measured for it or known before; trials
    of one network under one judge share their ``evaluation``. A trial that was ``pruned`` has no accuracy.
    """
    frame = store.frame(RESULTS, run=run.id, until=until)
    frame = frame.astype({"fresh": bool, "pruned": bool} | dict.fromkeys(NUMBERS, float))
    frame["score"] = np.exp(-frame["nll"]) if run.config.search.objective == "likelihood" else frame["accuracy"]
    return frame


def choices(store: Store, run: Run, until: int = ALL_ROUNDS) -> pd.DataFrame:
    """One row per finished round, layer and operation: its rating, its share of the front, its fate, and the rule."""
    return store.frame(CHOICES, run=run.id, until=until).astype({"rating": float, "share": float})


def complete(results: pd.DataFrame) -> pd.DataFrame:
    """The trials that were measured to the end."""
    return results[~results["pruned"]]


def fronts(results: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The rows of ``results`` on the Pareto front of their own round, cheapest first; a network once."""
    mine = [group[pareto.on_front(group[cost], group["score"])] for _, group in complete(results).groupby("round")]
    best = pd.concat(mine).drop_duplicates(["round", "evaluation"])
    return best.sort_values(["round", cost, "arch"], ignore_index=True)


def final(results: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The Pareto front of all that the last judge has scored, cheapest first; a network once.

    A table or stand-alone training judges every round alike, and a network of an early round may stand. A supernet judges
    one round, and this is that round's front.
    """
    alike = complete(results[results["judge"] == results["judge"].iloc[-1]]).drop_duplicates("evaluation")
    best = alike[pareto.on_front(alike[cost], alike["score"])]
    return best.sort_values([cost, "arch"], ignore_index=True)


def trace(results: pd.DataFrame, run: Run, fitting: Mapping[int, float]) -> pd.DataFrame:
    """Hypervolume of a round's trials so far, one row per row of ``results``.

    ``evaluations`` counts the run's new measurements up to and with the row: what was known before is free. ``seconds``
    is the time that fitting (training a supernet, say) and measuring took until then; ``fitting`` gives it per round.
    """
    frame = results[["round", "number"]].copy()
    frame["evaluations"] = results["fresh"].cumsum()
    fitted = pd.Series(dict(fitting), dtype=float).sort_index().cumsum()
    measuring = (results["seconds"] * results["fresh"]).cumsum()
    frame["seconds"] = measuring + results["round"].map(fitted).fillna(0.0)
    frame["hypervolume"] = 0.0
    for _, group in results.groupby("round"):
        frame.loc[group.index, "hypervolume"] = pareto.hypervolume_trace(
            group[run.config.search.cost],
            group["score"],
            max_cost=run.max_cost,
            min_accuracy=run.min_accuracy,
        )
    return frame


def summary(
    row: RoundRow,
    cost: str,
    results: pd.DataFrame,
    fronts: pd.DataFrame,
    trace: pd.DataFrame,
    choices: pd.DataFrame,
) -> RoundSummary:
    """What the frames of a run say about one round."""
    mine, front, volumes, fates = (frame[frame["round"] == row.number] for frame in (results, fronts, trace, choices))
    best = front.iloc[-1:]  # the front rises with cost, so its last member is the best
    counts = fates["fate"].value_counts()
    return RoundSummary(
        round=row.number,
        finished=row.finished,
        judge=next(iter(mine["judge"]), ""),
        space_size=row.space.size,
        next_size=row.next_space.size if row.next_space else None,
        trials=len(mine),
        distinct=int(mine["evaluation"].nunique()),
        measured=int(mine["fresh"].sum()),
        pruned=int((mine["fresh"] & mine["pruned"]).sum()),
        epochs_saved=int(row.stats.get("epochs_saved", 0)),
        front=len(front),
        best_accuracy=float(best["accuracy"].sum()),
        best_cost=float(best[cost].sum()),
        hypervolume=float(volumes["hypervolume"].iloc[-1:].sum()),
        kept=int(counts.get("kept", 0)),
        dropped=int(counts.get("dropped", 0)),
        refilled=int(counts.get("refilled", 0)),
        rule=next(iter(fates["rule"]), None),
        fitting=spent(row, "fitting"),
        searching=spent(row, "searching"),
        asking=spent(row, "truth"),
        truth=truth_of(row),
    )


def truth_of(row: RoundRow) -> Truth | None:
    """What a finished round's scores were worth, where that was asked."""
    found = row.stats.get("truth")
    return Truth.from_dict(found) if found else None


def spent(row: RoundRow, what: str) -> float:
    """Seconds that a round spent ``fitting``, ``searching`` or asking for the ``truth``; 0 while it is unfinished."""
    return float(row.stats.get("seconds", {}).get(what, 0.0))
