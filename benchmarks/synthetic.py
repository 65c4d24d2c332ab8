"""A synthetic run: random architectures with made-up accuracies, recorded as a search records them."""

from __future__ import annotations

from random import Random

import optuna

from benchmarks.overhead import a_space
from evo.methods.evolution import operation_shares
from spaces.costs.table import cost_table
from studies.config import check_config
from studies.database.rows import Choice, StoredRun
from studies.database.store import Store
from studies.pareto import hypervolume
from studies.records import Evaluation, Proposal, Round

GENERATION = 20


def fill(store: Store, rounds: int, trials: int) -> StoredRun:
    """A finished run of so many rounds and new trials in each; 24 layers of 7 operations, all kept."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, rng = a_space(), Random(0)
    table = cost_table(space)
    settings = {
        "space": {"name": "made_up"},
        "evaluator": {"kind": "oneshot"},
        "evolution": {"method": "pad_nas"},
        "search": {"evaluations": trials, "population": GENERATION},
    }
    most = float(table.bounds()[1][0])
    run = store.create_run("made_up", check_config(settings, "made up"), space, most, {"evo": "0"})
    for n in range(1, rounds + 1):
        row = store.open_round(run, n, space, {"run": run.name, "round": n, "method": "pad_nas"})
        archs = [space.sample(rng) for _ in range(trials)]
        judge, evaluations = f"oneshot@{n}:{n:012x}", []
        for arch, (macs, params, _) in zip(archs, table.count(archs).tolist(), strict=True):
            accuracy = 0.6 + 0.3 * macs / most + 0.02 * n / rounds + rng.gauss(0, 0.02)
            evaluations.append(Evaluation(arch, judge, min(1.0, accuracy), macs, params, nll=1.0, seconds=0.01))
        generations = [evaluations[start : start + GENERATION] for start in range(0, trials, GENERATION)]
        for g, generation in enumerate(generations):
            numbers = range(g * GENERATION, g * GENERATION + len(generation))
            store.record(run, row, [Proposal(i, g, "child", e) for i, e in zip(numbers, generation, strict=True)])
        finished = Round(n, space, tuple(evaluations))
        share = operation_shares(space, finished.front)
        fates = [
            Choice(i, op, share.get((i, op)), share.get((i, op)), "kept", "keep everything")
            for i, layer in enumerate(space.layers)
            for op in layer.candidates
        ]
        costs, accuracies = [e.macs for e in evaluations], [e.accuracy for e in evaluations]
        seconds = {"fitting": 60.0, "evaluating": 0.01 * trials, "proposing": 1.0, "storing": 0.5}
        store.finish_round(
            row, space, fates, judge=judge, hypervolume=hypervolume(costs, accuracies, max_cost=most),
            stats={"proposals": trials, "measured": trials, "front": len(finished.front), "seconds": seconds},
        )  # fmt: skip
    return run
