"""Evolutionary neural architecture search whose search space evolves.

``python -m evo.round`` searches, ``python -m evo.deliver`` trains and exports a network; ``evo.search`` and ``evo.load`` do so
from Python. A file of your own adds operations, evaluators, methods and data sets with the decorators below. Nothing heavy is
imported before a name is asked for.
"""

from __future__ import annotations

from spaces import _interrupts as _interrupts  # first: Ctrl-C may come at any moment

# isort: split

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evo.api.against import Against
    from evo.api.calls import compare, load, measure_headroom, plan, runs, search, verify_folder
    from evo.api.comparison import Comparison
    from evo.api.delivered import Delivered
    from evo.api.pages import Page
    from evo.api.run import Run
    from evo.api.verdicts import Verdicts
    from evo.evaluators import Evaluator, FitContext, Judge, Request, WrappedJudge, evaluations_of
    from evo.headroom.result import HeadroomResult
    from evo.methods.evolution import Evolution
    from evo.plugins import dataset, evaluator, load_plugin, method
    from evo.proxies.result import ProxiesResult
    from evo.round.plan import Plan
    from evo.verify.finding import Verification
    from spaces.errors import UserError
    from spaces.operations.own_operations import operation
    from spaces.operations.primitives import Conv, OpCounts, SqueezeExcite
    from studies.config import DataSection as DataSettings
    from studies.config import EvaluatorSection as EvaluatorSettings
    from studies.config import MethodSection as MethodSettings
    from studies.records import Evaluation, EvoError

__version__ = "0.2.0"

_WHERE = {
    "Against": "evo.api.against",
    "Comparison": "evo.api.comparison",
    "Conv": "spaces.operations.primitives",
    "DataSettings": "studies.config:DataSection",
    "Delivered": "evo.api.delivered",
    "Evaluation": "studies.records",
    "Evaluator": "evo.evaluators",
    "EvaluatorSettings": "studies.config:EvaluatorSection",
    "EvoError": "studies.records",
    "Evolution": "evo.methods.evolution",
    "FitContext": "evo.evaluators",
    "HeadroomResult": "evo.headroom.result",
    "Judge": "evo.evaluators",
    "MethodSettings": "studies.config:MethodSection",
    "Page": "evo.api.pages",
    "Plan": "evo.round.plan",
    "ProxiesResult": "evo.proxies.result",
    "Request": "evo.evaluators",
    "Run": "evo.api.run",
    "SqueezeExcite": "spaces.operations.primitives",
    "OpCounts": "spaces.operations.primitives",
    "UserError": "spaces.errors",
    "Verdicts": "evo.api.verdicts",
    "Verification": "evo.verify.finding",
    "WrappedJudge": "evo.evaluators",
    "compare": "evo.api.calls",
    "dataset": "evo.plugins",
    "evaluations_of": "evo.evaluators",
    "evaluator": "evo.plugins",
    "load": "evo.api.calls",
    "load_plugin": "evo.plugins",
    "measure_headroom": "evo.api.calls",
    "method": "evo.plugins",
    "operation": "spaces.operations.own_operations",
    "plan": "evo.api.calls",
    "runs": "evo.api.calls",
    "search": "evo.api.calls",
    "verify_folder": "evo.api.calls",
}
"""Public name -> the module that has it, and its name there where it is another one."""

__all__ = [
    "Against",
    "Comparison",
    "Conv",
    "DataSettings",
    "Delivered",
    "Evaluation",
    "Evaluator",
    "EvaluatorSettings",
    "EvoError",
    "Evolution",
    "FitContext",
    "HeadroomResult",
    "Judge",
    "MethodSettings",
    "OpCounts",
    "Page",
    "Plan",
    "ProxiesResult",
    "Request",
    "Run",
    "SqueezeExcite",
    "UserError",
    "Verdicts",
    "Verification",
    "WrappedJudge",
    "compare",
    "dataset",
    "evaluations_of",
    "evaluator",
    "load",
    "load_plugin",
    "measure_headroom",
    "method",
    "operation",
    "plan",
    "runs",
    "search",
    "verify_folder",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'evo' has no attribute {name!r}")
    module, _, other = _WHERE[name].partition(":")
    with warnings.catch_warnings():  # of tqdm's, which Optuna imports: nothing here shows its bars
        warnings.filterwarnings("ignore", "IProgress not found")
        value = globals()[name] = getattr(import_module(module), other or name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
