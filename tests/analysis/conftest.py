"""The hand-made run, in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.frames import Frames, load
from studies.database.store import Store, open_store
from tests import example_run


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("run") / "evo.db"
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        example_run.two_rounds(store)
        yield store


@pytest.fixture(scope="module")
def frames(store: Store) -> Frames:
    return load(store, store.run("tiny"))
