"""The cost of notes, figures and drawings in optuna-dashboard: the page of one round, opened in headless Chromium.

Seconds of CPU time, which a busy machine changes least; one column is by the clock.

Needs chromium and chromedriver on the path.

python benchmarks/dashboard.py
python benchmarks/dashboard.py --rounds 5 --trials 1000 --repeat 5
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from studies.database.rows import StoredRun
    from studies.database.store import Store
    from tests.browser import Page

QUIET = 1.0
"""Seconds without a change after which a page counts as drawn."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line per way of publishing a round; 1: there is no browser."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    command.add_argument("--trials", type=int, default=200, help="of each round (default: %(default)s)")
    command.add_argument(
        "--repeat", type=int, default=5, help="pages opened, of which the median (default: %(default)s)"
    )
    args = command.parse_args(argv)
    if not shutil.which("chromedriver"):
        print("error: needs chromium and chromedriver on the path", file=sys.stderr)
        return 1
    print(
        f"**The page of round {args.rounds}, {args.rounds} rounds of {args.trials} trials, median of {args.repeat}**\n"
    )
    print(
        "| published | study, kB | files, kB | served, CPU s | drawn, CPU s | by the clock | written, CPU s a round |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, publish in WAYS.items():
        print(
            f"| {name} | {' | '.join(measure_publishing(publish, args.rounds, args.trials, args.repeat))} |", flush=True
        )
    return 0


def measure_publishing(
    publish: Callable[[Store, StoredRun, int, Path], None], rounds: int, trials: int, repeat: int
) -> tuple[str, ...]:
    """Bytes of the study sent to the browser, bytes of the drawings, and seconds of serving, drawing and writing, as text."""
    import optuna

    from benchmarks.synthetic import fill
    from studies import dashboard
    from studies.database.store import open_store
    from studies.database.urls import artifacts_folder, files_folder
    from tests.browser import browser

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/evo.db"
        drawings = artifacts_folder(files_folder(url))
        drawings.mkdir(parents=True)
        with open_store(url) as store:
            run = fill(store, rounds, trials)
            started = time.process_time()
            for n in range(1, rounds + 1):
                publish(store, run, n, drawings)
            written = (time.process_time() - started) / rounds
        with (
            dashboard.open_server(url, "127.0.0.1", 0) as serving,
            _serve_in_thread(serving.serve_forever, serving.shutdown),
        ):
            home = f"http://127.0.0.1:{serving.server_port}"
            answers = [_time_request(f"{home}/api/studies/{rounds}?after=0") for _ in range(repeat)]
            with browser(Path(folder) / "profile", 1400) as page:
                pages = [time_page(page, f"{home}/dashboard/studies/{rounds}") for _ in range(repeat)]
        files = sum(path.stat().st_size for path in drawings.iterdir())
    (sizes, served), (clock, cpu) = zip(*answers, strict=True), zip(*pages, strict=True)
    return (
        f"{sizes[0] / 1e3:.0f}",
        f"{files / 1e3:.0f}",
        *(f"{median(seconds):.2f}" for seconds in (served, cpu, clock)),
        f"{written:.2f}",
    )


def time_page(page: Page, url: str) -> tuple[float, float]:
    """Seconds from opening the page until it no longer changes: by the clock, and of the page's CPU time."""
    page.open("about:blank")
    page.devtools("Performance.enable")
    started, before = time.monotonic(), _cpu(page)
    page.open(url)
    last, changed = "", started
    while time.monotonic() - changed < QUIET or not last.endswith("drawn"):
        state = page.run(
            "return document.body.textContent.length + ' ' + document.querySelectorAll('.main-svg *').length"
            " + (document.querySelector('.main-svg') ? ' drawn' : '')"
        )
        if state != last:
            last, changed = state, time.monotonic()
        time.sleep(0.02)
    return changed - started, _cpu(page) - before


def _cpu(page: Page) -> float:
    metrics = page.devtools("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime"))


def _time_request(url: str) -> tuple[int, float]:
    started = time.process_time()
    with build_opener(ProxyHandler({})).open(url, timeout=60) as answer:
        size = len(answer.read())
    return size, time.process_time() - started


@contextmanager
def _serve_in_thread(serve: Callable[[], None], shutdown: Callable[[], None]) -> Iterator[None]:
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        shutdown()


# -- ways of publishing a round ----------------------------------------------------------------------------------------


def publish_nothing(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """Publish nothing: the study has its trials alone, as with plain Optuna."""


def publish_note_and_figures(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """As ``evo.round.dashboard.publish``, without drawings."""
    import optuna

    from analysis.frames import load
    from evo.round.dashboard import dashboard_figures, round_note, write_figures, write_note

    frames = load(store, run, until=n)
    study = optuna.load_study(study_name=store.rounds(run)[n - 1].study, storage=store.optuna)
    write_note(study, round_note(frames, n))
    write_figures(study, dashboard_figures(frames, n))


def draw_front(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """Publish as a round does: note, figures and drawings of the front."""
    from evo.round.dashboard import publish

    publish(store, run, n, drawings)


def draw_all(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """Publish note, figures and a drawing of every trial."""
    import optuna

    from evo.round.dashboard import write_drawings

    publish_note_and_figures(store, run, n, drawings)
    study = optuna.load_study(study_name=store.rounds(run)[n - 1].study, storage=store.optuna)
    archs = {trial.number: trial.user_attrs["arch"] for trial in study.get_trials(deepcopy=False)}
    write_drawings(store, run, study, archs, drawings)


WAYS: dict[str, Callable[[Store, StoredRun, int, Path], None]] = {
    "trials alone": publish_nothing,
    "note and figures": publish_note_and_figures,
    "and the front drawn (ours)": draw_front,
    "and every trial drawn": draw_all,
}


if __name__ == "__main__":
    sys.exit(main())
