"""A supernet trained once per round; shared weights judge every architecture (SPOS, https://arxiv.org/abs/1904.00420).

Before it, where the configuration has cells, the populations of cells are bred in a supernet of their own
(``evo.evaluators.autospace.fitness``), from whose weights this one then starts.

Later rounds inherit the weights of the operations that survived (PAD-NAS, https://arxiv.org/abs/2005.07564, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from evo.data.loading import load_dataset
from evo.data.paths import file_hash
from evo.data.source import Images, Source
from evo.evaluators import FitContext, Judge, Request
from evo.evaluators.autospace import breeding
from evo.evaluators.autospace.breeding import BredPopulations
from evo.evaluators.autospace.stability import stability
from evo.evaluators.oneshot.first_batches import FirstBatches, first_batches
from evo.evaluators.oneshot.nse_gates import Gates, Indicators, balanced_paths, suggest_by_gates
from evo.evaluators.oneshot.paths import SAMPLING
from evo.evaluators.oneshot.scoring import Scorer, evaluations_by
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, is_intact, read_checkpoint, write_checkpoint
from evo.training.identity import earlier_identity, identity, weights_path
from evo.training.legacy_names import legacy_digest
from evo.training.loop import schedule_of, train
from evo.training.precision import name_suffix, precision_of
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.networks.cell_supernet import copy_cell_weights
from spaces.networks.supernet import Supernet, inherit_weights
from spaces.space import SearchSpace
from studies.config import OneShotSection, StudyConfig
from studies.records import BredCell, Evaluation, EvoError, Ratings


@dataclass(frozen=True)
class OneShot:
    """Trains a supernet of the round's space on the training part, and judges on the validation part."""

    section: OneShotSection
    config: StudyConfig

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        weights = self._weights_path(space, context)
        if not is_intact(weights):
            self._train(space, context, weights)
        _, facts = read_checkpoint(weights)
        judged = SearchSpace.from_json(facts["space"])
        ratings = {(i, op): value for i, op, value in facts["ratings"]}
        bred = self._breed_cells(space, context, weights)  # made again where its file is damaged
        history = bred.bred_cells if bred else ()
        return OneShotJudge(
            self.config, judged, context.table, context.n, weights, file_hash(weights), ratings, history
        )

    def _weights_path(self, space: SearchSpace, context: FitContext) -> Path:
        """Where this round's weights lie. A run that release 0.1 began goes on with that release's names."""
        inherits = self.section.inherit or self.section.cells is not None
        parent = context.parent.name if inherits and context.parent else None
        inherited = [sorted(ops) for ops in context.inherited] if self.section.gates else None
        parts = context.group.size if not context.group.sync else None  # batch normalisation goes by parts of batches
        cost, data, device = self.config.search.cost, self.config.data, self.config.device
        named = {
            "space": space, "settings": self.section, "data": data, "device": device, "cost": cost, "seed": context.seed,
            "parent": parent, "inherited": inherited, "parts": parts, "sources": context.sources,
            "precision": self.config.precision,
        }  # fmt: skip
        digest, earlier = identity("supernet", 1, **named), earlier_identity("supernet", 1, **named)
        facts = space.to_json(), (self.section, data, device, cost), context.seed, parent, inherited
        before = legacy_digest(*facts, *([parts] if parts else ())) if context.legacy else None
        begun = context.parent is not None and "-v1-" not in context.parent.name
        name = f"round-{context.n:02d}.supernet-{{}}.safetensors"
        beside = name.replace("supernet", "cells")
        return weights_path(context.folder, name, digest, before, beside, begun=begun, earlier=earlier)

    def _train(self, space: SearchSpace, context: FitContext, weights: Path) -> None:
        torch.manual_seed(derive_seed(context.seed, "init"))
        supernet = Supernet(space, zero_init=self.section.zero_init)
        if (bred := self._breed_cells(space, context, weights)) is not None:
            copy_cell_weights(read_checkpoint(bred.weights)[0], supernet)
        elif self.section.inherit and context.parent is not None:
            inherit_weights(supernet, read_checkpoint(context.parent)[0])
        images = load_dataset(self.config.data, self.config.device)
        indicators = self._indicators(space, context, images.validation)
        progress = weights.with_suffix(".progress")
        train(
            supernet,
            images.train,
            schedule_of(self.section, self.config.data, context.n),
            seed=context.seed,
            paths=balanced_paths(indicators.gates) if indicators else SAMPLING[self.section.sampling](space),
            between=indicators,
            checkpoint=progress,
            track=context.track,
            label=f"round {context.n}: training the supernet",
            group=context.group,
            precision=precision_of(self.config),
        )
        judged = indicators.gates.narrowed(space) if indicators else space
        ratings = indicators.gates.ratings() if indicators else bred.ratings if bred else {}
        learned = kept = supernet.state_dict()
        if judged != space:
            with torch.device("meta"):  # for its names alone
                kept = {name: learned[name] for name in Supernet(judged).state_dict()}
        listed = [[i, op, value] for (i, op), value in ratings.items()]
        name = bred.weights.name if bred else None
        write_checkpoint(kept, weights, {"space": judged.to_json(), "ratings": listed, "cells": name})
        delete_progress(progress)

    def _breed_cells(self, space: SearchSpace, context: FitContext, weights: Path) -> BredPopulations | None:
        """This round's cells, bred on from those of the round before, when the configuration has cells."""
        if self.section.cells is None:
            return None
        before = None
        if context.parent is not None:
            name = read_checkpoint(context.parent)[1].get("cells")
            before = breeding.read_populations(context.parent.with_name(name)) if name else None
        path = weights.with_name(weights.name.replace("supernet", "cells"))
        return breeding.breed_populations(self.section.cells, self.config, space, context, before, path)

    def _indicators(self, space: SearchSpace, context: FitContext, validation: Source) -> Indicators | None:
        """The learner of NSE's gates, when the configuration has gates."""
        if self.section.gates is None:
            return None
        return Indicators(
            Gates(space),
            context.table,
            validation,
            self.section.gates,
            batch_size=self.section.batch_size,
            cost=self.config.search.cost,
            inherited=context.inherited or [frozenset()] * len(space.layers),
            seed=context.seed,
            accumulate=self.section.accumulate,
            precision=precision_of(self.config),
        )


@dataclass(frozen=True)
class OneShotJudge(Judge):
    """Scores by a trained supernet; what it says holds for these weights only, so their hash is in its name.

    ``space`` is what the supernet can judge: the round's space, less what was dropped while it trained. ``ratings`` are
    the learned gates' probabilities, where there are gates, or the fitness of cells, where there are cells; ``history``
    is all cells that the run has bred.
    """

    config: StudyConfig
    space: SearchSpace
    table: CostTable = field(repr=False)
    n: int
    checkpoint: Path
    sha256: str
    ratings: Ratings = field(default_factory=dict)
    history: tuple[BredCell, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        rounded = ":int8" if self.config.search.int8 else ""
        return f"oneshot@{self.n}:{self.sha256[:12]}{name_suffix(precision_of(self.config))}{rounded}"

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        scorer = partial(_scorer, self.config, self.space, self.checkpoint, self.sha256)
        return evaluations_by(scorer, archs, self.name, self.table)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        return {"weights": (self.checkpoint, self.sha256)}

    def stats(self, evaluations: Sequence[Evaluation]) -> Mapping[str, Any]:
        """Whether the space has settled, where cells are bred."""
        return {"cells": asdict(stability(self.space, self.history, self.ratings))} if self.history else {}

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        """What the learned gates draw, where there are gates."""
        return suggest_by_gates(self.config.evolution, self.ratings, self.space, request)


def _calibration(images: Images, section: OneShotSection) -> FirstBatches:
    """The first training images, in whole batches."""
    size = min(section.eval_batch_size, len(images.train))
    count = min(section.calibration_batches, len(images.train) // size)
    return first_batches(images.train, size, count)


@lru_cache(maxsize=1)
def _scorer(config: StudyConfig, space: SearchSpace, path: Path, digest: str) -> Scorer:
    """The scorer of a checkpoint: it keeps prefixes from one generation to the next."""
    section = config.evaluator
    assert isinstance(section, OneShotSection)
    if file_hash(path) != digest:
        raise EvoError(f"{path} is not the file that was written (its sha256 has changed); delete it to train it again")
    images = load_dataset(config.data, config.device)
    supernet = Supernet(space)
    supernet.load_state_dict(read_checkpoint(path)[0])
    supernet.to(images.validation.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    memory, calibration = section.prefix_memory_mb << 20, _calibration(images, section)
    size, precision = section.eval_batch_size, precision_of(config)
    return Scorer(supernet, calibration, images.validation, size, memory, precision, config.search.int8)


# -- which sub-networks a training step takes -------------------------------------------------------------------------


def oneshot(config: StudyConfig, space: SearchSpace) -> OneShot:
    """The evaluator of a configuration whose ``evaluator.kind`` is ``oneshot``.

    Raises:
        EvoError: what it asks for cannot be done in a space with rows.
    """
    section = config.evaluator
    assert isinstance(section, OneShotSection)
    if space.variant_blocks and (section.gates or section.cells or section.sampling != "uniform"):
        raise EvoError(
            f"{space.name!r} has blocks with rows, and evaluator.gates, evaluator.cells and evaluator.sampling = "
            f"{section.sampling!r} take every layer by itself: leave them out, with sampling = 'uniform'"
        )
    return OneShot(section, config)
