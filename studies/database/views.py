"""The views for people who query the database: results, failures, round_stats. Each by the schema version that made it.

A migration makes the view of its own time, so no text here changes: a new one is added under its version.
"""

from __future__ import annotations

_COSTS = "evaluations.macs AS macs, evaluations.params AS params, evaluations.latency_ms AS latency_ms"


def _view(name: str, columns: str, where: str = "") -> str:
    """The statement that makes a view of proposals with these columns of their evaluations."""
    return (
        f"CREATE VIEW {name} AS "
        "SELECT runs.name AS run, rounds.number AS round, proposals.number AS number, proposals.arch AS arch, "
        f"evaluations.judge AS judge, {columns} "
        "FROM proposals JOIN rounds ON rounds.id = proposals.round_id JOIN runs ON runs.id = rounds.run_id "
        f"JOIN evaluations ON evaluations.id = proposals.evaluation_id{where}"
    )


_COMPLETE = " WHERE evaluations.state = 'complete'"

_TARGET_COSTS = "evaluations.flash_kb AS flash_kb, evaluations.memory_kb AS memory_kb"

_RESULTS = f"evaluations.accuracy AS accuracy, {_COSTS}, evaluations.seconds AS seconds"

RESULTS = {
    "0001": _view("results", _RESULTS),
    "0002": _view("results", _RESULTS, _COMPLETE),
    "0018": _view("results", f"{_RESULTS}, {_TARGET_COSTS}", _COMPLETE),
}
"""What was measured to the end: a row for every proposal."""

FAILURES = {"0007": _view("failures", "evaluations.reason AS reason", " WHERE evaluations.state = 'failed'")}
"""What could not be measured, and why."""

_SPENT = (
    "rounds.fitting_seconds AS fitting_seconds, rounds.searching_seconds AS searching_seconds, "
    "rounds.truth_seconds AS truth_seconds"
)
_SPENT_MACS = (
    "rounds.training_macs AS training_macs, rounds.scoring_macs AS scoring_macs, rounds.truth_macs AS truth_macs"
)


_FOUND = "sum(CASE WHEN proposals.is_new AND evaluations.found_in IS NOT NULL THEN 1 ELSE 0 END) AS found"


def _round_stats(spent: str) -> str:
    """The statement that makes the view of rounds with these columns of what they cost."""
    return (
        "CREATE VIEW round_stats AS "
        "SELECT runs.name AS run, rounds.number AS round, rounds.state AS state, rounds.judge AS judge, "
        "rounds.hypervolume AS hypervolume, count(proposals.id) AS proposals, "
        "count(DISTINCT proposals.evaluation_id) AS distinct_networks, "
        "sum(CASE WHEN proposals.is_new THEN 1 ELSE 0 END) AS measured, "
        "sum(CASE WHEN proposals.is_new AND evaluations.state = 'pruned' THEN 1 ELSE 0 END) AS pruned, "
        "sum(CASE WHEN proposals.is_new AND evaluations.state = 'failed' THEN 1 ELSE 0 END) AS failed, "
        f"rounds.front_size AS front, rounds.tau AS tau, rounds.tau_macs AS tau_macs, {spent} "
        "FROM rounds JOIN runs ON runs.id = rounds.run_id LEFT JOIN proposals ON proposals.round_id = rounds.id "
        "LEFT JOIN evaluations ON evaluations.id = proposals.evaluation_id "
        "GROUP BY runs.id, rounds.id"
    )


ROUND_STATS = {
    "0009": _round_stats(_SPENT),
    "0014": _round_stats(f"{_SPENT}, {_SPENT_MACS}"),
    "0019": _round_stats(f"{_SPENT}, {_SPENT_MACS}, {_FOUND}"),
}
"""Every round in one row, the unfinished one, too."""

VIEWS = (RESULTS, FAILURES, ROUND_STATS)
"""All views; the last version of each is the one of today."""

VIEW_NAMES = ("results", "failures", "round_stats")
"""The names of the views, in the same order."""
