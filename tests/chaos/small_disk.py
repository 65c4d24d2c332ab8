"""Runs on a disk that is too small, and then on one that is not: ``python -m tests.chaos.small_disk FOLDER KILOBYTES...``.

It mounts, so it is started inside a name space of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import torch

from tests.chaos.stage import SUPERNET, Stage, state, words


def main() -> None:
    folder, sizes = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    stage = Stage(folder, Random(0))
    calm = stage.calm(SUPERNET)
    for size in sizes:
        disk = stage.fresh()
        mount("tmpfs", disk, f"size={size}k")
        child = stage.start(disk, SUPERNET)
        child.ended()
        assert child.code in (0, 1), child.words()
        assert not list(disk.rglob("*.draft"))
        mount("tmpfs", disk, "remount,size=64m")
        said = words(child, disk)
        stage.run(disk, SUPERNET)
        assert state(disk) == calm
        print(said.splitlines()[-1] if child.code else "", flush=True)


def mount(kind: str, place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, "none", str(place)], check=True)


if __name__ == "__main__":
    main()
