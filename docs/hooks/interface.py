"""Reference: the names that ``import evo`` offers, in the order in which one needs them."""

from __future__ import annotations

from collections.abc import Iterator

import evo

GROUPS: dict[str, tuple[str, ...]] = {
    "Search, and look at results": (
        "search", "load", "runs", "compare", "plan", "measure_headroom", "verify_folder", "Run", "Delivered",
        "Against", "Comparison", "Verdicts", "Verification", "Plan", "HeadroomResult", "ProxiesResult", "Page",
    ),
    "An operation of your own": ("operation", "Conv", "SqueezeExcite", "OpCounts"),
    "An evaluator of your own": (
        "evaluator", "EvaluatorSettings", "Evaluator", "FitContext", "Judge", "Request", "Evaluation",
        "evaluations_of", "WrappedJudge",
    ),
    "A method of your own": ("method", "MethodSettings", "Evolution"),
    "A data set of your own": ("dataset", "DataSettings"),
    "Plugins": ("load_plugin",),
    "Errors": ("UserError", "EvoError"),
}  # fmt: skip
"""Heading -> names, in order."""


def groups() -> Iterator[tuple[str, list[str]]]:
    """The public names under their headings; what ``GROUPS`` does not know comes last."""
    named = {name for names in GROUPS.values() for name in names}
    for heading, names in {**GROUPS, "More": tuple(sorted(set(evo.__all__) - named))}.items():
        if public := [name for name in names if name in evo.__all__]:
            yield heading, public


def names() -> str:
    """All public names, as Markdown; mkdocstrings writes what stands under each of them."""
    parts = []
    for heading, names in groups():
        parts += [f"## {heading}", *(f"::: evo.{name}\n    options: {{ heading_level: 3 }}" for name in names)]
    return "\n\n".join(parts) + "\n"
