"""A run as pandas frames: the only module of this package that reads the database.

A column has the same name in every frame: ``round``, ``arch``, ``accuracy`` (a fraction, higher is better), ``macs``,
``params``, ``latency_ms``, ``flash_kb``, ``memory_kb``, ``hypervolume`` (a fraction of the run's box, higher is better),
``seconds``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.ablation import ablate
from analysis.ranking import Truth
from analysis.ranking.calibration import Calibration
from studies import pareto
from studies.database.lineage import bred_cells
from studies.database.rows import StoredRound, StoredRun, reading
from studies.database.statistics import SEARCHING
from studies.database.store import Store
from studies.database.urls import command_on
from studies.records import BredCell, EvoError

RESULTS = """
SELECT rounds.number AS round, proposals.number AS number, proposals.generation, proposals.origin, proposals.is_new,
       proposals.arch, proposals.evaluation_id AS evaluation, evaluations.judge, evaluations.state = 'pruned' AS pruned,
       evaluations.state = 'failed' AS failed, evaluations.reason,
       CASE evaluations.state WHEN 'complete' THEN evaluations.accuracy END AS accuracy,
       CASE evaluations.state WHEN 'complete' THEN evaluations.nll END AS nll,
       evaluations.macs, evaluations.params, evaluations.latency_ms, evaluations.flash_kb, evaluations.memory_kb,
       evaluations.seconds
FROM rounds
JOIN proposals ON proposals.round_id = rounds.id
JOIN evaluations ON evaluations.id = proposals.evaluation_id
WHERE rounds.run_id = :run AND rounds.number <= :until
ORDER BY rounds.number, proposals.number
"""

CHOICES = """
SELECT rounds.number AS round, choices.layer_index, choices.layer, choices.op, choices.rating, choices.share,
       choices.fate, choices.rule, choices.measured, choices.effect, choices.effect_low, choices.effect_high,
       choices.learned
FROM rounds
JOIN choices ON choices.round_id = rounds.id
WHERE rounds.run_id = :run AND rounds.number <= :until
ORDER BY rounds.number, choices.layer_index, choices.id
"""

ALL_ROUNDS = 1_000_000
EVIDENCE = ["rating", "share", "measured", "effect", "effect_low", "effect_high", "learned"]
NUMBERS = ["accuracy", "nll", "macs", "params", "latency_ms", "flash_kb", "memory_kb", "seconds"]


@dataclass(frozen=True)
class RoundSummary:
    """One round in numbers; ``next_size`` and ``rule`` are None while it is unfinished.

    Attributes:
        space_size: number of architectures in the round's space; ``next_size``: in the next one.
        proposals: number of proposals; ``distinct``: of different networks; ``measured``: of new measurements.
        pruned: number of measurements that were stopped early, which saved ``epochs_saved`` epochs of training.
        failed: number of measurements that failed and gave no scores.
        found: how many of the measurements other runs had made, by the run; None: none.
        learned_from: the verdicts on the runs from which the surrogate could learn; None: there were none.
        latency: how well latency is known that a device measures; None: none does.
        data_changed: fingerprints of the data before and after, if the data changed during the round.
        front: number of networks on the round's own Pareto front; the best has ``best_accuracy`` at ``best_cost``.
        kept: number of operations, counted per layer; likewise ``dropped`` and ``added``.
        unmeasured: number of dropped operations that no measured network of the round carried; None if that was not recorded.
        fitting: seconds; likewise ``searching`` (proposing, evaluating and storing) and ``asking`` (stand-alone training
            for the truth).
        spent_macs: multiply-accumulates that the round has cost; None: unknown.
        truth: how far the round's scores can be trusted, if that was measured.
        calibration: what the search maximised in place of the scores, and on what evidence; None: the scores themselves.
        cells: how many bred cells stay candidates, and how reliable their fitness is; None: none are bred.
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
    calibration: str | None = None
    cells: Mapping[str, Any] | None = None
    pruned: int = 0
    epochs_saved: int = 0
    failed: int = 0
    data_changed: tuple[str, str] | None = None
    unmeasured: int | None = None
    spent_macs: float | None = None
    found: Mapping[str, int] | None = None
    learned_from: Sequence[Mapping[str, Any]] | None = None
    latency: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Frames:
    """The data behind all figures, tables and sentences about one run.

    Attributes:
        results: see ``results``; likewise ``fronts``, ``final``, ``trace``, ``choices``, ``time_spent`` and ``witnesses``.
        whatif: the hypervolume that each operation of the last space contributes (``analysis.ablation``).
        rounds: one summary per round that has proposals.
        versions: when the run began, and the versions of the program and its libraries then.
        bred_cells: all cells that the run has bred; empty for methods that breed none.
    """

    run: StoredRun
    results: pd.DataFrame
    fronts: pd.DataFrame
    final: pd.DataFrame
    trace: pd.DataFrame
    choices: pd.DataFrame
    time_spent: pd.DataFrame
    whatif: pd.DataFrame
    witnesses: pd.DataFrame
    rounds: tuple[RoundSummary, ...]
    versions: dict[str, str]
    bred_cells: tuple[BredCell, ...] = ()

    @property
    def cost(self) -> str:
        """The cost objective: ``macs``, ``params``, ``latency_ms`` or ``flash_kb``."""
        return self.run.config.search.cost

    @property
    def costs(self) -> tuple[str, ...]:
        """All costs that are minimised; the first is ``cost``."""
        return self.run.config.search.costs

    @property
    def objective(self) -> str:
        """The name of the maximised quantity (column ``score``): ``accuracy``, ``likelihood``, or what replaces accuracy."""
        return self.run.config.score

    @property
    def accuracy_name(self) -> str:
        """The name of the quantity in the column ``accuracy``."""
        return self.run.config.measured


def load(store: Store, run: StoredRun, until: int = ALL_ROUNDS) -> Frames:
    """The frames of a run's rounds 1 to ``until``.

    Raises:
        EvoError: the run has no complete measurement yet.
    """
    trials = results(store, run, until)
    if trials.empty:
        begin = command_on(store.url, "evo.round", "1", "--run", run.name)
        raise EvoError(f"run {run.name!r} has measured nothing yet; run: {begin}")
    if complete(trials).empty:
        why = " ".join(trials.loc[trials["failed"], "reason"].iloc[:1])
        raise EvoError(f"run {run.name!r} has measured nothing to its end yet: {why}")
    rows = [row for row in store.rounds(run) if row.number <= until]
    costs = run.config.search.costs
    best = fronts(trials, costs)
    fates = choices(store, run, until)
    with reading(run.name, "one of its rounds"):
        volumes = trace(trials, run, {row.number: seconds(row, ["fitting"]) for row in rows})
        spent = time_spent(rows)
        summaries = [summary(row, costs[0], trials, best, volumes, fates) for row in rows]
    begun = tuple(entry for entry in summaries if entry.proposals)
    last_space = rows[-1].next_space or rows[-1].space
    return Frames(
        run=run,
        results=trials,
        fronts=best,
        final=final(trials, costs),
        trace=volumes,
        choices=fates,
        time_spent=spent,
        whatif=ablate(alike(trials), last_space, costs, max_cost=run.max_costs, min_accuracy=run.min_accuracy),
        witnesses=witnesses(begun),
        rounds=begun,
        versions=versions(store, run),
        bred_cells=tuple(cell for cell in bred_cells(store, run) if cell.round <= until),
    )


def versions(store: Store, run: StoredRun) -> dict[str, str]:
    """When the run began, and the versions of the program and its libraries then."""
    row = store.frame("SELECT created_at, versions_json FROM runs WHERE id = :run", run=run.id).iloc[0]
    with reading(run.name, "its versions"):
        return {"begun (UTC)": str(row["created_at"])[:19], **json.loads(row["versions_json"])}


def results(store: Store, run: StoredRun, until: int = ALL_ROUNDS) -> pd.DataFrame:
    """One row per trial, in the order in which they were proposed.

    ``score`` is what the search maximised. ``is_new`` is true where the proposal was measured, false where its result was
    known before. Trials of one network under one judge share their ``evaluation``. ``pruned`` and ``failed`` trials have no
    accuracy; failed ones have a ``reason``.
    """
    frame = store.frame(RESULTS, run=run.id, until=until)
    with reading(run.name, "one of its evaluations"):
        frame = frame.astype({"is_new": bool, "pruned": bool, "failed": bool} | dict.fromkeys(NUMBERS, float))
    frame["score"] = np.exp(-frame["nll"]) if run.config.search.objective == "likelihood" else frame["accuracy"]
    return frame


def choices(store: Store, run: StoredRun, until: int = ALL_ROUNDS) -> pd.DataFrame:
    """One row per finished round, layer and operation: ``rating``, ``share`` of the front, ``fate``, and the ``rule``.

    The evidence: ``measured`` networks that carry it, and its ``effect`` on the score at equal cost, from ``effect_low`` to
    ``effect_high``; and what the evaluator ``learned`` about it.
    """
    with reading(run.name, "one of its choices"):
        return store.frame(CHOICES, run=run.id, until=until).astype(dict.fromkeys(EVIDENCE, float))


def complete(results: pd.DataFrame) -> pd.DataFrame:
    """The trials that were neither pruned nor failed."""
    return results[~(results["pruned"] | results["failed"])]


def values_of(frame: pd.DataFrame, costs: Sequence[str]) -> np.ndarray:
    """The columns ``costs`` as ``studies.pareto`` takes them: ``(n,)`` of one, ``(n, k)`` of several."""
    return np.asarray(frame[costs[0]] if len(costs) == 1 else frame[list(costs)])


def fronts(results: pd.DataFrame, costs: Sequence[str]) -> pd.DataFrame:
    """The rows of ``results`` on the Pareto front of their own round, cheapest first, each network once."""
    members = [
        group[pareto.on_front(values_of(group, costs), group["score"])]
        for _, group in complete(results).groupby("round")
    ]
    best = pd.concat(members).drop_duplicates(["round", "evaluation"])
    return best.sort_values(["round", costs[0], "arch"], ignore_index=True)


def final(results: pd.DataFrame, costs: Sequence[str]) -> pd.DataFrame:
    """The Pareto front of all networks that the last judge has scored, cheapest first, each network once.

    A table or stand-alone training is one judge for all rounds, so networks of early rounds can be on this front. A
    supernet is the judge of one round, so this is that round's front.
    """
    comparable = alike(results)
    best = comparable[pareto.on_front(values_of(comparable, costs), comparable["score"])]
    return best.sort_values([costs[0], "arch"], ignore_index=True)


def alike(results: pd.DataFrame) -> pd.DataFrame:
    """The complete trials of the last judge, each network once: their accuracies are comparable with each other."""
    last = results["judge"] == results["judge"].iloc[-1]
    return complete(results[last]).drop_duplicates("evaluation", ignore_index=True)


def trace(results: pd.DataFrame, run: StoredRun, fitting: Mapping[int, float]) -> pd.DataFrame:
    """``hypervolume`` of the round's trials so far, one row per row of ``results``.

    ``evaluations`` counts the run's new measurements up to and including the row. ``seconds`` is the time spent on fitting
    (e.g. training a supernet) and measuring until then.

    Args:
        fitting: round -> seconds spent on fitting.
    """
    frame = results[["round", "number"]].copy()
    frame["evaluations"] = results["is_new"].cumsum()
    fitted = pd.Series(dict(fitting), dtype=float).sort_index().cumsum()
    measuring = (results["seconds"] * results["is_new"]).cumsum()
    frame["seconds"] = measuring + results["round"].map(fitted).fillna(0.0)
    frame["hypervolume"] = 0.0
    for _, group in results.groupby("round"):
        frame.loc[group.index, "hypervolume"] = pareto.hypervolume_trace(
            values_of(group, run.config.search.costs),
            group["score"],
            max_cost=run.max_costs,
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
    """Summarise one round of a run from the run's frames."""
    mine, front, volumes, fates = (frame[frame["round"] == row.number] for frame in (results, fronts, trace, choices))
    best = front.sort_values("score", kind="stable").iloc[-1:]
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
        unmeasured=count_unmeasured(fates),
        spent_macs=None if row.stats.get("macs") is None else sum(row.stats["macs"].values()),
        calibration=found.sentence() if (found := calibration_of(row)) else None,
        cells=row.stats.get("cells"),
        found=row.stats.get("found"),
        learned_from=row.stats.get("learned_from"),
        latency=row.stats.get("latency"),
    )


def count_unmeasured(choices: pd.DataFrame) -> int | None:
    """How many of the operations that one round dropped it had never measured; None if that was not recorded."""
    measured = choices.loc[choices["fate"] == "dropped", "measured"]
    return None if measured.isna().any() else int((measured == 0).sum())


def truth_of(row: StoredRound) -> Truth | None:
    """How far a finished round's scores can be trusted; None if that was not measured."""
    return truth_in(row.stats)


def truth_in(stats: Mapping[str, Any]) -> Truth | None:
    """The same, of a round's statistics."""
    data = stats.get("truth")
    return Truth.from_dict(data) if data else None


def calibration_of(row: StoredRound) -> Calibration | None:
    """What a finished round's scores were calibrated by; None where they were not."""
    data = row.stats.get("calibration")
    return Calibration.from_dict(data) if data else None


def witnesses(rounds: Iterable[RoundSummary]) -> pd.DataFrame:
    """One row per round and network that the round scored and that was also trained alone (or looked up in a table)."""
    rows = [{"round": entry.round, **asdict(w)} for entry in rounds if entry.truth for w in entry.truth.witnesses]
    return pd.DataFrame(rows, columns=["round", "arch", "macs", "one_shot", "nll", "stand_alone"])


def time_spent(rows: Iterable[StoredRound]) -> pd.DataFrame:
    """Where the time of finished rounds went: ``round``, ``what`` (fitting, evaluating, ...), ``seconds``."""
    entries = [
        (row.number, what, float(taken)) for row in rows for what, taken in row.stats.get("seconds", {}).items()
    ]  # fmt: skip
    return pd.DataFrame(entries, columns=["round", "what", "seconds"])


def seconds(row: StoredRound, what: Sequence[str]) -> float:
    """Seconds that a round spent on the activities ``what``; 0 while it is unfinished."""
    by_activity = row.stats.get("seconds", {})
    return float(sum(by_activity.get(name, 0.0) for name in what))
