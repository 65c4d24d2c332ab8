"""A trained network is fine-tuned once, and judges what can be cut out of it with its own weights.

Nothing is trained further: an architecture's score is that of its weights, cut out of the fine-tuned network's
(``spaces.pretrained.slices``), with batch normalisation recalibrated. Each cut is measured by itself first. What cuts lose is
taken to add up, so the exact Pareto front of summed losses and cost (``front_of_ratings``) gives the architectures that are
measured before NSGA-II breeds on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evo.console import untracked
from evo.data.loading import load_dataset
from evo.data.paths import candidate_paths, file_hash
from evo.data.source import Images
from evo.evaluators import FitContext, Judge, Request
from evo.evaluators.blockwise.combination import front_of_ratings
from evo.evaluators.imitation import Imitations, read_operation
from evo.evaluators.oneshot.scoring import Scorer, evaluations_by
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, is_intact, read_checkpoint, write_checkpoint
from evo.training.identity import identity
from evo.training.loop import schedule_of, train
from evo.workers.executors import map_inline
from spaces.architecture import Architecture, Op
from spaces.costs.table import CostTable, cost_table
from spaces.errors import SpaceError
from spaces.export.scaling import resize_space, scaled_size
from spaces.layer import Head, Shape, Stem
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.pretrained.cut_space import can_be_cut, space_of, whole_alone, whole_network
from spaces.pretrained.importance import channel_importance, without_importance
from spaces.pretrained.networks import Pretrained, read_network
from spaces.pretrained.slices import first_weights, load_first_weights
from spaces.space import SearchSpace, resolve_variants
from studies.config import CutsSection, StudyConfig
from studies.records import Evaluation, EvoError, LayerChoice, Ratings

WEIGHTS, POOL = "weights", "pool"
"""What the fine-tuned network's file is called in the database, and that of operations that were made beside its cuts."""

LIBRARY = "library"
"""The folder beside those of runs in which operations are kept, for all of them."""


@dataclass(frozen=True)
class Cuts:
    """Fine-tunes the network in the first round, and measures the cuts of each round's space one at a time.

    Attributes:
        origin: the run's first space, whose first candidates are the whole network.
    """

    config: StudyConfig
    origin: SearchSpace

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        whole = self._fine_tune(context)
        judge = CutsJudge(self.config, self.origin, space, context.table, whole, file_hash(whole))
        judge = replace(judge, **self._made(judge, context))
        return replace(judge, losses=self._losses(judge, context))

    @property
    def whole(self) -> Architecture:
        """The network itself."""
        return whole_network(self.origin)

    def fine_tuned(self, file: Path) -> Pretrained:
        """The fine-tuned network in ``file``."""
        return read_fine_tuned(self.config, self.origin, file)

    def _fine_tune(self, context: FitContext) -> Path:
        """The file of the fine-tuned network; the same in all rounds."""
        found = read_pretrained(self.config)
        section, data = _section(self.config), self.config.data
        digest = identity(
            "whole network", 1,
            space=self.origin, settings=section, data=data, device=self.config.device, seed=self.config.seed,
            weights=weights_digest(found), sources=context.sources,
        )  # fmt: skip
        path = context.folder / f"network-v1-{digest[:12]}.safetensors"
        if is_intact(path):
            return path
        images, seed = load_dataset(data, self.config.device), derive_seed(self.config.seed, "whole network")
        torch.manual_seed(seed)
        arch, space = whole_alone(self.origin)
        network = Network(arch, space)
        load_first_weights(network, space, first_weights(found, space, images.mean, images.std))
        progress = path.with_suffix(".progress")
        train(
            network,
            images.train,
            schedule_of(section, data, 1),
            seed=seed,
            checkpoint=progress,
            track=context.track,
            label=f"fine-tuning {section.network}",
            group=context.group,
        )
        facts = {"arch": str(arch), "mean": list(images.mean), "std": list(images.std)}
        known = network.state_dict() | self._importance(network, images)
        write_checkpoint(known, path, facts)
        delete_progress(progress)
        return path

    def _made(self, judge: CutsJudge, context: FitContext) -> dict[str, Any]:
        """The fields of the judge about operations that cannot be cut out of the network: each is made, once."""
        settings = _section(self.config).pool
        choices = made_choices(self.origin, judge.space)
        if settings is None or not choices:
            return {}
        track = context.track if context.evaluate is map_inline else untracked
        makers = Imitations(
            self.config, settings, self.fine_tuned(judge.checkpoint), judge.sha256, context.folder.parent / LIBRARY, track,
            context.sources,
        )  # fmt: skip
        files = context.evaluate(makers, choices)
        tensors = {
            f"{place}/{op}/{name}": tensor
            for (place, op), file in zip(choices, files, strict=True)
            for name, tensor in read_operation(file).items()
        }
        digest = identity("pool", 1, files=[file.name for file in files])
        path = context.folder / f"pool-v1-{digest[:12]}.safetensors"
        if not is_intact(path):
            write_checkpoint(tensors, path, {"choices": [list(choice) for choice in choices]})
        new = [(i, op) for i, op in choices if op not in _inherited(context, self.origin, i)]
        macs = sum(
            makers.macs(choice, len(load_dataset(self.config.data, self.config.device).train), 3) for choice in new
        )
        return {"pool": path, "pool_sha256": file_hash(path), "pool_macs": macs, "made": len(new)}

    def _importance(self, network: Network, images: Images) -> dict[str, Tensor]:
        """How much the channels of the network matter, where that takes gradients."""
        section = _section(self.config)
        if section.importance != "taylor":
            return {}
        size = min(section.eval_batch_size, len(images.train))
        return channel_importance(network, islice(images.train.batches(size), section.calibration_batches))

    def _losses(self, judge: CutsJudge, context: FitContext) -> Ratings:
        """What each candidate loses by itself: minus the likelihood's logarithm beside the whole network's, in nats.

        All other layers are the whole network's, which later rounds may have dropped. What the first space has is measured
        once.
        """
        first = self.origin.replace_layers(replace(layer, pending=()) for layer in self.origin.layers)
        others = [
            tuple(op for op in here.candidates if op not in layer.candidates)
            for layer, here in zip(self.origin.layers, judge.space.layers, strict=True)
        ]
        losses = self._measured_losses(first, judge, context)
        if any(others):
            later = self.origin.replace_layers(
                replace(layer, candidates=(layer.candidates[0], *ops), pending=())
                for layer, ops in zip(self.origin.layers, others, strict=True)
            )
            losses = self._measured_losses(later, judge, context) | losses
        return {(i, op): losses[i, op] for i, layer in enumerate(judge.space.layers) for op in layer.candidates}

    def _measured_losses(self, space: SearchSpace, judge: CutsJudge, context: FitContext) -> dict[LayerChoice, float]:
        """What every candidate of ``space`` loses by itself, which has the whole network's first."""
        digest = identity(
            "cuts", 1,
            space=space, whole=judge.sha256, settings=_section(self.config), data=self.config.data,
            device=self.config.device, sources=context.sources,
        )  # fmt: skip
        path = context.folder / f"cuts-v1-{digest[:12]}.safetensors"
        choices = [(i, op) for i, layer in enumerate(space.layers) for op in layer.candidates]
        if not is_intact(path):
            archs = [self.whole, *(_with(self.whole, choice) for choice in choices)]
            answers = context.evaluate(replace(judge, space=space, table=cost_table(space)), archs)
            nll = torch.tensor([answer.nll for answer in answers], dtype=torch.float64)
            write_checkpoint({"loss": nll[1:] - nll[0]}, path, {"whole": answers[0].accuracy})
        return dict(zip(choices, read_checkpoint(path)[0]["loss"].tolist(), strict=True))

    def starting_weights(
        self, arch: Architecture, space: SearchSpace, file: Path, images: Images, pools: Sequence[Path] = ()
    ) -> dict[str, Tensor] | None:
        """What a network begins its last training with: what is cut out of the fine-tuned network in ``file``.

        None where it is no cut of that, e.g. as its widths were scaled. The size of its images is its own.

        Args:
            pools: files of operations that the run has made beside its cuts.
        """
        arch, space = resolve_variants(arch, space)
        _, ours = whole_alone(self.origin)
        if _without_operations(space, ours) != _without_operations(ours, ours):
            return None
        try:
            return cut_out(self.config, self.origin, space.restrict_to(arch), file, images, pools)
        except SpaceError:  # an operation of other steps, or a larger one
            return None


def _without_operations(space: SearchSpace, whole: SearchSpace) -> tuple[Stem, Head, list[Shape]]:
    """What two spaces have in common when networks of one are cut out of the other's: for images of one size, of the same
    classes."""
    space = resize_space(space, whole.stem.size)
    return space.stem, replace(space.head, classes=whole.head.classes), [layer.shape for layer in space.layers]


def _with(whole: Architecture, choice: LayerChoice) -> Architecture:
    place, op = choice
    return Architecture((*whole.genes[:place], op, *whole.genes[place + 1 :]))


@dataclass(frozen=True)
class CutsJudge(Judge):
    """Scores what is cut out of the fine-tuned network. Its answers hold in all rounds.

    Attributes:
        origin: the space of the whole network.
        losses: what each candidate loses by itself, lower is better.
        pool: a file of the operations that cannot be cut out of the network; None: there are none.
        made: how many of them are new to the round; ``pool_macs``: what making them takes.
    """

    config: StudyConfig
    origin: SearchSpace = field(repr=False)
    space: SearchSpace
    table: CostTable = field(repr=False)
    checkpoint: Path
    sha256: str
    pool: Path | None = None
    pool_sha256: str = ""
    pool_macs: float = 0.0
    made: int = 0
    losses: Ratings = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return f"cuts:{self.sha256[:12]}"

    @property
    def ratings(self) -> Ratings:
        return {choice: -loss for choice, loss in self.losses.items()}

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        files = ((self.checkpoint, self.sha256), *([(self.pool, self.pool_sha256)] if self.pool else []))
        scorer = partial(_scorer, self.config, self.origin, self.space, files)
        return evaluations_by(scorer, archs, self.name, self.table)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        pool = {POOL: (self.pool, self.pool_sha256)} if self.pool else {}
        return {WEIGHTS: (self.checkpoint, self.sha256), **pool}

    def stats(self, evaluations: Sequence[Evaluation]) -> Mapping[str, Any]:
        return {"made": {"operations": self.made, "macs": self.pool_macs}} if self.made else {}

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        """The exact front of summed losses and cost, no cut taken to be a gain; and the network itself, as its dearest end."""
        worth = {choice: -max(0.0, loss) for choice, loss in self.losses.items()}
        front, whole = front_of_ratings(worth, self.table, request.cost), whole_network(self.origin)
        return request.choose([*front, whole] if whole in self.space else front, "combined")


def cut_out(
    config: StudyConfig,
    origin: SearchSpace,
    space: SearchSpace,
    file: Path,
    images: Images,
    pools: Sequence[Path] = (),
) -> dict[str, Tensor]:
    """The weights of all candidates of ``space``, cut out of the fine-tuned network in ``file``; for ``images``, which may be
    brought to another mean and deviation than those that it was fine-tuned on.

    Args:
        pools: files of operations that cannot be cut out of it.

    Raises:
        SpaceError: an operation is neither.
    """
    tuned, made = read_fine_tuned(config, origin, file), dict[LayerChoice, dict[str, Tensor]]()
    for pool in pools:
        for path, tensor in read_checkpoint(pool)[0].items():
            place, op, name = path.split("/", 2)
            made.setdefault((int(place), op), {})[name] = tensor
    return first_weights(tuned, space, images.mean, images.std, _section(config).importance, made)


def made_choices(origin: SearchSpace, space: SearchSpace) -> list[LayerChoice]:
    """The candidates of ``space`` that cannot be cut out of the network; the place is that in the network itself."""
    behind = 1 if origin.input_sizes else 0
    return [
        (i, op)
        for i, (whole, layer) in enumerate(zip(origin.layers[behind:], space.layers[behind:], strict=True))
        for op in layer.candidates
        if not can_be_cut(whole.candidates[0], op, whole.shape)
    ]


def _inherited(context: FitContext, origin: SearchSpace, place: int) -> frozenset[Op]:
    """The operations that a layer of the network had in the round before."""
    return context.inherited[place + (1 if origin.input_sizes else 0)] if context.inherited else frozenset()


def read_fine_tuned(config: StudyConfig, origin: SearchSpace, file: Path) -> Pretrained:
    """The fine-tuned network in ``file``, which is the whole one of the space ``origin``."""
    (arch, alone), (tensors, facts) = whole_alone(origin), read_checkpoint(file)
    weights = dict(without_importance(tensors))
    importance = {name: tensor for name, tensor in tensors.items() if name not in weights}
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    return Pretrained(_section(config).network, alone, arch, weights, mean, std, importance=importance)


@lru_cache(maxsize=1)
def _scorer(
    config: StudyConfig, origin: SearchSpace, space: SearchSpace, files: tuple[tuple[Path, str], ...]
) -> Scorer:
    """The scorer of a space: it keeps prefixes from one generation to the next.

    Args:
        files: that of the whole network, then that of the pool, if there is one; with their sha256.
    """
    section = _section(config)
    for path, digest in files:
        if file_hash(path) != digest:
            raise EvoError(
                f"{path} is not the file that was written (its sha256 has changed); delete it to train it again"
            )
    (whole, _), *pools = files
    images = load_dataset(config.data, config.device)
    supernet = Supernet(space, zero_init=False)
    weights = cut_out(config, origin, space, whole, images, [path for path, _ in pools])
    load_first_weights(supernet, space, weights)
    supernet.to(images.validation.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = min(section.eval_batch_size, len(images.train))
    count = min(section.calibration_batches, len(images.train) // size)
    calibration = [x for x, _ in islice(images.train.batches(size), count)]
    return Scorer(supernet, calibration, images.validation, size, section.prefix_memory_mb << 20)


def _section(config: StudyConfig) -> CutsSection:
    assert isinstance(config.evaluator, CutsSection)
    return config.evaluator


def cuts_space(config: StudyConfig) -> SearchSpace:
    """The space of the configuration's network, for its images.

    Raises:
        SpaceError: there is no such network, or no file with its weights.
    """
    images, section = load_dataset(config.data, config.device), _section(config)
    space = space_of(
        read_pretrained(config),
        channels=images.channels,
        size=images.size,
        classes=images.classes,
        shares=section.shares,
        smaller=[scaled_size(images.size, part) for part in section.resolutions],
        pool=section.pool.operations if section.pool else (),
    )
    if not (section.pool and section.pool.at_once):
        return space
    return space.replace_layers(
        replace(layer, candidates=layer.candidates + layer.pending, pending=()) for layer in space.layers
    )


def read_pretrained(config: StudyConfig) -> Pretrained:
    """The configuration's network, with its weights."""
    section = _section(config)
    weights = _existing(section.weights) if section.weights else None
    return _read(_existing(section.network), weights, load_dataset(config.data, config.device).size)


def _existing(path: str) -> str:
    """Where a file or folder lies: as it stands, or below the folder ``EVO_DATA``; itself where it is none."""
    with suppress(OSError):
        return next((str(place) for place in candidate_paths(path) if place.exists()), path)
    return path


_read = lru_cache(maxsize=2)(read_network)


def weights_digest(found: Pretrained) -> str:
    """sha256 of the network's weights as they were read."""
    from hashlib import sha256

    digest = sha256()
    for name, tensor in sorted(found.weights.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def cuts(config: StudyConfig, space: SearchSpace) -> Cuts:
    """The evaluator of a configuration whose ``evaluator.kind`` is ``cuts``."""
    return Cuts(config, space)
