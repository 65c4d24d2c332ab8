"""What cheaper trainings say of networks beside what full ones do: a table, figures, sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from analysis.ranking.proxies import LEAST_NETWORKS, Judged, ProxyRanking, Rank, advice, ahead_text, tau_text
from evo.html import block, heading, paragraph, table
from evo.seeds import derive_seed
from spaces.columns import format_table
from spaces.units import format_number
from studies.records import EvoError

if TYPE_CHECKING:
    import pandas as pd

HEADINGS = ("proxy", "MACs", "seconds", "tau with full training", "tau of MACs", "ahead of MACs")

SLOWER = 2.0
"""A proxy whose share of seconds is so many times that of MACs is told of."""


def times(number: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def proxies_text(number: int) -> str:
    """``1 proxy``, ``9 proxies``."""
    return "1 proxy" if number == 1 else f"{number} proxies"


@dataclass(frozen=True)
class Measured:
    """One training of every network, in full or by a proxy.

    Attributes:
        name: of the proxy, or "in full".
        images: that trained; ``pixels`` and ``channels``: shares of their sides, and of the networks' channels.
        macs: of the networks as they were trained.
        accuracies: on the validation images, from 0 to 1; 0 where a training diverged, and ``diverged`` says so.
        seconds: that all of them took; ``training_macs`` likewise.
    """

    name: str
    epochs: int
    images: int
    pixels: float
    channels: float
    macs: tuple[float, ...]
    accuracies: tuple[float, ...]
    diverged: tuple[bool, ...]
    seconds: float
    training_macs: float


@dataclass(frozen=True)
class Setting:
    """What was trained, and how.

    Attributes:
        validation_images: that measured.
        by_search: how many networks the run's search had trained in full.
        left_out: a line about each proxy that was not measured.
        evaluator: the run's ``evaluator.kind``.
        trust, by: as in ``ProxyOptions``.
    """

    run: str
    space: str
    validation_images: int
    by_search: int
    left_out: tuple[str, ...]
    evaluator: str
    trust: float | None
    by: str
    seed: int


@dataclass(frozen=True)
class ProxiesResult:
    """How cheaply the networks of a run can be judged, and how rightly.

    Attributes:
        networks: their architectures.
        truth: the full trainings, one per seed.
        proxies: in the order in which they were asked for.

    Raises:
        EvoError: fewer than three networks could be trained in full, or all of them reached the same.
    """

    setting: Setting
    networks: tuple[str, ...]
    truth: tuple[Measured, ...]
    proxies: tuple[Measured, ...]

    def __post_init__(self) -> None:
        if len(self._kept) < LEAST_NETWORKS:
            raise EvoError(
                f"the full training of {len(self.networks) - len(self._kept)} of {len(self.networks)} networks diverged: "
                f"expected at least {LEAST_NETWORKS} that can be trained; a lower learning rate may help"
            )
        if any(len(set(self._of_kept(one.accuracies))) == 1 for one in self.truth):
            raise EvoError(
                f"all {len(self._kept)} networks have the same accuracy after full training, so there is no order to find: "
                "expected longer trainings, more validation images or more networks (--networks)"
            )

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        """Places of the networks whose full trainings all ended."""
        return tuple(i for i in range(len(self.networks)) if not any(one.diverged[i] for one in self.truth))

    def _of_kept(self, numbers: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(numbers[i] for i in self._kept)

    def macs_share(self, proxy: Measured) -> float:
        """What its trainings cost in counted MACs, as a share of one full training of the same networks."""
        return proxy.training_macs / self.truth[0].training_macs

    def seconds_share(self, proxy: Measured) -> float:
        """The same in seconds, beside the mean of the full trainings."""
        full = sum(one.seconds for one in self.truth) / len(self.truth)
        return proxy.seconds / full if full else 0.0

    def cost(self, proxy: Measured) -> float:
        """The share by which proxies are cheaper or dearer."""
        return self.seconds_share(proxy) if self.setting.by == "seconds" else self.macs_share(proxy)

    @cached_property
    def ranking(self) -> ProxyRanking:
        """Taus, intervals, and which proxy to take."""
        return ProxyRanking(
            tuple(self._of_kept(one.accuracies) for one in self.truth),
            self._of_kept(self.truth[0].macs),
            tuple(Judged(one.name, self.cost(one), self._of_kept(one.accuracies)) for one in self.proxies),
            derive_seed(self.setting.seed, "proxies", "bootstrap"),
        )

    @property
    def recommended(self) -> Measured | None:
        """The proxy to take; None: none is shown to be worth it."""
        place = self.ranking.recommended(self.setting.trust)
        return None if place is None else self.proxies[place]

    # -- figures ------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row per proxy, the cheapest first: ``proxy``, ``macs_share``, ``seconds_share``, ``tau``, ``tau_low``,
        ``tau_high``, ``tau_macs``, ``ahead``, ``ahead_low``, ``ahead_high``."""
        import pandas as pd

        return pd.DataFrame([self._figures(place) for place in self._order])

    @property
    def _order(self) -> list[int]:
        return sorted(range(len(self.proxies)), key=lambda place: (self.cost(self.proxies[place]), place))

    def _figures(self, place: int) -> dict[str, Any]:
        proxy = self.proxies[place]
        shares = {"macs_share": self.macs_share(proxy), "seconds_share": self.seconds_share(proxy)}
        return {"proxy": proxy.name, **shares, **self._rank_figures(self.ranking.ranks[place])}

    def _rank_figures(self, rank: Rank) -> dict[str, float | None]:
        (low, high), (ahead_low, ahead_high) = rank.interval or (None, None), rank.ahead_interval or (None, None)
        return {
            "tau": rank.tau,
            "tau_low": low,
            "tau_high": high,
            "tau_macs": self.ranking.of_macs.tau,
            "ahead": rank.ahead,
            "ahead_low": ahead_low,
            "ahead_high": ahead_high,
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data that JSON can hold; accuracies and costs are fractions."""
        ceiling, chosen = self.ranking.ceiling, self.recommended
        return {
            **asdict(self.setting),
            "networks": list(self.networks),
            "table": [self._figures(place) for place in self._order],
            "full": self._rank_figures(ceiling) if ceiling else None,
            "macs": self._rank_figures(self.ranking.of_macs),
            "recommended": chosen.name if chosen else None,
            "truth": [asdict(one) for one in self.truth],
            "proxies": [asdict(one) for one in self.proxies],
            "text": self.sentences(),
        }

    # -- words --------------------------------------------------------------------------------------------------------

    def sentences(self) -> list[str]:
        """Which proxy to take, and how far that can be trusted."""
        unit = "seconds" if self.setting.by == "seconds" else "MACs"
        told = advice(self.ranking, self.setting.trust, unit)
        return [*told, *self._settings(), *self._slower(), *self._diverged()]

    def _settings(self) -> list[str]:
        """How a search judges so."""
        proxy = self.recommended
        if proxy is None or self.setting.evaluator != "scratch":
            return []
        keys = {"epochs": proxy.epochs, "images": proxy.images, "resolution": proxy.pixels, "width": proxy.channels}
        whole = {"epochs": self.truth[0].epochs, "images": self.truth[0].images, "resolution": 1, "width": 1}
        told = (f"--set evaluator.{key}={value:g}" for key, value in keys.items() if value != whole[key])
        return [f"A search judges so with {' '.join(told)}."]

    def _slower(self) -> list[str]:
        proxy = self.recommended
        if (
            proxy is None
            or not self.seconds_share(proxy) > SLOWER * self.macs_share(proxy)
            or self.setting.by == "seconds"
        ):
            return []
        return [
            f"It takes {self.seconds_share(proxy):.0%} of the seconds, a larger share than of the MACs: what a step takes "
            "anyway does not shrink (--by seconds asks for the cheapest by time)."
        ]

    def _diverged(self) -> list[str]:
        lost, of = len(self.networks) - len(self._kept), len(self.networks)
        full = [f"{lost} of {of} networks are left out: their full training diverged."] if lost else []
        return full + [
            f"{sum(one.diverged)} of {of} trainings by {one.name} diverged, and count as accuracy 0."
            for one in self.proxies
            if any(one.diverged)
        ]

    @property
    def title(self) -> str:
        macs = self.truth[0].macs
        return (
            f"proxies of run {self.setting.run}: {len(self.networks)} networks of {format_number(min(macs))} to "
            f"{format_number(max(macs))} MACs, each trained in full {times(len(self.truth))}, and by "
            f"{proxies_text(len(self.proxies))}"
        )

    @property
    def how(self) -> str:
        """How networks were trained, and what that took."""
        full, everything = self.truth[0], (*self.truth, *self.proxies)
        return (
            f"Full training: {full.epochs} epochs of {full.images:,} images; all were measured on "
            f"{self.setting.validation_images:,} validation images. All trainings together: "
            f"{sum(one.seconds for one in everything):,.0f} seconds, "
            f"{format_number(sum(one.training_macs for one in everything))} MACs."
        )

    def _rows(self) -> list[list[str]]:
        ranking = self.ranking
        rows = [self._row(self.proxies[place], ranking.ranks[place]) for place in self._order]
        again = [self._cells("in full, once more", 1.0, 1.0, ranking.ceiling)] if ranking.ceiling else []
        counted = self._cells("MACs, counted", 0.0, 0.0, ranking.of_macs)
        return [*rows, *again, [*counted[:4], "", ""]]

    def _row(self, proxy: Measured, rank: Rank) -> list[str]:
        return self._cells(proxy.name, self.macs_share(proxy), self.seconds_share(proxy), rank)

    def _cells(self, name: str, macs: float, seconds: float, rank: Rank) -> list[str]:
        of_macs = self.ranking.of_macs.tau
        beside = "all alike" if of_macs is None else f"{of_macs:.2f}"
        return [name, f"{macs:.1%}", f"{seconds:.1%}", tau_text(rank), beside, ahead_text(rank)]

    def __str__(self) -> str:
        lines = format_table([list(HEADINGS), *self._rows()], left=(0,))
        return "\n".join([self.title, "", lines, "", *self.sentences(), "", self.how])

    def __repr__(self) -> str:
        return f"ProxiesResult({self.title})"

    def _repr_html_(self) -> str:
        name, _, about = self.title.partition(": ")
        words = map(paragraph, [*self.sentences(), self.how])
        return block(heading(f"{name}:", about), table(HEADINGS, self._rows()), *words)
