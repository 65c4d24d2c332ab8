"""Several runs side by side: settings that differ, and hypervolume in one common box after equally many evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frames import Frames, complete, values_of
from analysis.sentences import COSTS, count, device_columns, method_name
from spaces.units import format_number
from studies import pareto
from studies.records import EvoError

PUBLISHED = {"mobilenet_v2": "MobileNetV2", "efficientnet_b0": "EfficientNet-B0"}
"""Name of a space that holds one published network -> name of the network."""

SHARES = (0.25, 0.5, 1.0)
"""Fractions of the common budget at which runs are compared."""


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side.

    Attributes:
        runs: label -> frames; the label is the run's name, with a number where several runs have that name.
        objective: the maximised quantity; ``costs``: the minimised ones; the same in all runs.
        max_costs: of the common box, of each cost the largest of the runs; ``min_accuracy``: the lowest of the runs.
        budget: the number of new evaluations that every run has made.
        fronts: the final front of each run: columns of ``results``, and ``run``.
        trace: ``run``, ``evaluations``, ``seconds``, ``hypervolume`` so far, in the common box.
        equal: ``run``, ``evaluations``, ``hypervolume`` after equally many evaluations.
        settings: one row per setting that differs: ``setting``, and a column per run.
        references: single networks, for context: ``name``, ``arch``, ``judge``, ``score``, ``accuracy`` and costs.
    """

    runs: dict[str, Frames]
    objective: str
    costs: tuple[str, ...]
    max_costs: tuple[float, ...]
    min_accuracy: float
    budget: int
    fronts: pd.DataFrame
    trace: pd.DataFrame
    equal: pd.DataFrame
    settings: pd.DataFrame
    references: pd.DataFrame

    @property
    def cost(self) -> str:
        """The first of ``costs``, which figures show."""
        return self.costs[0]

    @property
    def measured(self) -> str:
        """The name of the quantity in the columns ``accuracy``."""
        return next(iter(self.runs.values())).accuracy_name

    @property
    def noun(self) -> str:
        """What data for programs call it: ``accuracy``, ``agreement`` or ``score``."""
        return next(iter(self.runs.values())).run.config.noun

    @property
    def labels(self) -> list[str]:
        return list(self.runs)

    @property
    def box(self) -> str:
        """The common box, in words."""
        return describe_box(self.costs, self.max_costs, self.objective, self.min_accuracy)


def describe_box(costs: Sequence[str], most: Sequence[float], objective: str, min_accuracy: float) -> str:
    """The box in which hypervolume is measured, in words."""
    sides = [f"0 to {format_number(end)} {COSTS[cost]}" for cost, end in zip(costs, most, strict=True)]
    return ", ".join([*sides, f"{objective} {min_accuracy:.0%} to 100%"])


def compare(runs: Sequence[Frames]) -> RunComparison:
    """Compare ``runs``, in their order. A run whose space holds a single network becomes a reference.

    Raises:
        EvoError: their objectives differ, or all of them are references.
    """
    aims = {frames.run.name: (frames.objective, *frames.costs) for frames in runs}
    if len(set(aims.values())) > 1:
        aims_by_run = ", ".join(
            f"{name} weighs {objective} against {' and '.join(costs)}" for name, (objective, *costs) in aims.items()
        )
        raise EvoError(f"expected runs with the same objectives, found that {aims_by_run}: compare those alike")
    labelled = dict(zip(labels([frames.run.name for frames in runs]), runs, strict=True))
    rivals = {label: frames for label, frames in labelled.items() if frames.run.space.size > 1}
    if not rivals:
        raise EvoError("expected a run that searched; found only runs whose spaces hold a single network")
    boxes = [(frames.run.max_cost, *frames.run.further_max_costs) for frames in rivals.values()]
    max_costs = tuple(map(max, zip(*boxes, strict=True)))
    min_accuracy = min(frames.run.min_accuracy for frames in rivals.values())
    budget = min(int(frames.trace["evaluations"].iloc[-1]) for frames in rivals.values())
    trace = pd.concat([common_trace(frames, label, max_costs, min_accuracy) for label, frames in rivals.items()])
    objective, *costs = next(iter(aims.values()))
    return RunComparison(
        runs=rivals,
        objective=objective,
        costs=tuple(costs),
        max_costs=max_costs,
        min_accuracy=min_accuracy,
        budget=budget,
        fronts=pd.concat([frames.final.assign(run=label) for label, frames in rivals.items()], ignore_index=True),
        trace=trace.reset_index(drop=True),
        equal=at_equal_evaluations(trace, budget),
        settings=differing_settings(
            {label: frames.run.config.model_dump(mode="json") for label, frames in rivals.items()}
        ),
        references=references([frames for frames in labelled.values() if frames.run.space.size == 1]),
    )


def labels(names: Sequence[str]) -> list[str]:
    """Unique labels for runs, of which several may have one name: ``digits``, ``digits (2)``."""
    seen: list[str] = []
    for name in names:
        twice = sum(name == other or other.startswith(f"{name} (") for other in seen)
        seen.append(f"{name} ({twice + 1})" if twice else name)
    return seen


def common_trace(frames: Frames, label: str, max_costs: Sequence[float], min_accuracy: float) -> pd.DataFrame:
    """A run's hypervolume in the common box over its new evaluations and seconds: the best of any single judge so far.

    Scores of different judges are not pooled. A table is one judge, so its scores of all rounds count together; a supernet
    is the judge of one round.
    """
    volumes = pd.Series(0.0, index=frames.results.index)
    for _, group in frames.results.groupby("judge", sort=False):
        volumes[group.index] = pareto.hypervolume_trace(
            values_of(group, frames.costs),
            group["score"],
            max_cost=max_costs if len(max_costs) > 1 else max_costs[0],
            min_accuracy=min_accuracy,
        )
    steps = frames.trace[["evaluations", "seconds"]].assign(run=label, hypervolume=volumes.cummax())
    return steps[["run", "evaluations", "seconds", "hypervolume"]]


def at_equal_evaluations(trace: pd.DataFrame, budget: int) -> pd.DataFrame:
    """Each run's hypervolume after a quarter, half and all of ``budget`` evaluations."""
    points = sorted({max(1, round(share * budget)) for share in SHARES})
    rows = [
        (run, point, float(group.loc[group["evaluations"] <= point, "hypervolume"].max()))
        for run, group in trace.groupby("run", sort=False)
        for point in points
    ]
    return pd.DataFrame(rows, columns=["run", "evaluations", "hypervolume"])


def differing_settings(configs: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The settings in which runs differ, one row each; ``-`` where a run does not have the setting."""
    by_run = {label: dict(flatten(config)) for label, config in configs.items()}
    keys = list(dict.fromkeys(key for settings in by_run.values() for key in settings))
    rows = [{"setting": key, **{label: settings.get(key, "-") for label, settings in by_run.items()}} for key in keys]
    return pd.DataFrame(
        [row for row in rows if len({row[label] for label in by_run}) > 1], columns=["setting", *by_run]
    )  # fmt: skip


def flatten(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings as ``section.key`` and value, in the form that ``--set`` takes; without those that are None."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", json.dumps(value)


def references(runs: Sequence[Frames]) -> pd.DataFrame:
    """The single network of each run, with the score of its last judge."""
    rows = [
        complete(frames.results).tail(1).assign(name=PUBLISHED.get(frames.run.space.name, frames.run.name))
        for frames in runs
    ]
    columns = ["name", "arch", "judge", "score", "accuracy", "macs", "params", "latency_ms"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def rows(compared: RunComparison) -> list[dict[str, Any]]:
    """One table row per run: method, effort, best accuracy, and hypervolume at equal evaluations."""
    return [
        {
            "run": label,
            "method": method_name(frames.run.config),
            "rounds": len(frames.rounds),
            "evaluations": int(frames.trace["evaluations"].iloc[-1]),
            "seconds": float(frames.trace["seconds"].iloc[-1]),
            "best_accuracy": float(frames.final["accuracy"].max()),
            "hypervolumes": compared.equal.loc[compared.equal["run"] == label, "hypervolume"].tolist(),
        }
        for label, frames in compared.runs.items()
    ]


def rank_agreements(runs: Sequence[Frames]) -> list[dict[str, Any]]:
    """How well each run's scores rank, and the time that fitting took: a row per run that measured it, for its last such
    round.

    Runs may have different objectives: rank agreement needs no common scale.
    """
    agreements = []
    for label, frames in zip(labels([frames.run.name for frames in runs]), runs, strict=True):
        asked = [row for row in frames.rounds if row.truth]
        if asked and (truth := asked[-1].truth):
            agreement, fitting = (
                truth.of_objective,
                sum(row.fitting for row in frames.rounds if row.round <= asked[-1].round),
            )
            agreements.append(
                {"run": label, "judged_by": frames.run.config.evaluator.kind, "round": asked[-1].round,
                 "fitting": fitting, "n": agreement.n, "tau": agreement.tau, "interval": agreement.interval,
                 "tau_macs": agreement.tau_macs}
            )  # fmt: skip
    return agreements


def as_json(compared: RunComparison) -> dict[str, Any]:
    """The comparison as plain data: the common box, a row per run, differing settings, final fronts, references."""

    def records(frame: pd.DataFrame) -> Any:
        # where ``accuracy`` is called score, that is the objective, too: the same numbers twice
        rest = frame if compared.noun == "accuracy" else frame.drop(columns=compared.noun, errors="ignore")
        named = rest.rename(columns={"accuracy": compared.noun})
        return json.loads(named.to_json(orient="records", double_precision=15))

    several = len(compared.costs) > 1
    further = {"costs": list(compared.costs), "max_costs": list(compared.max_costs)} if several else {}
    own = device_columns(compared.fronts)
    columns = ["run", "round", "arch", "accuracy", "macs", "params", "latency_ms", *own, "judge"]
    return {
        "box": {
            "objective": compared.objective,
            "cost": compared.cost,
            "max_cost": compared.max_costs[0],
            "min_accuracy": compared.min_accuracy,
            **further,
        },
        "budget": compared.budget,
        "runs": [
            {name.replace("accuracy", compared.noun): value for name, value in row.items()} for row in rows(compared)
        ],
        "equal": records(compared.equal),
        "settings": records(compared.settings),
        "fronts": records(compared.fronts[columns]),
        "references": records(compared.references),
    }


def describe_comparison(compared: RunComparison) -> list[str]:
    """The comparison in sentences: hypervolumes after equally many evaluations, how comparable they are, references."""
    after = compared.equal[compared.equal["evaluations"] == compared.budget].sort_values(
        "hypervolume", ascending=False, kind="stable"
    )
    volumes = ", ".join(
        f"{run} {volume:.4f}" for run, volume in zip(after["run"], after["hypervolume"].tolist(), strict=True)
    )
    sentences = [
        f"After {count(compared.budget, 'evaluation')} each, the hypervolume is {volumes} "
        f"(one box for all: {compared.box}; higher is better)."
    ]
    judges = {label: set(frames.results["judge"]) for label, frames in compared.runs.items()}
    if len(set.union(*judges.values())) > 1:
        sentences.append(
            "The runs were scored by different judges, so the hypervolumes are not strictly comparable: what one "
            "supernet scores higher, another need not."
        )
    for row in compared.references.to_dict("records"):
        sentences.append(
            f"For context: {row['name']} has {row['accuracy']:.2%} at {format_number(row[compared.cost])} "
            f"{COSTS[compared.cost]} (judged by {row['judge']})."
        )
    return sentences
