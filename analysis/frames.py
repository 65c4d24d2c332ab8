"""A run as pandas frames: the only module of this room that asks the database.

One column has one name everywhere: ``round``, ``arch``, ``accuracy`` (a fraction, higher is better), ``macs``,
``params``, ``latency_ms``, ``hypervolume`` (a share of the run's box, higher is better), ``seconds``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from analysis.ablation import dropping
from analysis.ranking import Truth
from studies import pareto
from studies.database.lineage import bred_cells
from studies.database.rows import StoredRound, StoredRun
from studies.database.statistics import SEARCHING
from studies.database.store import Store
from studies.records import BredCell, EvoError

RESULTS = """
SELECT rounds.number AS round, proposals.number AS number, proposals.generation, proposals.origin, proposals.is_new,
       proposals.arch, proposals.evaluation_id AS evaluation, evaluations.judge, evaluations.state = 'pruned' AS pruned,
       evaluations.state = 'failed' AS failed, evaluations.reason,
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
        proposals: how many there were; ``distinct`` networks among them, of which ``measured`` were not known before.
        pruned: of the measured ones, those that were stopped early, which saved ``epochs_saved`` epochs of training.
        failed: of the measured ones, those that could not be: they have no scores.
        data_changed: fingerprints of the data before and after, where the round went on with others.
        front: networks on the round's own Pareto front, of which the best has ``best_accuracy``.
        kept: operations, counted per layer, like ``dropped`` and ``added``.
        fitting: seconds; like ``searching`` (proposing, evaluating and storing), and ``asking`` for the truth.
        truth: how far the round's scores may be trusted, where that was asked.
    """

    round: int
    finished: bool
    judge: str
    space_size: int
    next_size: int | None
    proposals: int
    distinct: int
    measured: int
    front: int
    best_accuracy: float
    best_cost: float
    hypervolume: float
    kept: int
    dropped: int
    added: int
    rule: str | None
    fitting: float
    searching: float
    asking: float = 0.0
    truth: Truth | None = None
    pruned: int = 0
    epochs_saved: int = 0
    failed: int = 0
    data_changed: tuple[str, str] | None = None


@dataclass(frozen=True)
class Frames:
    """Everything that figures, tables and sentences about one run are made of.

    Attributes:
        spent: where the time of finished rounds went: ``round``, ``what``, ``seconds``.
        whatif: what dropping each operation of the last space would cost (``analysis.ablation``).
        witnesses: networks that a round scored and that were also trained alone, or looked up.
        versions: when the run was begun, and with which versions of the program and its libraries.
        lives: all cells that the run has bred; empty where it breeds none.
    """

    run: StoredRun
    results: pd.DataFrame
    fronts: pd.DataFrame
    final: pd.DataFrame
    trace: pd.DataFrame
    choices: pd.DataFrame
    spent: pd.DataFrame
    whatif: pd.DataFrame
    witnesses: pd.DataFrame
    rounds: tuple[RoundSummary, ...]
    versions: dict[str, str]
    lives: tuple[BredCell, ...] = ()

    @property
    def cost(self) -> str:
        """The cost objective: ``macs``, ``params`` or ``latency_ms``."""
        return self.run.config.search.cost

    @property
    def objective(self) -> str:
        """The name of what was maximised: ``accuracy``, ``likelihood``, or what stood in its place; the column ``score``."""
        return self.run.config.score

    @property
    def measured(self) -> str:
        """The name of what the column ``accuracy`` holds."""
        return self.run.config.measured


def load(store: Store, run: StoredRun, until: int = ALL_ROUNDS) -> Frames:
    """The frames of a run's rounds 1 to ``until``.

    Raises:
        EvoError: nothing has been measured in this run yet.
    """
    measured = results(store, run, until)
    if measured.empty:
        raise EvoError(f"run {run.name!r} has measured nothing yet; run: python -m evo.round 1 --run {run.name}")
    if complete(measured).empty:
        why = " ".join(measured.loc[measured["failed"], "reason"].iloc[:1])
        raise EvoError(f"run {run.name!r} has measured nothing to its end yet: {why}")
    rows = [row for row in store.rounds(run) if row.number <= until]
    cost = run.config.search.cost
    best = fronts(measured, cost)
    volumes = trace(measured, run, {row.number: seconds(row, ["fitting"]) for row in rows})
    fates = choices(store, run, until)
    summaries = [summary(row, cost, measured, best, volumes, fates) for row in rows]
    told = tuple(found for found in summaries if found.proposals)
    left = rows[-1].next_space or rows[-1].space
    lost = dropping(alike(measured), left, cost, max_cost=run.max_cost, min_accuracy=run.min_accuracy)
    seen, last = witnesses(told), final(measured, cost)
    return Frames(
        run, measured, best, last, volumes, fates, spent(rows), lost, seen, told, versions(store, run),
        tuple(life for life in bred_cells(store, run) if life.round <= until),
    )  # fmt: skip


def versions(store: Store, run: StoredRun) -> dict[str, str]:
    """When the run was begun, and with which versions of the program and its libraries."""
    row = store.frame("SELECT created_at, versions_json FROM runs WHERE id = :run", run=run.id).iloc[0]
    return {"begun (UTC)": str(row["created_at"])[:19], **json.loads(row["versions_json"])}


def results(store: Store, run: StoredRun, until: int = ALL_ROUNDS) -> pd.DataFrame:
    """One row per trial, in the order in which they were proposed.

    ``score`` is what the search maximised. ``is_new`` tells whether the trial was measured for it or known before; trials
    of one network under one judge share their ``evaluation``. A trial that was ``pruned`` has no accuracy, nor has one that
    ``failed``, which has a ``reason``.
    """
    frame = store.frame(RESULTS, run=run.id, until=until)
    frame = frame.astype({"is_new": bool, "pruned": bool, "failed": bool} | dict.fromkeys(NUMBERS, float))
    frame["score"] = np.exp(-frame["nll"]) if run.config.search.objective == "likelihood" else frame["accuracy"]
    return frame


def choices(store: Store, run: StoredRun, until: int = ALL_ROUNDS) -> pd.DataFrame:
    """One row per finished round, layer and operation: its rating, its share of the front, its fate, and the rule."""
    return store.frame(CHOICES, run=run.id, until=until).astype({"rating": float, "share": float})


def complete(results: pd.DataFrame) -> pd.DataFrame:
    """The trials that were measured to the end."""
    return results[~(results["pruned"] | results["failed"])]


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
    comparable = alike(results)
    best = comparable[pareto.on_front(comparable[cost], comparable["score"])]
    return best.sort_values([cost, "arch"], ignore_index=True)


def alike(results: pd.DataFrame) -> pd.DataFrame:
    """What the last judge has scored, each network once: the rows whose accuracies can be compared with the newest."""
    last = results["judge"] == results["judge"].iloc[-1]
    return complete(results[last]).drop_duplicates("evaluation", ignore_index=True)


def trace(results: pd.DataFrame, run: StoredRun, fitting: Mapping[int, float]) -> pd.DataFrame:
    """Hypervolume of a round's trials so far, one row per row of ``results``.

    ``evaluations`` counts the run's new measurements up to and with the row: what was known before is free. ``seconds``
    is the time that fitting (training a supernet, say) and measuring took until then; ``fitting`` gives it per round.
    """
    frame = results[["round", "number"]].copy()
    frame["evaluations"] = results["is_new"].cumsum()
    fitted = pd.Series(dict(fitting), dtype=float).sort_index().cumsum()
    measuring = (results["seconds"] * results["is_new"]).cumsum()
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
    row: StoredRound,
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
        proposals=len(mine),
        distinct=int(mine["evaluation"].nunique()),
        measured=int(mine["is_new"].sum()),
        pruned=int((mine["is_new"] & mine["pruned"]).sum()),
        epochs_saved=int(row.stats.get("epochs_saved", 0)),
        failed=int((mine["is_new"] & mine["failed"]).sum()),
        data_changed=tuple(row.stats["data_changed"]) if "data_changed" in row.stats else None,
        front=len(front),
        best_accuracy=float(best["accuracy"].sum()),
        best_cost=float(best[cost].sum()),
        hypervolume=float(volumes["hypervolume"].iloc[-1:].sum()),
        kept=int(counts.get("kept", 0)),
        dropped=int(counts.get("dropped", 0)),
        added=int(counts.get("added", 0)),
        rule=next(iter(fates["rule"]), None),
        fitting=seconds(row, ["fitting"]),
        searching=seconds(row, SEARCHING),
        asking=seconds(row, ["truth"]),
        truth=truth_of(row),
    )


def truth_of(row: StoredRound) -> Truth | None:
    """What a finished round's scores were worth, where that was asked."""
    found = row.stats.get("truth")
    return Truth.from_dict(found) if found else None


def witnesses(rounds: Iterable[RoundSummary]) -> pd.DataFrame:
    """One row per round and network that was scored and also trained alone (or looked up)."""
    told = [{"round": row.round, **asdict(w)} for row in rounds if row.truth for w in row.truth.witnesses]
    return pd.DataFrame(told, columns=["round", "arch", "macs", "one_shot", "nll", "stand_alone"])


def spent(rows: Iterable[StoredRound]) -> pd.DataFrame:
    """Where the time of finished rounds went: ``round``, ``what`` (fitting, evaluating, ...), ``seconds``."""
    told = [
        (row.number, what, float(taken)) for row in rows for what, taken in row.stats.get("seconds", {}).items()
    ]  # fmt: skip
    return pd.DataFrame(told, columns=["round", "what", "seconds"])


def seconds(row: StoredRound, what: Sequence[str]) -> float:
    """Seconds that a round spent on all of ``what``; 0 while it is unfinished."""
    taken = row.stats.get("seconds", {})
    return float(sum(taken.get(name, 0.0) for name in what))
