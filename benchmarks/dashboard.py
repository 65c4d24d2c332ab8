"""What notes, figures and drawings cost optuna-dashboard: the page of one round, opened in headless Chromium.

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
"""Seconds without a change after which a page is taken for drawn."""


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
        print(f"| {name} | {' | '.join(measured(publish, args.rounds, args.trials, args.repeat))} |", flush=True)
    return 0


def measured(
    publish: Callable[[Store, StoredRun, int, Path], None], rounds: int, trials: int, repeat: int
) -> tuple[str, ...]:
    """Size of what the browser is sent about the study, and of the drawings; what serving, drawing and writing take."""
    import optuna

    from benchmarks.made_up import fill
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
        with dashboard.open_server(url, "127.0.0.1", 0) as serving, _served(serving.serve_forever, serving.shutdown):
            home = f"http://127.0.0.1:{serving.server_port}"
            answers = [_asked(f"{home}/api/studies/{rounds}?after=0") for _ in range(repeat)]
            with browser(Path(folder) / "profile", 1400) as page:
                shown = [drawn(page, f"{home}/dashboard/studies/{rounds}") for _ in range(repeat)]
        files = sum(path.stat().st_size for path in drawings.iterdir())
    (sizes, served), (clock, cpu) = zip(*answers, strict=True), zip(*shown, strict=True)
    return (
        f"{sizes[0] / 1e3:.0f}",
        f"{files / 1e3:.0f}",
        *(f"{median(seconds):.2f}" for seconds in (served, cpu, clock)),
        f"{written:.2f}",
    )


def drawn(page: Page, url: str) -> tuple[float, float]:
    """Seconds from asking for the page until nothing on it changes any more: by the clock, and of the page's CPU time."""
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


def _asked(url: str) -> tuple[int, float]:
    started = time.process_time()
    with build_opener(ProxyHandler({})).open(url, timeout=60) as answer:
        size = len(answer.read())
    return size, time.process_time() - started


@contextmanager
def _served(serve: Callable[[], None], shutdown: Callable[[], None]) -> Iterator[None]:
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        shutdown()


# -- ways of publishing a round ----------------------------------------------------------------------------------------


def nothing(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """Trials alone, as plain Optuna has them."""


def note_and_figures(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """As ``evo.round.dashboard.publish``, without drawings."""
    import optuna

    from analysis.frames import load
    from evo.round.dashboard import dashboard_figures, round_note, write_figures, write_note

    frames = load(store, run, until=n)
    study = optuna.load_study(study_name=store.rounds(run)[n - 1].study, storage=store.optuna)
    write_note(study, round_note(frames, n))
    write_figures(study, dashboard_figures(frames, n))


def front_drawn(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """What a round does."""
    from evo.round.dashboard import publish

    publish(store, run, n, drawings)


def all_drawn(store: Store, run: StoredRun, n: int, drawings: Path) -> None:
    """A drawing for every trial."""
    import optuna

    from evo.round.dashboard import write_drawings

    note_and_figures(store, run, n, drawings)
    study = optuna.load_study(study_name=store.rounds(run)[n - 1].study, storage=store.optuna)
    write_drawings(store, run, study, range(len(study.get_trials(deepcopy=False))), drawings)


WAYS: dict[str, Callable[[Store, StoredRun, int, Path], None]] = {
    "trials alone": nothing,
    "note and figures": note_and_figures,
    "and the front drawn (ours)": front_drawn,
    "and every trial drawn": all_drawn,
}


if __name__ == "__main__":
    sys.exit(main())
