"""Work on a database whose server is restarted, or cuts connections."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from studies.database import engines


@pytest.mark.parametrize(
    ("said", "tried"),
    [
        ("FATAL:  terminating connection due to administrator command", 3),
        ("server closed the connection unexpectedly", 3),
        ("connection refused", 1),
    ],
)
def test_a_connection_that_is_cut_while_it_is_opened_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, said: str, tried: int
) -> None:
    """There is no connection yet that could be invalid; a server that never answered is an error at once."""
    monkeypatch.setattr(engines, "MAX_CUTS", (0.0, 0.0))
    tries: list[int] = []

    @engines.retry_if_cut
    def work() -> None:
        tries.append(1)
        raise sa.exc.OperationalError(None, None, Exception(said))

    with pytest.raises(sa.exc.OperationalError):
        work()
    assert len(tries) == tried
