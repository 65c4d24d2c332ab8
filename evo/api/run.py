"""A run in a database, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from analysis import frames
from analysis.findings import Findings, Place, answers_at, frames_at
from analysis.sentences import most_accurate
from evo.api.against import Against
from evo.api.criteria import make_criteria
from evo.api.delivered import Delivered
from evo.api.figures import figure_named
from evo.api.pages import Page
from evo.api.verdicts import Verdicts
from evo.console import reporter
from evo.html import block, calls, heading, paragraph, table
from evo.proxies.result import ProxiesResult
from evo.round.options import STORAGE, overrides_of
from evo.round.printing import asked, row_values, run_headings
from evo.round.session import introduction
from evo.workers.main_guard import exit_in_worker
from spaces.architecture import Architecture
from spaces.space import SearchSpace
from spaces.units import format_number
from studies.config import StudyConfig
from studies.database import rows as studies
from studies.database.rows import StoredRound
from studies.database.store import Store, open_store
from studies.database.urls import redacted, require_existing
from studies.records import EvoError
from studies.run_names import run_folder

ROUNDS = "SELECT * FROM round_stats WHERE run = :run ORDER BY round"
BESIDE = ["round", "space_size", "next_size", "best_accuracy", "best_cost", "kept", "dropped", "added", "rule"]
"""Of ``RoundSummary``: what the view ``round_stats`` has not."""

MAX_SHOWN = 5
"""Rows of a front that a notebook shows."""


@dataclass(frozen=True)
class Run:
    """A run in a database: what was searched, and what was found.

    It holds a name and an address, and no connection: it may be pickled and copied, and each method opens the database
    anew. All of them work while the run is unfinished or goes on in another process.

    Attributes:
        name: the run's name.
        storage: the URL of its database.

    Examples:
        >>> import evo
        >>> run = evo.load("digits")                        # doctest: +SKIP
        >>> run.front()[["accuracy", "macs", "arch"]]       # doctest: +SKIP
        >>> run.plot("fronts")                              # doctest: +SKIP
        >>> small = run.deliver("small", max_macs="200k")   # doctest: +SKIP
    """

    name: str
    storage: str = STORAGE

    # -- frames -------------------------------------------------------------------------------------------------------

    def results(self) -> pd.DataFrame:
        """Everything that was proposed and measured, in order.

        Returns:
            A row per proposal. The columns of the SQL view ``results``: ``run``, ``round``, ``number``, ``arch``, ``judge``,
            ``accuracy`` (a fraction, higher is better), ``macs``, ``params``, ``latency_ms``, ``seconds``, ``flash_kb``,
            ``memory_kb``; and beside them ``generation``, ``origin``, ``is_new`` (measured for this proposal, not known
            before), ``pruned``, ``failed`` and ``reason`` (such rows have no accuracy), ``nll`` (lower is better), ``score``
            (what the search maximised).

        Raises:
            EvoError: the database or the run is missing.
        """
        with self._stored() as (store, run):
            return self._named(frames.results(store, run).drop(columns="evaluation"))

    def front(self, round: int | None = None) -> pd.DataFrame:
        """A Pareto front, cheapest first.

        Args:
            round: a round, whose own front is given; None: the run's, of all that its last judge has scored.

        Returns:
            Rows of ``results``, a network once; none where nothing was measured.

        Raises:
            EvoError: the database or the run is missing.
        """
        with self._stored() as (store, run):
            results, costs = frames.results(store, run), run.config.search.costs
        if round is not None:
            results = results[results["round"] == round]
        if frames.complete(results).empty:
            best = results.iloc[:0]
        elif round is None:
            best = frames.final(results, costs)
        else:
            best = frames.fronts(results, costs)
        return self._named(best.drop(columns="evaluation"))

    def rounds(self) -> pd.DataFrame:
        """The rounds in numbers.

        Returns:
            A row per round, the unfinished one, too. The columns of the SQL view ``round_stats``: ``run``, ``round``,
            ``state``, ``judge``, ``hypervolume`` (a share of the run's box, higher is better), counts of proposals,
            ``front``, ``tau`` (Kendall's, of the scores with networks that were trained alone, where that was asked),
            ``tau_macs``, and seconds; and beside them the architectures of the space (``space_size``, then ``next_size``),
            ``best_accuracy`` and ``best_cost`` of the front, operations ``kept``, ``dropped`` and ``added``, and the
            ``rule`` by which.

        Raises:
            EvoError: the database or the run is missing.
        """
        with self._stored() as (store, run):
            stats = store.frame(ROUNDS, run=self.name)
            has_results = not frames.complete(frames.results(store, run)).empty
            summaries = frames.load(store, run).rounds if has_results else ()
        rows = [{name: asdict(row)[name] for name in BESIDE} for row in summaries]
        return stats.merge(pd.DataFrame(rows, columns=BESIDE), on="round", how="left")

    def choices(self) -> pd.DataFrame:
        """What became of every operation after each finished round.

        Returns:
            A row per round, layer and operation: ``run``, ``round``, ``layer_index``, ``layer``, ``op``, ``rating`` (by the
            method, higher is better), ``share`` (of the round's front), ``fate`` (kept, dropped, added), ``rule``; and the
            evidence: ``measured`` (networks of the round that carry it), ``effect`` (what it adds to the score at equal cost,
            beside the mean of its layer's candidates) with its 95 % interval from ``effect_low`` to ``effect_high``, missing
            where nothing is known; and ``learned`` (by the evaluator: how likely a gate of NSE is on, a cell's fitness, minus
            the loss of a block).

        Raises:
            EvoError: the database or the run is missing.
        """
        with self._stored() as (store, run):
            return self._named(frames.choices(store, run))

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def config(self) -> StudyConfig:
        """The run's settings, whole.

        Raises:
            EvoError: the database or the run is missing.
        """
        with self._stored() as (_, run):
            return run.config

    def space(self, round: int | None = None) -> SearchSpace:
        """The space that a round searches.

        Args:
            round: from 1 to the one after the last finished; None: the newest.

        Raises:
            EvoError: the run has not come so far, or it or its database is missing.
        """
        with self._stored() as (store, run):
            rows = store.rounds(run)
        spaces = [run.space, *(row.next_space for row in rows if row.next_space)]
        if round is None:
            return spaces[-1]
        if not 1 <= round <= len(spaces):
            raise EvoError(f"run {self.name!r} has no space of round {round}: expected a round from 1 to {len(spaces)}")
        return spaces[round - 1]

    def sentences(self) -> list[str]:
        """What was searched and found, and how far the numbers can be trusted, in words.

        Raises:
            EvoError: nothing has been measured yet, or the run or its database is missing.
        """
        from analysis.sentences import summary

        return summary(frames_at([self._place])[0])

    # -- what was found -----------------------------------------------------------------------------------------------

    def report(self, path: str | Path | None = None, beside: Sequence[Run] = ()) -> Page:
        """The run's page, as ``python -m analysis.report`` writes it: one HTML file that needs no network.

        Args:
            path: the file to write it to; None: it is not written.
            beside: other runs that stand in its figures.

        Raises:
            EvoError: nothing has been measured yet, the run or its database is missing, or the file cannot be written.
        """
        page = Page(self._findings(beside).html())
        return page if path is None else page.save(path)

    def plot(self, name: str = "fronts", beside: Sequence[Run] = ()) -> go.Figure:
        """One of the figures of the run's page.

        Args:
            name: ``fronts``, ``hypervolume-evaluations``, ``operations-1`` (of round 1), and where there is something to
                show ``hypervolume-seconds``, ``truth``, ``time``.
            beside: other runs that stand in it.

        Raises:
            EvoError: there is no such figure, nothing has been measured yet, or the run or its database is missing.
        """
        return figure_named(self._findings(beside).figures(), name)

    def verdict(self) -> Verdicts:
        """Did searching pay, did evolving pay? The run, with its other seeds, against networks that need no search and against
        its control arms.

        Raises:
            EvoError: the database or the run is missing.
        """
        (found,) = answers_at([self._place])
        return Verdicts(self.name, found)

    def deliver(
        self,
        out: str | Path | None = None,
        *,
        max_macs: float | str | None = None,
        max_params: float | str | None = None,
        max_latency_ms: float | str | None = None,
        max_flash_kb: float | str | None = None,
        max_memory_kb: float | str | None = None,
        knee: bool = False,
        arch: str | Architecture | None = None,
        scale_to: float | str | None = None,
        fill: bool = False,
        finalists: int = 1,
        seeds: int = 1,
        add: Sequence[str] = (),
        formats: Sequence[str] = (),
        set: Mapping[str, object] | Sequence[str] = (),
        from_scratch: bool = False,
        accept_data_change: bool = False,
        progress: bool = True,
    ) -> Delivered:
        """Pick a network from the last finished front, train it, measure it once on the test images, export it.

        As ``python -m evo.deliver`` does. What the folder holds already is not made again; an interrupted training goes on.

        Args:
            out: the folder; None: ``delivered/NAME``.
            max_macs: the network may have so many MACs, a number or a text such as ``"200k"``; the most accurate one is picked.
            max_params: it may have so many parameters.
            max_latency_ms: it may be so slow, by the run's latency table.
            max_flash_kb: it may have so many KB of weights on the run's device.
            max_memory_kb: it may have so many KB of live activations there.
            knee: pick the one where the front bends most, not the most accurate.
            arch: pick this one.
            scale_to: widen or slim it to so many MACs.
            fill: widen it, and every finalist, to ``max_macs``, or to the run's own limit.
            finalists: so many are trained alone, the front's best and those that a regression on all measurements promises
                most; the most accurate one on the validation images is picked.
            seeds: how many times each of them is trained.
            add: what the network is given before it is trained, such as ``["se", "swish"]``; nothing: as the setting
                ``deliver.add`` says.
            formats: forms that are written beside the weights, such as ``["onnx", "openvino"]``, also into a folder that is
                there; nothing: as the setting ``deliver.formats`` says.
            set: settings of ``deliver`` and ``data``, ``device`` and ``threads`` that differ from the run's, such as
                ``{"deliver.epochs": 200}``, or ``{"deliver.teacher": "FOLDER"}``: a delivered network teaches it.
            from_scratch: begin with fresh weights, although a run of cuts has trained some.
            accept_data_change: go on although the images have changed since the run began.
            progress: whether lines and progress bars are shown.

        Raises:
            UserError: no round is finished, nothing fits, the folder holds something else, or the run is missing.

        Examples:
            >>> small = run.deliver("small", max_macs=2e5, finalists=4, fill=True)   # doctest: +SKIP
            >>> small.accuracy, small.interval                                       # doctest: +SKIP
            >>> network = small.network()                                            # doctest: +SKIP
        """
        exit_in_worker()
        from evo.deliver.pipeline import deliver_run

        limits = {"macs": max_macs, "params": max_params, "latency_ms": max_latency_ms}
        limits |= {"flash_kb": max_flash_kb, "memory_kb": max_memory_kb}
        criteria = make_criteria(limits, arch, knee, scale_to, fill, finalists, seeds)
        names = {"deliver.add": add, "deliver.formats": formats}
        given = {key: value if isinstance(value, str) else list(value) for key, value in names.items() if value}
        folder = Path(out) if out is not None else run_folder(Path("delivered"), self.name)
        made = deliver_run(
            self.name,
            self.storage,
            criteria,
            folder,
            overrides_of(set) + overrides_of(given),
            reporter(progress),
            accept_data_change,
            from_scratch,
        )
        return Delivered(folder, made)

    def against(
        self,
        *baselines: str,
        seeds: int = 3,
        max_macs: float | str | None = None,
        max_params: float | str | None = None,
        max_latency_ms: float | str | None = None,
        max_flash_kb: float | str | None = None,
        max_memory_kb: float | str | None = None,
        knee: bool = False,
        arch: str | Architecture | None = None,
        scale_to: float | str | None = None,
        fill: bool = False,
        finalists: int = 1,
        set: Mapping[str, object] | Sequence[str] = (),
        from_scratch: bool = False,
        accept_data_change: bool = False,
        progress: bool = True,
    ) -> Against:
        """Did searching pay? The network that ``deliver`` would pick against networks that need no search, at its MACs.

        As ``python -m evo.deliver --against`` does: each is trained alone with the settings ``deliver``, on the training images
        without the validation images, and measured on these. What was trained before is not trained again. All other arguments
        say which network is picked, as in ``deliver``.

        Args:
            baselines: ``uniform`` (the best with one operation everywhere), ``random``, ``random:6`` (the best of six),
                ``mobilenet_v2``, ``efficientnet_b0``.
            seeds: how many times each network is trained; three or more give intervals.
            set: settings of the trainings that differ from the run's, as in ``deliver``.
            from_scratch: begin with fresh weights, as the baselines do, although a run of cuts has trained some.
            accept_data_change: go on although the images have changed since the run began.
            progress: whether lines and progress bars are shown.

        Raises:
            UserError: no round is finished, nothing fits, a baseline is unknown or cannot have these MACs, or the run is
                missing.

        Examples:
            >>> found = run.against("uniform", "random", max_macs="200k", fill=True)   # doctest: +SKIP
            >>> found.table()[["name", "accuracy", "difference"]]                      # doctest: +SKIP
        """
        exit_in_worker()
        from evo.deliver.against import compare_with_no_search

        limits = {"macs": max_macs, "params": max_params, "latency_ms": max_latency_ms}
        limits |= {"flash_kb": max_flash_kb, "memory_kb": max_memory_kb}
        criteria = make_criteria(limits, arch, knee, scale_to, fill, finalists, seeds)
        found = compare_with_no_search(
            self.name,
            self.storage,
            baselines,
            criteria,
            overrides_of(set),
            reporter(progress),
            accept_data_change,
            from_scratch,
        )
        return Against(found)

    def proxies(
        self,
        *proxies: str,
        networks: int = 16,
        seeds: int = 1,
        trust: float | None = None,
        by: Literal["macs", "seconds"] = "macs",
        seed: int | None = None,
        set: Mapping[str, object] | Sequence[str] = (),
        accept_data_change: bool = False,
        progress: bool = True,
    ) -> ProxiesResult:
        """How cheaply can networks of this run's space be judged, and their order still be trusted?

        As ``python -m evo.proxies`` does: networks spread over MACs are trained alone in full, and again with fewer epochs,
        images, pixels or channels, and the orders are compared. What was trained before is not trained again.

        Args:
            proxies: such as ``"e=1/2,c=1/2"``: shares of epochs, images, pixels (the sides of images), channels. None: a grid.
            networks: how many; ``seeds``: full trainings of each, whose own agreement is told from two on.
            trust: recommend the cheapest proxy whose interval of tau begins here or above; None: the cheapest that is not
                separably below the best.
            by: which cost is to be low.
            seed: of the draw and of all trainings; None: the run's.
            set: settings of the trainings that differ from the run's, as in ``deliver``.
            accept_data_change: go on although the images have changed since the run began.
            progress: whether lines and progress bars are shown.

        Raises:
            UserError: the run has no images to train on, a proxy cannot be, or the run is missing. What was trained is kept.

        Examples:
            >>> found = run.proxies("e=1/4", "e=1/2,c=1/2", networks=32, seeds=2)   # doctest: +SKIP
            >>> found.recommended, found.table()                                    # doctest: +SKIP
        """
        exit_in_worker()
        from evo.proxies.experiment import measure_proxies
        from evo.proxies.options import ProxyOptions
        from evo.proxies.proxy import parse_proxy

        options = ProxyOptions(networks, seeds, tuple(map(parse_proxy, proxies)), trust, by, seed)
        return measure_proxies(
            self.name, self.storage, options, overrides_of(set), reporter(progress), accept_data_change
        )

    # -- how it shows itself ------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Run({self.name!r}, storage={redacted(self.storage)!r})"

    def _repr_html_(self) -> str:
        with self._stored() as (store, run):
            rows = store.rounds(run)
            done = [asked(run, row_values(store, run, row)) for row in rows if row.finished]
            columns = asked(run, run_headings(run))
        front, config = self.front(), run.config
        description = f"{introduction(run).partition(': ')[2]}; seed {config.seed}; {redacted(self.storage)}"
        return block(
            heading(f"run {self.name}:", description),
            paragraph(_progress_sentence(run, rows)),
            *([table(columns, done)] if done else []),
            *([paragraph(_front_caption(front, config)), _front_table(front, config)] if len(front) else []),
            calls("run.front()", "run.results()", 'run.plot("fronts")', "run.report()", "run.deliver()"),
        )

    # -- the database -------------------------------------------------------------------------------------------------

    @property
    def _place(self) -> Place:
        return self.name, self.storage

    @contextmanager
    def _stored(self) -> Iterator[tuple[Store, studies.StoredRun]]:
        """The database and the run in it.

        Raises:
            EvoError: one of them is missing.
        """
        with open_store(require_existing(self.storage), read_only=True) as store:
            yield store, store.run(self.name)

    def _findings(self, beside: Sequence[Run]) -> Findings:
        return Findings(frames_at([run._place for run in (self, *beside)]), answers_at([self._place]))

    def _named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` with the run's name as its first column."""
        named = frame.reset_index(drop=True)
        named.insert(0, "run", self.name)
        return named


def _progress_sentence(run: studies.StoredRun, rows: Sequence[StoredRound]) -> str:
    """How far a run has come, and what its space is by now."""
    finished = [row for row in rows if row.next_space]
    left = f", round {rows[-1].number} is unfinished" if len(rows) > len(finished) else ""
    newest = finished[-1].next_space if finished else None
    now = f", {format_number(newest.size)} now" if newest is not None and newest != run.space else ""
    rounds = f"{len(finished)} round{'' if len(finished) == 1 else 's'} finished{left}"
    return f"{rounds}; {format_number(run.space.size)} architectures of {len(run.space.layers)} layers{now}."


def _front_caption(front: pd.DataFrame, config: StudyConfig) -> str:
    """How many networks a front has, and how many of them are shown."""
    some = f"; the {MAX_SHOWN} {most_accurate(config)}" if len(front) > MAX_SHOWN else ""
    return f"Front: {len(front)} network{'' if len(front) == 1 else 's'}{some}"


def _front_table(front: pd.DataFrame, config: StudyConfig) -> str:
    """The most accurate networks of a front, as a table."""
    costs = config.search.costs
    best = front.sort_values("accuracy", ascending=False, kind="stable").head(MAX_SHOWN)
    rows = zip(best["accuracy"].tolist(), best[list(costs)].to_numpy().tolist(), best["arch"].tolist(), strict=True)
    return table(
        (config.measured, *costs, "arch"),
        [(f"{value:.2%}", *map(format_number, prices), arch) for value, prices, arch in rows],
    )
