"""What a round's search maximises and minimises, how it proposes, and the limits that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator
from pydantic_core import PydanticCustomError

from spaces.costs.table import PEAKS
from studies.config.values import SCORES, CountPerRound, Limit, Objective, Section, Share, invalid, value_in_round
from studies.records import COSTS


class SearchSection(Section):
    """NSGA-II inside one round: maximise `objective`, minimise `cost`; or all of `objectives`."""

    population: Annotated[int, Field(ge=2)] = 10
    """Architectures per generation. It may stay small with many workers: see `in_flight`."""

    in_flight: Annotated[int, Field(ge=1)] | None = None
    """Generations that may be in flight at the same time: a generation is proposed when the one so many before it is
    recorded, and what is in flight is believed to come out as predicted. Results depend on it, and not on workers. Not
    given: what keeps the workers busy with which the run begins; 1 where they are at most half of `population`."""

    sampler: Literal["nsga2", "random"] = "nsga2"
    """`nsga2`, or `random`: measure networks drawn uniformly, the yardstick that every search must beat."""

    surrogate: bool = True
    """Let a surrogate model choose among many children of NSGA-II. Where it predicts no better than chance, NSGA-II
    chooses alone."""

    evaluations: CountPerRound = 64
    """New measurements per round: a number for every round, or a list whose last entry repeats, e.g. many in cheap first
    rounds. A proposal whose score is known already costs nothing."""

    time_limit_seconds: PositiveFloat | None = None
    """Seconds after which the search of a round ends, even if `evaluations` is not reached; results then depend on the
    machine's speed. Not given: no limit."""

    objective: Literal["accuracy", "likelihood"] = "accuracy"
    """What is maximised: `accuracy`, or `likelihood`, which is exp(-negative log-likelihood) and ranks better where a
    supernet was trained for a short time only."""

    cost: Literal["macs", "params", "latency_ms", "flash_kb"] = "macs"
    """What is minimised: `macs` (multiply-accumulates), `params` (parameters), `latency_ms` (milliseconds, by the
    table in `[latency]`), or `flash_kb` (KB of weights on the device of `[target]`)."""

    objectives: tuple[Objective, ...] | None = None
    """All objectives in place of `objective` and `cost`: one that is maximised and any number of costs, e.g. `["accuracy",
    "macs", "memory_kb"]`. The first cost is the one that tables and axes show, and by which networks are spread; `memory_kb`
    (KB of live activations on the device of `[target]`) is a peak and no sum over layers, and so is never the first. Not given:
    `objective` and `cost`."""

    macs_convention: str = "macs"
    """How multiply-accumulates are counted: `macs`, `macs+se`, `torch`, `nse`, `nse+se` or `dna` (definitions:
    `spaces/costs/table.py`)."""

    min_accuracy: Share = 0.0
    """Accuracy above which hypervolume counts, from 0 to 1."""

    int8: bool = False
    """Whether architectures are judged as they are after quantisation to 8 bits. `objective = "accuracy_int8"` (or
    `"likelihood_int8"`), or one of these among `objectives`, says the same."""

    reuse: bool = True
    """Take what another run of the database has measured with the same settings, data, seed and device, of the same network,
    in place of measuring it again (tables, and networks that are trained alone). Without, results are the same, and cost
    more."""

    learn_from: tuple[str, ...] = ()
    """Runs of the same database whose measurements teach the surrogate, whatever they were measured on: the same layers, and
    operations that both have. They are copied when the run begins. A run that does not help, by what is predicted of networks
    that are left out, is ignored."""

    @property
    def flights(self) -> int:
        """Generations that may be in flight, once the run has begun."""
        return self.in_flight or 1

    @property
    def costs(self) -> tuple[str, ...]:
        """All that is minimised; the first is `cost`."""
        return (self.cost, *(name for name in self.objectives or () if name in COSTS and name != self.cost))

    @model_validator(mode="before")
    @classmethod
    def _by_objectives(cls, given: Any) -> Any:
        """`objective` and `cost` of `objectives`; two are nothing but these. A score in 8 bits is a score, and `int8`."""
        given = _without_int8(given)
        asked = given.get("objectives") if isinstance(given, Mapping) else None
        if not isinstance(asked, (list, tuple)) or not set(map(str, asked)) <= {*SCORES, *COSTS}:
            return given
        scores, costs = [name for name in asked if name in SCORES], [name for name in asked if name in COSTS]
        if len(scores) != 1 or not costs or len(set(costs)) < len(costs):
            raise invalid(
                f"search.objectives is {list(asked)}: expected one of {' and '.join(SCORES)}, and one or more of "
                f"{', '.join(COSTS)}, each once"
            )
        if costs[0] in PEAKS:
            others = f'["{scores[0]}", "macs", ' + ", ".join(f'"{name}"' for name in costs if name != "macs") + "]"
            raise invalid(
                f"search.objectives is {list(asked)}: {costs[0]} is a peak and no sum over layers, so networks cannot be "
                f"spread over it; name a cost first that adds up, e.g. {others}"
            )
        for key, value in {"objective": scores[0], "cost": costs[0]}.items():
            if given.get(key, value) != value:
                raise invalid(
                    f"search.{key} is {given[key]!r}, and search.objectives begins with {value!r}: leave search.{key} out"
                )
        rest = {key: value for key, value in given.items() if key != "objectives"}
        several = {"objectives": tuple(asked)} if len(costs) > 1 else {}
        return {**rest, "objective": scores[0], "cost": costs[0], **several}

    def measurements(self, n: int) -> int:
        """New measurements in round ``n``, from 1."""
        return int(value_in_round(self.evaluations, n))


def _without_int8(given: Any) -> Any:
    """Settings of a search whose scores are called as they are in 32 bits; `int8` says that they are in 8."""
    if not isinstance(given, Mapping):
        return given
    names = {f"{score}_int8": score for score in SCORES}
    asked, several = given.get("objective"), given.get("objectives")
    listed = list(map(str, several)) if isinstance(several, (list, tuple)) else []
    if asked not in names and not names.keys() & set(listed):
        return given
    changed = {**given, "int8": True}
    if asked in names:
        changed["objective"] = names[asked]
    if listed:
        changed["objectives"] = [names.get(name, name) for name in listed]
    return changed


class LimitsSection(Section):
    """Limits [least, most] between which the costs of every architecture must lie, as deployed. An end may be open:
    `[2e7, inf]`."""

    macs: Limit | None = None
    """Multiply-accumulates of one image, counted by `search.macs_convention`. Not given: no limit."""

    params: Limit | None = None
    """Parameters. Not given: no limit."""

    latency_ms: Limit | None = None
    """Milliseconds for one image, by the table in `[latency]`. Not given: no limit."""

    flash_kb: Limit | None = None
    """KB (1024 bytes) of weights on the device of `[target]`. Not given: no limit."""

    memory_kb: Limit | None = None
    """KB (1024 bytes) of activations that are live at one time on the device of `[target]`, e.g. `[0, 256]`; a limit from above
    only. Not given: no limit."""

    def given(self) -> dict[str, Limit]:
        """The limits that are set: cost name -> (least, most)."""
        return {name: limit for name in COSTS if (limit := getattr(self, name)) is not None}

    @field_validator("memory_kb")
    @classmethod
    def _from_above(cls, limit: Limit | None) -> Limit | None:
        if limit and limit[0] > 0:
            raise PydanticCustomError("peak", "expected a limit from above, e.g. [0, 256]: memory is a peak")
        return limit
