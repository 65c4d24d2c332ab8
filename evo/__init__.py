"""Evolutionary neural architecture search whose search space evolves.

``python -m evo.round`` searches, ``python -m evo.deliver`` trains and exports a network; a file of your own adds operations,
evaluators, methods and data sets with the decorators below. Nothing heavy is imported before a name is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evo.evaluators import Evaluator, FitContext, Judge, Request, scored
    from evo.evolution import Evolution
    from evo.plugins import dataset, evaluator, method
    from spaces.own_operations import operation
    from spaces.steps import Conv, SqueezeExcite, Tally
    from studies.config import DataSection as DataSettings
    from studies.config import EvaluatorSection as EvaluatorSettings
    from studies.config import MethodSection as MethodSettings
    from studies.records import Evaluation, EvoError

__version__ = "0.1.0"

_WHERE = {
    "Conv": "spaces.steps",
    "DataSettings": "studies.config:DataSection",
    "Evaluation": "studies.records",
    "Evaluator": "evo.evaluators",
    "EvaluatorSettings": "studies.config:EvaluatorSection",
    "Evolution": "evo.evolution",
    "EvoError": "studies.records",
    "FitContext": "evo.evaluators",
    "Judge": "evo.evaluators",
    "MethodSettings": "studies.config:MethodSection",
    "Request": "evo.evaluators",
    "SqueezeExcite": "spaces.steps",
    "Tally": "spaces.steps",
    "dataset": "evo.plugins",
    "evaluator": "evo.plugins",
    "method": "evo.plugins",
    "operation": "spaces.own_operations",
    "scored": "evo.evaluators",
}
"""Public name -> the module that has it, and its name there where it is another one."""

__all__ = [
    "Conv",
    "DataSettings",
    "Evaluation",
    "Evaluator",
    "EvaluatorSettings",
    "EvoError",
    "Evolution",
    "FitContext",
    "Judge",
    "MethodSettings",
    "Request",
    "SqueezeExcite",
    "Tally",
    "dataset",
    "evaluator",
    "method",
    "operation",
    "scored",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'evo' has no attribute {name!r}")
    module, _, other = _WHERE[name].partition(":")
    return getattr(import_module(module), other or name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
