"""A run of two rounds, made by hand through the store's own interface: every number in it can be checked by head."""

from __future__ import annotations

from unittest.mock import patch

from spaces.architecture import Architecture
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import check_config
from studies.database.rows import Choice, StoredRound, StoredRun
from studies.database.store import Store
from studies.records import Evaluation, Proposal
from studies.runs.manage import rename_run

CONFIG = {
    "space": {"name": "digits"},
    "evaluator": {"kind": "oneshot"},
    "evolution": {"method": "pad_nas"},
}
FIRST = SearchSpace(
    "tiny",
    (
        Layer(Shape(8, 8, 1, 8), ("mb_k3_e1", "mb_k5_e3", "mb_k7_e3"), ("id",)),
        Layer(Shape(8, 16, 2, 8), ("mb_k3_e1", "mb_k5_e3"), block="stage2"),
    ),
    Stem(8, stride=1, c_in=1, size=8),
    Head(0, 10),
)
SECOND = FIRST.replace_layers((Layer(Shape(8, 8, 1, 8), ("mb_k3_e1", "mb_k5_e3", "id")), FIRST.layers[1]))
RULE = "rate by share; keep ratings > 0.01; refill next"

CHEAP, DEAR, WORST, FREE = "mb_k3_e1|mb_k3_e1", "mb_k5_e3|mb_k5_e3", "mb_k5_e3|mb_k3_e1", "id|mb_k3_e1"

ROUND_1 = [(CHEAP, 0.5, 10.0), (WORST, 0.4, 20.0), (DEAR, 0.8, 40.0), (CHEAP, 0.5, 10.0)]
"""(architecture, accuracy, MACs). In the box 100 x [0, 1] the hypervolume runs .45, .45, .63, .63."""

ROUND_2 = [(CHEAP, 0.6, 10.0), (DEAR, 0.9, 40.0), (FREE, 0.3, 5.0)]
"""Scored by another judge; the hypervolume runs .54, .72, .735."""

CHOICES_1 = [
    Choice(0, "mb_k3_e1", 0.5, 0.5, "kept", RULE),
    Choice(0, "mb_k5_e3", 0.5, 0.5, "kept", RULE),
    Choice(0, "mb_k7_e3", 0.0, 0.0, "dropped", RULE),
    Choice(0, "id", None, None, "added", RULE),
    Choice(1, "mb_k3_e1", 0.5, 0.5, "kept", RULE),
    Choice(1, "mb_k5_e3", 0.5, 0.5, "kept", RULE),
]
CHOICES_2 = [Choice(i, op, 0.5, 0.5, "kept", RULE) for i in (0, 1) for op in SECOND.layers[i].candidates]


def rename_as_earlier(store: Store, old: str, new: str) -> None:
    """Give a run a name that earlier versions took and this one refuses."""
    with patch("studies.runs.manage.check_name"):
        rename_run(store, old, new)


def begin(store: Store, name: str = "tiny") -> StoredRun:
    """The run, with no round yet."""
    return store.create_run(name, check_config(CONFIG, "example"), FIRST, max_cost=100.0, versions={"evo": "0.1.0"})


def search(store: Store, run: StoredRun, n: int) -> StoredRound:
    """Round ``n``, measured and unfinished. Every measurement took half a second."""
    row = store.open_round(run, n, (FIRST, SECOND)[n - 1], {"run": run.name, "round": n})
    seen: set[str] = set()
    generation = []
    for number, (arch, accuracy, macs) in enumerate((ROUND_1, ROUND_2)[n - 1]):
        evaluation = Evaluation(Architecture.parse(arch), f"oneshot@{n}:abc", accuracy, macs, 2 * macs, seconds=0.5)
        generation.append(Proposal(number, 0, "stratified", evaluation, is_new=arch not in seen))
        seen.add(arch)
    for proposal in generation:  # one by one, since the fourth of round 1 refers to the first
        store.record(run, row, [proposal])
    return row


def finish(store: Store, row: StoredRound) -> None:
    """The round's end. Fitting took ten seconds in round 1, twenty in round 2."""
    n = row.number
    store.finish_round(
        row,
        SECOND,
        (CHOICES_1, CHOICES_2)[n - 1],
        judge=f"oneshot@{n}:abc",
        hypervolume=(0.63, 0.735)[n - 1],
        stats={"proposals": 3, "distinct": 3, "measured": 3, "front": 2, "exhausted": False,
               "seconds": {"fitting": 10.0 * n, "searching": 2.0}},
    )  # fmt: skip


def two_rounds(store: Store, name: str = "tiny") -> StoredRun:
    """The whole run."""
    run = begin(store, name)
    for n in (1, 2):
        finish(store, search(store, run, n))
    return run
