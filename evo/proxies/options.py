"""What is asked of a measurement of proxies, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.ranking.proxies import LEAST_NETWORKS
from evo.proxies.proxy import Proxy
from studies.records import EvoError

By = Literal["macs", "seconds"]


@dataclass(frozen=True)
class ProxyOptions:
    """What is to be measured.

    Attributes:
        networks: how many; ``seeds``: full trainings of each.
        proxies: empty: those of the grid.
        trust: the least that the lower end of a proxy's interval must be to be recommended; None: it must not be separably
            below the best.
        by: which cost makes a proxy cheaper than another.
        seed: of the draw and of all trainings; None: the run's.

    Raises:
        EvoError: too few networks or seeds, or a tau that cannot be.
    """

    networks: int = 16
    seeds: int = 1
    proxies: tuple[Proxy, ...] = ()
    trust: float | None = None
    by: By = "macs"
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("networks", LEAST_NETWORKS), ("seeds", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise EvoError(f"{name} is {value!r}: expected a whole number from {least}")
        if self.trust is not None and not -1 <= self.trust < 1:
            raise EvoError(f"trust is {self.trust!r}: expected a tau from -1 to below 1, such as 0.5")
        if self.by not in ("macs", "seconds"):
            raise EvoError(f"by is {self.by!r}: expected 'macs' or 'seconds'")
