"""A proposal as an Optuna trial: what NSGA-II breeds from, and what optuna-dashboard shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite

from optuna.distributions import CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from spaces.architecture import Architecture
from spaces.space import SearchSpace
from studies.config import LimitsSection, SearchSection
from studies.records import COSTS, Evaluation, Proposal

GENERATION_KEY = NSGAIISampler._get_generation_key()
"""The system attribute that makes a trial a member of NSGA-II's population; an enqueued trial would not get it."""

PROPOSAL_KEY = "proposal"
ARCH_KEY = "arch"
"""The user attributes by which a trial of ours is known: the proposal's number, and its architecture."""

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
"""What an evaluation's state is to Optuna."""


def distributions(space: SearchSpace) -> dict[str, CategoricalDistribution]:
    """One categorical per layer, named after the layer; its choices are the layer's genes."""
    return {name: CategoricalDistribution(genes) for name, genes in zip(space.names, space.genes, strict=True)}


def constraints(evaluation: Evaluation, limits: LimitsSection) -> dict[str, float]:
    """Every limit as Optuna wants it: the relative overshoot of a limit's end, feasible when <= 0."""
    overshoots = {}
    for name in COSTS:
        limit = getattr(limits, name)
        if limit is not None:
            least, most = limit
            cost = evaluation.cost(name)
            overshoots[f"{name}_least"] = (least - cost) / max(abs(least), 1.0)
            if isfinite(most):
                overshoots[f"{name}_most"] = (cost - most) / max(abs(most), 1.0)
    return overshoots


def running_trial(
    number: int, arch: Architecture, origin: str, space: SearchSpace, choices: Mapping[str, CategoricalDistribution]
) -> FrozenTrial:
    """A proposal that is being measured, as a trial without values."""
    return FrozenTrial(
        number=number,
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        values=None,
        datetime_start=datetime.now(),  # local, as Optuna has it
        datetime_complete=None,
        params=dict(zip(space.names, arch.genes, strict=True)),
        distributions=dict(choices),
        user_attrs={PROPOSAL_KEY: number, ARCH_KEY: str(arch), "origin": origin},
        system_attrs={},
        intermediate_values={},
    )


def to_trial(
    proposal: Proposal,
    space: SearchSpace,
    choices: Mapping[str, CategoricalDistribution],
    settings: SearchSection,
    limits: LimitsSection,
) -> FrozenTrial:
    """A finished trial; its values are the objective and the costs, its number is the proposal's, and its attribute
    ``proposal``, which stays where others' trials take the numbers.

    What was stopped early is PRUNED, what could not be measured FAIL: it has no values and is no member of NSGA-II's
    population. Intermediate values are the accuracies at the rungs, by epochs.

    Not by ``optuna.trial.create_trial``, which compares every distribution with itself, choice by choice: ten times
    slower than all of this.
    """
    evaluation = proposal.evaluation
    whole = evaluation.state == "complete"
    values = [evaluation.score(settings.objective), *map(evaluation.cost, settings.costs)] if whole else None
    attrs: dict[str, str | float] = {
        PROPOSAL_KEY: proposal.number,
        ARCH_KEY: str(proposal.arch),
        "macs": evaluation.macs,
        "params": evaluation.params,
        "origin": proposal.origin,
    }
    for name in COSTS[2:]:
        if (cost := getattr(evaluation, name)) is not None:
            attrs[name] = cost
    if settings.objective != "accuracy" and not evaluation.failed:
        attrs["accuracy"] = evaluation.accuracy
    if evaluation.failed:
        attrs["reason"] = evaluation.failed
    now = datetime.now()  # local, as Optuna has it
    trial = FrozenTrial(
        number=proposal.number,
        trial_id=-1,
        state=STATES[evaluation.state],
        value=None,
        values=values,
        datetime_start=now,
        datetime_complete=now,
        params=dict(zip(space.names, proposal.arch.genes, strict=True)),
        distributions=dict(choices),
        user_attrs=attrs,
        system_attrs={GENERATION_KEY: proposal.generation} if whole else {},
        intermediate_values=dict(evaluation.rungs),
    )
    for key, violation in constraints(evaluation, limits).items():
        trial.set_constraint(key, violation)
    return trial
