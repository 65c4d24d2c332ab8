"""URLs as people type them: understood, or answered; and nobody sees a password."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evo.round import __main__ as command_line
from evo.round import command
from studies.database.engines import open_engine
from studies.database.store import Store
from studies.database.urls import files_folder, parse_url, redacted
from studies.records import EvoError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql://ann:secret@host:5432/runs", "postgresql://ann:***@host:5432/runs"),
        ("postgresql+psycopg://ann:se@cr:et/@host/runs", "postgresql+psycopg://ann:***@host/runs"),
        ("best@postgresql://ann:secret@host/runs", "best@postgresql://ann:***@host/runs"),
        ("postgresql//ann:secret@host/runs", "postgresql//ann:***@host/runs"),
        ("postgresql://host/runs?user=ann&password=secret&a=b", "postgresql://host/runs?user=ann&password=***&a=b"),
        ("postgresql://host/runs?sslPassword=secret", "postgresql://host/runs?sslPassword=***"),
        ("postgresql://ann@host/runs", "postgresql://ann@host/runs"),
        ("sqlite:////home/ann:b@c/evo.db", "sqlite:////home/ann:b@c/evo.db"),
        ("limits.macs=[0, 2e5]", "limits.macs=[0, 2e5]"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, told: str) -> None:
    assert redacted(text) == told


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgresql://h/d", "postgresql+psycopg"),
        ("postgres://h/d", "postgresql+psycopg"),
        ("mysql://h/d", "mysql+pymysql"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2"),
        ("sqlite:///evo.db", "sqlite"),
    ],
)
def test_a_url_that_names_no_driver_gets_the_one_that_is_installed(text: str, driver: str) -> None:
    assert parse_url(text).drivername == driver


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("postgresql//ann:secret@host/runs", "not a database URL; expected one like sqlite:///evo.db or postgresql://"),
        ("postgresql://ann:secret@host:port/runs", "not a database URL"),
        ("postgresql://ann:sec@ret@host/runs", "an @ in a name or password is written %40"),
        ("sqlite:///caf\udce9.db", "expected a name that is text in UTF-8; rename the file or its folder"),
        ("sqlite:////tmp", "that is a folder, expected a database's file, such as sqlite:////tmp/evo.db"),
        ("oracle+nothing://ann:secret@host/runs", "no such kind of database"),
        ("postgresql+missing://ann:secret@host/runs", "no such kind of database"),
        ("mysql+aiomysql://ann:secret@host/runs", "its driver is not installed: pip install aiomysql"),
        ("postgresql://ann:secret@127.0.0.1:1/runs", "cannot be opened: .*refused"),
        ("postgresql://ann:secret@nowhere.invalid/runs", "cannot be opened: .*nowhere.invalid"),
        ("postgresql://ann:secret@127.0.0.1/runs?nonsense=1", "cannot be opened: .*nonsense"),
    ],
)
def test_a_url_that_cannot_be_opened_is_answered_without_its_password(text: str, answer: str) -> None:
    with pytest.raises(EvoError, match=f"--storage {re.escape(text.split('/')[0])}.*{answer}") as raised:
        Store(text)
    assert "ret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_interrupted_command_is_told_again_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_rounds", interrupted)
    assert (
        command_line.main(["2", "--storage", "postgresql://ann:hush@host/runs", "--set", "limits.macs=[0, 2e5]"]) == 130
    )
    told = "python -m evo.round 2 --storage 'postgresql://ann:***@host/runs' --set 'limits.macs=[0, 2e5]'"
    assert told in capsys.readouterr().err


def test_a_missing_driver_is_answered_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(EvoError, match=r"its driver is not installed: pip install '\.\[postgresql\]'"):
        open_engine("postgresql://host/runs")


def test_weights_lie_beside_an_sqlite_file_and_else_in_the_current_folder() -> None:
    assert files_folder("sqlite:////data/evo.db") == Path("/data/evo_files")
    assert files_folder("postgresql://host/runs") == Path("evo_files")
