"""``python -m studies.dashboard`` serves optuna-dashboard on a database of runs.

The same pages as the command ``optuna-dashboard URL``, behind Optuna's cache of finished trials: a refresh of a study
with 5,000 trials costs one second instead of eight. Opening it changes nothing in the database; the pages can, where it may
be written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from spaces import shell

if TYPE_CHECKING:
    from optuna.artifacts import FileSystemArtifactStore

EXAMPLES = """examples:
  python -m studies.dashboard
  python -m studies.dashboard --storage sqlite:///other.db --port 8081
"""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = shell.parser("studies.dashboard", "Serve optuna-dashboard on a database of runs, until Ctrl-C.", EXAMPLES)
    add = command.add_argument
    add("--storage", default="sqlite:///evo.db", metavar="URL", help="database (default: %(default)s)")
    add("storage", nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # as it was given before --storage
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=shell.integer(0, 65535), default=8080, help="port (default: %(default)s; 0 takes a free one)")
    return command


class DashboardServer(ThreadingMixIn, WSGIServer):
    """A browser asks for several things at once; threads answer."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """A page's dozens of requests are nothing to print."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def drawing_folders(files: Path, runs: Sequence[str]) -> list[Path]:
    """The folders that hold drawings; earlier versions had one beside that of each run, whose name might have a slash."""
    from studies.database.urls import artifacts_folder

    beside = ((files / name).parent for name in runs if "/" in name and "\0" not in name)
    return [folder for folder in dict.fromkeys(map(artifacts_folder, (files, *beside))) if folder.is_dir()]


@dataclass(frozen=True)
class Drawings:
    """Drawings that lie in several folders, as one of Optuna's artifact stores; new ones go into the first."""

    stores: Sequence[FileSystemArtifactStore]

    def open_reader(self, artifact_id: str) -> BinaryIO:
        from optuna.artifacts.exceptions import ArtifactNotFound

        for store in self.stores[:-1]:
            with suppress(ArtifactNotFound):
                return store.open_reader(artifact_id)
        return self.stores[-1].open_reader(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self.stores[0].write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        self.stores[0].remove(artifact_id)


def open_server(url: str, host: str, port: int) -> WSGIServer:
    """optuna-dashboard on a database, bound to an address and ready to ``serve_forever``.

    Raises:
        EvoError: there is no such database, no Optuna study in it or another Optuna's, or the address is taken.
    """
    import optuna
    from optuna.artifacts import FileSystemArtifactStore
    from optuna_dashboard import wsgi

    from studies.database.contents import require_studies
    from studies.database.optuna_tables import existing_storage
    from studies.database.store import open_store
    from studies.database.urls import files_folder, require_existing
    from studies.records import EvoError

    require_studies(require_existing(url))
    storage, names = optuna.storages.get_storage(existing_storage(url)), list[str]()
    with suppress(EvoError), open_store(url, read_only=True) as store:  # which may hold other studies only
        names = store.runs()
    stores = [FileSystemArtifactStore(folder) for folder in drawing_folders(files_folder(url), names)]
    app = wsgi(storage, Drawings(stores) if stores else None)
    try:
        return make_server(host, port, app, server_class=DashboardServer, handler_class=QuietHandler)
    except OSError as error:
        taken = f"cannot listen on {host}:{port}: {error.strerror}"
        raise EvoError(f"{taken}; give another port: --port {port + 1}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """130: served until Ctrl-C; 1: something the user must do first."""
    return shell.run_command(_serve, parser().parse_args(argv))


def _serve(args: argparse.Namespace) -> int:
    with open_server(args.storage, args.host, args.port) as serving:
        print(f"optuna-dashboard: http://{args.host}:{serving.server_port}/  (Ctrl-C ends it)", flush=True)
        serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
