"""Several runs side by side, in one common box: what differs, and what each had found after equally many evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frames import Frames, complete
from analysis.sentences import COSTS, count, method
from spaces.units import format_number
from studies import pareto
from studies.records import EvoError

PUBLISHED = {"mobilenet_v2": "MobileNetV2", "efficientnet_b0": "EfficientNet-B0"}
"""Spaces that hold one published network and nothing else, and what it is called."""

SHARES = (0.25, 0.5, 1.0)
"""Parts of the common budget at which runs are compared."""


@dataclass(frozen=True)
class Compared:
    """Runs side by side.

    Attributes:
        runs: by label; a run's name, and where two runs have one name, its place as well.
        objective: what was maximised; ``cost``: what was minimised; the same in all runs.
        max_cost: the common box: the largest of the runs' own boxes; ``min_accuracy`` their least.
        budget: how many new evaluations each of the runs has made at least.
        fronts: the final front of each run (columns of ``results``, and ``run``).
        trace: ``run``, ``evaluations``, ``seconds``, ``hypervolume`` so far, in the common box.
        equal: ``run``, ``evaluations``, ``hypervolume`` after equally many evaluations.
        settings: one row per setting that differs: ``setting``, and a column per run.
        references: single networks, for context: ``name``, ``arch``, ``accuracy`` and costs.
    """

    runs: dict[str, Frames]
    objective: str
    cost: str
    max_cost: float
    min_accuracy: float
    budget: int
    fronts: pd.DataFrame
    trace: pd.DataFrame
    equal: pd.DataFrame
    settings: pd.DataFrame
    references: pd.DataFrame

    @property
    def labels(self) -> list[str]:
        return list(self.runs)

    @property
    def box(self) -> str:
        """The common box, in words."""
        return (
            f"0 to {format_number(self.max_cost)} {COSTS[self.cost]}, {self.objective} {self.min_accuracy:.0%} to 100%"
        )


def compare(runs: Sequence[Frames]) -> Compared:
    """``runs`` side by side, in their order. A run whose space holds one network is a reference, and no rival.

    Raises:
        EvoError: their objectives differ, or all of them are references.
    """
    aims = {frames.run.name: (frames.objective, frames.cost) for frames in runs}
    if len(set(aims.values())) > 1:
        found = ", ".join(f"{name} weighs {objective} against {cost}" for name, (objective, cost) in aims.items())
        raise EvoError(f"expected runs with the same two objectives, found that {found}: compare those alike")
    named = dict(zip(labels([frames.run.name for frames in runs]), runs, strict=True))
    rivals = {label: frames for label, frames in named.items() if frames.run.space.size > 1}
    if not rivals:
        raise EvoError("expected a run that searched; found only runs whose spaces hold a single network")
    max_cost = max(frames.run.max_cost for frames in rivals.values())
    min_accuracy = min(frames.run.min_accuracy for frames in rivals.values())
    budget = min(int(frames.trace["evaluations"].iloc[-1]) for frames in rivals.values())
    trace = pd.concat([traced(frames, label, max_cost, min_accuracy) for label, frames in rivals.items()])
    return Compared(
        rivals,
        *next(iter(aims.values())),
        max_cost,
        min_accuracy,
        budget,
        pd.concat([frames.final.assign(run=label) for label, frames in rivals.items()], ignore_index=True),
        trace.reset_index(drop=True),
        at_equal(trace, budget),
        differing({label: frames.run.config.model_dump(mode="json") for label, frames in rivals.items()}),
        references([frames for frames in named.values() if frames.run.space.size == 1]),
    )


def labels(names: Sequence[str]) -> list[str]:
    """Names, told apart where they are the same: ``digits``, ``digits (2)``."""
    seen: list[str] = []
    for name in names:
        twice = sum(name == other or other.startswith(f"{name} (") for other in seen)
        seen.append(f"{name} ({twice + 1})" if twice else name)
    return seen


def traced(frames: Frames, label: str, max_cost: float, min_accuracy: float) -> pd.DataFrame:
    """A run's hypervolume over its new evaluations and seconds: the best that any one judge's scores have come to so far.

    A table judges all rounds alike, and everything counts together. Of a supernet's scores only those of its own round do.
    """
    volumes = pd.Series(0.0, index=frames.results.index)
    for _, group in frames.results.groupby("judge", sort=False):
        volumes[group.index] = pareto.hypervolume_trace(
            group[frames.cost], group["score"], max_cost=max_cost, min_accuracy=min_accuracy
        )
    told = frames.trace[["evaluations", "seconds"]].assign(run=label, hypervolume=volumes.cummax())
    return told[["run", "evaluations", "seconds", "hypervolume"]]


def at_equal(trace: pd.DataFrame, budget: int) -> pd.DataFrame:
    """Each run's hypervolume after a quarter, half and all of the evaluations that all runs have made."""
    points = sorted({max(1, round(share * budget)) for share in SHARES})
    rows = [
        (run, point, float(mine.loc[mine["evaluations"] <= point, "hypervolume"].max()))
        for run, mine in trace.groupby("run", sort=False)
        for point in points
    ]
    return pd.DataFrame(rows, columns=["run", "evaluations", "hypervolume"])


def differing(configs: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The settings in which runs differ, one row each; what a run has not is ``-``."""
    told = {label: dict(flat(config)) for label, config in configs.items()}
    keys = list(dict.fromkeys(key for settings in told.values() for key in settings))
    rows = [{"setting": key, **{label: settings.get(key, "-") for label, settings in told.items()}} for key in keys]
    return pd.DataFrame(
        [row for row in rows if len({row[label] for label in told}) > 1], columns=["setting", *told]
    )  # fmt: skip


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as ``section.key`` and value, the way ``--set`` takes them; what was left unset is left out."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", json.dumps(value)


def references(runs: Sequence[Frames]) -> pd.DataFrame:
    """The one network of each run, as its last judge scored it."""
    rows = [
        complete(frames.results).tail(1).assign(name=PUBLISHED.get(frames.run.space.name, frames.run.name))
        for frames in runs
    ]
    columns = ["name", "arch", "judge", "score", "accuracy", "macs", "params", "latency_ms"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def rows(compared: Compared) -> list[dict[str, Any]]:
    """One row per run, as tables show it: what it did, its best accuracy, its hypervolume at equal evaluations."""
    return [
        {
            "run": label,
            "method": method(frames.run.config),
            "rounds": len(frames.rounds),
            "evaluations": int(frames.trace["evaluations"].iloc[-1]),
            "seconds": float(frames.trace["seconds"].iloc[-1]),
            "best_accuracy": float(frames.final["accuracy"].max()),
            "hypervolumes": compared.equal.loc[compared.equal["run"] == label, "hypervolume"].tolist(),
        }
        for label, frames in compared.runs.items()
    ]


def trusted(runs: Sequence[Frames]) -> list[dict[str, Any]]:
    """How the scores of each run's last round rank, beside what they cost: a row per run that asked for the truth.

    Runs with other objectives may be among them: rank agreement needs no common scale.
    """
    found = []
    for label, frames in zip(labels([frames.run.name for frames in runs]), runs, strict=True):
        asked = [row for row in frames.rounds if row.truth]
        if asked and (truth := asked[-1].truth):
            agreed, fitting = truth.found, sum(row.fitting for row in frames.rounds if row.round <= asked[-1].round)
            found.append(
                {"run": label, "judged_by": frames.run.config.evaluator.kind, "round": asked[-1].round,
                 "fitting": fitting, "n": agreed.n, "tau": agreed.tau, "interval": agreed.interval,
                 "tau_macs": agreed.tau_macs}
            )  # fmt: skip
    return found


def as_json(compared: Compared) -> dict[str, Any]:
    """The comparison for a script: the common box, a row per run, what differs, the final fronts, the references."""

    def records(frame: pd.DataFrame) -> Any:
        return json.loads(frame.to_json(orient="records", double_precision=15))

    columns = ["run", "round", "arch", "accuracy", "macs", "params", "latency_ms", "judge"]
    return {
        "box": {
            "objective": compared.objective,
            "cost": compared.cost,
            "max_cost": compared.max_cost,
            "min_accuracy": compared.min_accuracy,
        },
        "budget": compared.budget,
        "runs": rows(compared),
        "equal": records(compared.equal),
        "settings": records(compared.settings),
        "fronts": records(compared.fronts[columns]),
        "references": records(compared.references),
    }


def words(compared: Compared) -> list[str]:
    """What the comparison found, in sentences: after equally many evaluations, in which box, and how far to trust it."""
    after = compared.equal[compared.equal["evaluations"] == compared.budget].sort_values(
        "hypervolume", ascending=False, kind="stable"
    )
    told = ", ".join(
        f"{run} {volume:.4f}" for run, volume in zip(after["run"], after["hypervolume"].tolist(), strict=True)
    )
    said = [
        f"After {count(compared.budget, 'evaluation')} each, the hypervolume is {told} "
        f"(one box for all: {compared.box}; higher is better)."
    ]
    judges = {label: set(frames.results["judge"]) for label, frames in compared.runs.items()}
    if len(set.union(*judges.values())) > 1:
        said.append(
            "The runs were scored by different judges, so the hypervolumes are not strictly comparable: what one "
            "supernet scores higher, another need not."
        )
    for row in compared.references.to_dict("records"):
        said.append(
            f"For context: {row['name']} has {row['accuracy']:.2%} at {format_number(row[compared.cost])} "
            f"{COSTS[compared.cost]} (judged by {row['judge']})."
        )
    return said
