"""Tables in Markdown: means over seeds, with Student's 95 % interval where there is more than one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from statistics import fmean, stdev

import pandas as pd
from scipy.stats import t as student

from benchmarks.macro_blocks.figures import Floats, Picked, Taus, pick, summed_losses, taus
from benchmarks.macro_blocks.results import Result
from benchmarks.macro_blocks.settings import Settings
from spaces.library.named_spaces import load_space
from spaces.units import format_number

ROWS = {
    "loss": "sum of block losses",
    "macs": "MACs alone",
    "partial": "block losses, MACs partialled out",
    "loss_in_bins": "block losses, within bins of equal MACs",
    "macs_in_bins": "MACs, within the same bins",
}
"""What the report calls each of ``Taus``."""


def report(truth: pd.DataFrame, results: Sequence[Result], budgets: Sequence[float]) -> str:
    """All sizes that were measured, one below the other."""
    parts = [
        "\n".join(_of_one_size(truth, settings, [result for result in results if result.settings == settings], budgets))
        for settings in dict.fromkeys(result.settings for result in results)
    ]
    return "\n\n".join(parts) or "nothing was measured yet"


def _of_one_size(
    truth: pd.DataFrame, settings: Settings, results: Sequence[Result], budgets: Sequence[float]
) -> Iterator[str]:
    space = load_space("nas_bench_macro")
    losses = [summed_losses(list(truth.index), result.losses, space) for result in results]
    yield f"### {describe(settings, results)}\n"
    yield f"| Kendall's tau with {len(truth):,} networks | |\n|---|---:|"
    accuracy, macs = (truth[name].to_numpy(dtype=float) for name in ("accuracy", "macs"))
    found = [taus(accuracy, macs, one) for one in losses]
    for field in fields(Taus):
        yield f"| {ROWS[field.name]} | {interval([getattr(one, field.name) for one in found], '.3f')} |"
    yield "\n| at most MACs | networks | least loss | its rank | most MACs | median | best |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    yield from (row for budget in budgets if (row := _budget_row(truth, losses, budget)))


def _budget_row(truth: pd.DataFrame, losses: Sequence[Floats], budget: float) -> str:
    """One budget; empty: it buys nothing."""
    found: list[Picked] = [one for each in losses if (one := pick(truth, each, budget))]
    if not found:
        return ""
    first = found[0]
    chosen = interval([100 * one.least_loss for one in found], ".2f")
    rest = " | ".join(f"{100 * value:.2f}" for value in (first.dearest, first.median, first.best))
    rank = interval([one.rank for one in found], ".0f")
    return f"| {format_number(budget)} | {first.count:,} | {chosen} | {rank} | {rest} |"


def describe(settings: Settings, results: Sequence[Result]) -> str:
    """The size, and how good the teachers are."""
    size = ", ".join(f"{name} {value}" for name, value in asdict(settings).items() if value is not None)
    seeds = ", ".join(str(result.seed) for result in results)
    teacher = interval([100 * result.teacher for result in results], ".1f")
    known = [result.cpu_seconds / 60 for result in results if result.cpu_seconds is not None]
    minutes = f"; {fmean(known):.0f} CPU minutes a seed" if known else ""
    return f"Seeds {seeds}: {size}; {results[0].images:,} images; teacher {teacher} % right{minutes}"


def interval(values: Sequence[float], form: str) -> str:
    """``mean (low to high)``, by Student's distribution over seeds; a single value alone."""
    mean, n = fmean(values), len(values)
    if n < 2:
        return format(mean, form)
    half = float(student.ppf(0.975, n - 1)) * stdev(values) / math.sqrt(n)
    return f"{mean:{form}} ({mean - half:{form}} to {mean + half:{form}})"
