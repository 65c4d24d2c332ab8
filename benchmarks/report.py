"""How long a report takes: the whole command, Python's start and imports included, for runs of so many evaluations.

python benchmarks/report.py
python benchmarks/report.py --evaluations 1000,10000,50000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

ROUNDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line per size."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--evaluations", default="1000,10000", metavar="N,N", help="default: %(default)s")
    args = command.parse_args(argv)
    print(
        "| evaluations | seconds | of them CPU | page, MB | without plotly.js |\n| ---: | ---: | ---: | ---: | ---: |"
    )
    for size in map(int, args.evaluations.split(",")):
        seconds, cpu, size_of_page, own = time_report(size)
        print(f"| {size:,} | {seconds:.1f} | {cpu:.1f} | {size_of_page / 1e6:.1f} | {own / 1e6:.2f} |", flush=True)
    return 0


def time_report(evaluations: int) -> tuple[float, float, int, int]:
    """Seconds by the clock and of CPU time, and the bytes of the page, with and without the drawing library."""
    import resource

    from plotly.offline import get_plotlyjs

    from benchmarks.synthetic import fill
    from studies.database.store import open_store

    with TemporaryDirectory() as folder:
        url, page = f"sqlite:///{folder}/evo.db", Path(folder) / "page.html"
        with open_store(url) as store:
            fill(store, ROUNDS, evaluations // ROUNDS)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "analysis.report", "made_up", "--storage", url, "--out", str(page), "--json"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        size = page.stat().st_size
    return seconds, cpu, size, size - len(get_plotlyjs().encode())


if __name__ == "__main__":
    sys.exit(main())
