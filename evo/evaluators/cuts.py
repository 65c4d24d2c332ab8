"""A trained network is fine-tuned once, and judges what can be cut out of it with its own weights.

Nothing is trained further: an architecture's score is that of its weights, cut out of the fine-tuned network's
(``spaces.pretrained.slices``), with batch normalisation recalibrated. Each cut is measured by itself first. What cuts lose is
taken to add up, so the exact Pareto front of summed losses and cost (``front_of_ratings``) gives the architectures that are
measured before NSGA-II breeds on.

Where images have no labels, the network stays as it is, with its own classes, and "accuracy" and "likelihood" are those of
imitating it: the share of images of the same class, and the mean divergence of probabilities (``evo.evaluators.agreement``).
Both are measured with normalisations that were recalibrated alike, so the network itself loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from evo.data.loading import load_dataset
from evo.data.paths import candidate_paths, file_hash
from evo.data.source import Images, InOrder
from evo.evaluators import FitContext, Judge, Request
from evo.evaluators.agreement import AgreementScorer, Imitated, say
from evo.evaluators.blockwise.combination import front_of_ratings
from evo.evaluators.oneshot.scoring import PrefixRunner, Scorer, evaluations_by
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, is_intact, read_checkpoint, write_checkpoint
from evo.training.identity import identity
from evo.training.loop import schedule_of, train
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.errors import SpaceError
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.pretrained.networks import Pretrained, read_network
from spaces.pretrained.slices import first_weights, load_first_weights, space_of
from spaces.space import SearchSpace
from studies.config import CutsSection, StudyConfig
from studies.records import Evaluation, EvoError, LayerChoice, Ratings

WEIGHTS = "weights"
"""What the fine-tuned network's file is called in the database."""


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
        if data.labels is False:
            _write_as_it_is(found, self.origin, images, path, digest)
            return path
        torch.manual_seed(seed)
        network = Network(self.whole, self.origin)
        load_first_weights(network, self.origin, first_weights(found, self.origin, images.mean, images.std))
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
        facts = {"arch": str(self.whole), "mean": list(images.mean), "std": list(images.std)}
        write_checkpoint(network.state_dict(), path, facts)
        delete_progress(progress)
        return path

    def _losses(self, judge: CutsJudge, context: FitContext) -> Ratings:
        """What each candidate loses by itself: minus the likelihood's logarithm beside the whole network's, in nats.

        All other layers are the whole network's, which later rounds may have dropped.
        """
        space = self.origin.replace_layers(
            replace(layer, candidates=tuple(dict.fromkeys((*layer.candidates, *here.candidates))), pending=())
            for layer, here in zip(self.origin.layers, judge.space.layers, strict=True)
        )
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
        losses = dict(zip(choices, read_checkpoint(path)[0]["loss"].tolist(), strict=True))
        return {(i, op): losses[i, op] for i, layer in enumerate(judge.space.layers) for op in layer.candidates}

    def starting_weights(
        self, arch: Architecture, space: SearchSpace, file: Path, images: Images
    ) -> dict[str, Tensor] | None:
        """What a network begins its last training with: what is cut out of the fine-tuned network in ``file``.

        None where it is no cut of that, e.g. as its widths were scaled.
        """
        ends = (space.stem, replace(space.head, classes=self.origin.head.classes))
        shapes, ours = ([layer.shape for layer in one.layers] for one in (space, self.origin))
        if ends != (self.origin.stem, self.origin.head) or shapes != ours:
            return None
        try:
            return cut_out(self.config, self.origin, space.restrict_to(arch), file, images)
        except SpaceError:  # an operation of other steps, or a larger one
            return None


def _with(whole: Architecture, choice: LayerChoice) -> Architecture:
    place, op = choice
    return Architecture((*whole.genes[:place], op, *whole.genes[place + 1 :]))


def whole_network(space: SearchSpace) -> Architecture:
    """The network whose space it is: the first candidates."""
    return Architecture(tuple(layer.candidates[0] for layer in space.layers))


@dataclass(frozen=True)
class CutsJudge(Judge):
    """Scores what is cut out of the fine-tuned network. Its answers hold in all rounds.

    Attributes:
        origin: the space of the whole network.
        losses: what each candidate loses by itself, lower is better.
    """

    config: StudyConfig
    origin: SearchSpace = field(repr=False)
    space: SearchSpace
    table: CostTable = field(repr=False)
    checkpoint: Path
    sha256: str
    losses: Ratings = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return f"cuts:{self.sha256[:12]}"

    @property
    def ratings(self) -> Ratings:
        return {choice: -loss for choice, loss in self.losses.items()}

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        scorer = partial(_scorer, self.config, self.origin, self.space, self.checkpoint, self.sha256)
        return evaluations_by(scorer, archs, self.name, self.table)

    def files(self) -> Mapping[str, tuple[Path, str]]:
        return {WEIGHTS: (self.checkpoint, self.sha256)}

    def suggest(self, request: Request) -> list[tuple[Architecture, str]]:
        """The exact front of summed losses and cost, no cut taken to be a gain; and the network itself, as its dearest end."""
        worth = {choice: -max(0.0, loss) for choice, loss in self.losses.items()}
        front, whole = front_of_ratings(worth, self.table, request.cost), whole_network(self.origin)
        return request.choose([*front, whole] if whole in self.space else front, "combined")


def _write_as_it_is(found: Pretrained, origin: SearchSpace, images: Images, path: Path, digest: str) -> None:
    """Write a network that is not fine-tuned; grey images are seen as colours that are alike. ``digest`` tells two files of
    one network apart, whose cuts are judged on different images."""
    weights, mean, std = found.weights, found.mean, found.std
    if found.space.stem.c_in != images.channels:
        weights, mean, std = first_weights(found, origin, images.mean, images.std), images.mean, images.std
    facts = {"arch": str(whole_network(origin)), "mean": list(mean), "std": list(std), "identity": digest}
    write_checkpoint(dict(weights), path, facts)


def cut_out(
    config: StudyConfig, origin: SearchSpace, space: SearchSpace, file: Path, images: Images
) -> dict[str, Tensor]:
    """The weights of all candidates of ``space``, cut out of the fine-tuned network in ``file``; for ``images``, which may be
    brought to another mean and deviation than those that it was fine-tuned on."""
    return first_weights(read_fine_tuned(config, origin, file), space, images.mean, images.std)


def read_fine_tuned(config: StudyConfig, origin: SearchSpace, file: Path) -> Pretrained:
    """The fine-tuned network in ``file``, which is the whole one of the space ``origin``."""
    arch, (weights, facts) = whole_network(origin), read_checkpoint(file)
    restricted = origin.restrict_to(arch)
    return Pretrained(_section(config).network, restricted, arch, weights, tuple(facts["mean"]), tuple(facts["std"]))


@lru_cache(maxsize=1)
def _scorer(
    config: StudyConfig, origin: SearchSpace, space: SearchSpace, path: Path, digest: str
) -> Scorer | AgreementScorer:
    """The scorer of a space: it keeps prefixes from one generation to the next."""
    images = load_dataset(config.data, config.device)
    if config.data.labels is not False:
        return _runner(Scorer, config, origin, space, path, digest, images.validation)
    whole = whole_network(origin)
    said = say(_runner(PrefixRunner, config, origin, origin.restrict_to(whole), path, digest, images.validation), whole)
    return _runner(AgreementScorer, config, origin, space, path, digest, Imitated(images.validation, said))


R = TypeVar("R", bound=PrefixRunner)


def _runner(
    kind: type[R],
    config: StudyConfig,
    origin: SearchSpace,
    space: SearchSpace,
    path: Path,
    digest: str,
    validation: InOrder,
) -> R:
    """What runs networks of ``space`` that are cut out of the network in a file, on ``validation``."""
    section = _section(config)
    if file_hash(path) != digest:
        raise EvoError(f"{path} is not the file that was written (its sha256 has changed); delete it to train it again")
    images = load_dataset(config.data, config.device)
    supernet = Supernet(space, zero_init=False)
    load_first_weights(supernet, space, cut_out(config, origin, space, path, images))
    supernet.to(images.validation.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = min(section.eval_batch_size, len(images.train))
    count = min(section.calibration_batches, len(images.train) // size)
    calibration = [x for x, _ in islice(images.train.batches(size), count)]
    return kind(supernet, calibration, validation, size, section.prefix_memory_mb << 20)


def _section(config: StudyConfig) -> CutsSection:
    assert isinstance(config.evaluator, CutsSection)
    return config.evaluator


def cuts_space(config: StudyConfig) -> SearchSpace:
    """The space of the configuration's network, for its images.

    Raises:
        SpaceError: there is no such network, or no file with its weights.
    """
    images, section, found = load_dataset(config.data, config.device), _section(config), read_pretrained(config)
    return space_of(
        found,
        channels=images.channels,
        size=images.size,
        classes=found.space.head.classes if config.data.labels is False else images.classes,
        shares=section.shares,
    )


def class_names(config: StudyConfig) -> tuple[str, ...]:
    """Names of the classes that networks of the configuration know: the images', or the network's where images have no labels;
    without names their numbers."""
    if config.data.labels is not False:
        return load_dataset(config.data, config.device).class_names
    found = read_pretrained(config)
    return found.classes or tuple(map(str, range(found.space.head.classes)))


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
