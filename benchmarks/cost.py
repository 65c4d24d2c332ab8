"""How many architectures per second a cost table counts: ``python -m benchmarks.cost``."""

from __future__ import annotations

import time
from random import Random

from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.library.nse import NSE_POOLS, nse_space
from spaces.space import SearchSpace

ARCHITECTURES = 20_000


def rate(space: SearchSpace) -> float:
    """Architectures per second, counted as one batch; the best of five, drawing them not included."""
    rng = Random(0)
    archs = [space.sample(rng) for _ in range(ARCHITECTURES)]
    table = cost_table(space)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        table.count(archs)
        seconds.append(time.perf_counter() - start)
    return ARCHITECTURES / min(seconds)


def main() -> None:
    """Print the rate for spaces of 22 layers: one operation per layer, and up to five in parallel."""
    cells = nse_space(NSE_POOLS["multi_mac"], "NER", [1, 3, 3, 3, 3, 3], [16, 24, 40, 80, 96, 192, 320], k=5)
    for space in (load_space("pad_nas_large"), cells):
        print(f"{space.name}: {len(space.layers)} layers, {rate(space):,.0f} architectures per second")


if __name__ == "__main__":
    main()
