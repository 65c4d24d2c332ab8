"""The views for people who ask the database themselves: results, failures. Each by the schema version that made it.

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


_RESULTS = f"evaluations.accuracy AS accuracy, {_COSTS}, evaluations.seconds AS seconds"

RESULTS = {
    "0001": _view("results", _RESULTS),
    "0002": _view("results", _RESULTS, " WHERE evaluations.state = 'complete'"),
}
"""What was measured to the end: a row for every proposal."""

FAILURES = {"0007": _view("failures", "evaluations.reason AS reason", " WHERE evaluations.state = 'failed'")}
"""What could not be measured, and why."""
