"""A trained network is fine-tuned once, and judges what can be cut out of it with its own weights.

Nothing is trained further: an architecture's score is that of its weights, cut out of the fine-tuned network's
(``spaces.pretrained.slices``), with batch normalisation recalibrated. Each cut is measured by itself first. What cuts lose is
taken to add up, so the exact Pareto front of summed losses and cost (``front_of_ratings``) gives the architectures that are
measured before NSGA-II breeds on.

Where images have no labels, the network stays as it is, with its own classes, and "accuracy" and "likelihood" are those of
imitating it: the share of images of the same class, and the mean divergence of probabilities (``agreement``).
Both are measured with normalisations that were recalibrated alike, so the network itself loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evo.console import untracked
from evo.data.loading import load_dataset
from evo.data.paths import file_hash
from evo.data.source import Batch, Images
from evo.evaluators import FitContext, Judge
from evo.evaluators.cuts.imitation import Imitations, read_operation
from evo.evaluators.cuts.joint import train_together
from evo.evaluators.cuts.judge import CutsJudge
from evo.evaluators.cuts.network import (
    cut_out,
    later_cuts,
    made_choices,
    read_fine_tuned,
    read_pretrained,
    section_of,
    weights_digest,
    write_pool,
)
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, is_intact, read_checkpoint, write_checkpoint
from evo.training.identity import earlier_identity, identity, weights_path
from evo.training.loop import schedule_of, train
from evo.training.precision import precision_of
from evo.workers.executors import map_inline
from spaces.architecture import Architecture, Op
from spaces.costs.table import cost_table
from spaces.errors import SpaceError
from spaces.export.scaling import resize_space
from spaces.layer import Head, Stem
from spaces.networks.network import Network
from spaces.pretrained.cut_space import whole_alone, whole_network
from spaces.pretrained.importance import channel_importance
from spaces.pretrained.networks import Pretrained
from spaces.pretrained.refit import hidden_moments
from spaces.pretrained.slices import first_weights, load_first_weights
from spaces.pretrained.streams import stream_bases
from spaces.space import SearchSpace, resolve_variants
from studies.config import StudyConfig
from studies.records import EvoError, LayerChoice, Ratings

BROKEN = 1e3
"""What a cut loses that gives no numbers, in nats."""


@dataclass(frozen=True)
class Cuts:
    """Fine-tunes the network in the first round, and measures the cuts of each round's space one at a time.

    Attributes:
        origin: the run's first space, whose first candidates are the whole network.
    """

    config: StudyConfig
    origin: SearchSpace

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        if section_of(self.config).joint is not None and context.group.size > 1:
            raise EvoError(
                f"evaluator.joint trains in one process, and torchrun has started {context.group.size}: start the round "
                "without torchrun, or leave evaluator.joint out"
            )
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
        section, data = section_of(self.config), self.config.data
        trained_by = section.model_copy(update={"loss_images": None})
        named = {
            "space": self.origin, "settings": trained_by, "data": data, "device": self.config.device,
            "seed": self.config.seed, "weights": weights_digest(found), "sources": context.sources,
            "precision": self.config.precision,
        }  # fmt: skip
        digest, earlier = identity("whole network", 1, **named), earlier_identity("whole network", 1, **named)
        path = weights_path(context.folder, "network-{}.safetensors", digest, None, earlier=earlier)
        if is_intact(path):
            return path
        images, seed = load_dataset(data, self.config.device), derive_seed(self.config.seed, "whole network")
        if data.labels is False:
            _write_as_it_is(self.config, found, self.origin, images, path, digest)
            return path
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
            precision=precision_of(self.config),
        )
        facts = {"arch": str(arch), "mean": list(images.mean), "std": list(images.std)}
        measured = measure_importance(self.config, network, images) | measure_bases(self.config, network, space, images)
        if section.joint is not None:
            train_together(self.config, self.origin, network, measured, images, context, path.with_suffix(".joint"))
        measured |= measure_moments(self.config, network, images)
        write_checkpoint(network.state_dict() | measured, path, facts)
        delete_progress(progress)
        delete_progress(path.with_suffix(".joint"))
        return path

    def _made(self, judge: CutsJudge, context: FitContext) -> dict[str, Any]:
        """The fields of the judge about operations that cannot be cut out of the network: each is made, once."""
        settings = section_of(self.config).pool
        choices = made_choices(self.origin, judge.space)
        if settings is None or not choices:
            return {}
        track = context.track if context.evaluate is map_inline else untracked
        images = load_dataset(self.config.data, self.config.device)
        makers = Imitations(
            self.config, settings, self._on_images(judge.checkpoint, images), judge.sha256, context.open_library(),
            context.folder, track, context.sources,
        )  # fmt: skip
        files = context.evaluate(makers, choices)
        digest = identity("pool", 1, files=[file.name for file in files])
        path = context.folder / f"pool-v1-{digest[:12]}.safetensors"
        if not is_intact(path):
            write_pool(dict(zip(choices, map(read_operation, files), strict=True)), path)
        new = [(i, op) for i, op in choices if op not in _inherited(context, self.origin, i)]
        macs = sum(makers.macs(choice, len(images.train), 3) for choice in new)
        return {"pool": path, "pool_sha256": file_hash(path), "pool_macs": macs, "made": len(new)}

    def _on_images(self, file: Path, images: Images) -> Pretrained:
        """The fine-tuned network in ``file``, as it takes ``images``."""
        _, space = whole_alone(self.origin)
        weights = cut_out(self.config, self.origin, space, file, images)
        return replace(self.fine_tuned(file), weights=weights, mean=images.mean, std=images.std)

    def _losses(self, judge: CutsJudge, context: FitContext) -> Ratings:
        """What each candidate loses by itself, in nats: minus the likelihood's logarithm beside the whole network's, or the
        divergence from what that says.

        All other layers are the whole network's, which later rounds may have dropped. What the first space has is measured
        once.
        """
        first = self.origin.replace_layers(replace(layer, pending=()) for layer in self.origin.layers)
        losses = self._measured_losses(first, judge, context)
        if (later := later_cuts(self.origin, judge.space)) is not None:
            losses = self._measured_losses(later, judge, context) | losses
        return {(i, op): losses[i, op] for i, layer in enumerate(judge.space.layers) for op in layer.candidates}

    def _measured_losses(self, space: SearchSpace, judge: CutsJudge, context: FitContext) -> dict[LayerChoice, float]:
        """What every candidate of ``space`` loses by itself, which has the whole network's first."""
        named = {
            "space": space, "whole": judge.sha256, "settings": section_of(self.config), "data": self.config.data,
            "device": self.config.device, "sources": context.sources, "precision": self.config.precision,
            **({"int8": True} if self.config.search.int8 else {}),
        }  # fmt: skip
        digest, earlier = identity("cuts", 1, **named), earlier_identity("cuts", 1, **named)
        path = weights_path(context.folder, "cuts-{}.safetensors", digest, None, earlier=earlier)
        choices = [(i, op) for i, layer in enumerate(space.layers) for op in layer.candidates]
        if not is_intact(path):
            archs = [self.whole, *(_with(self.whole, choice) for choice in choices)]
            section = section_of(self.config)
            one_by_one = replace(
                judge,
                space=space,
                table=cost_table(space),
                imitates=section.loss == "divergence",
                images=section.loss_images,
            )
            answers = context.evaluate(one_by_one, archs)
            nll = torch.tensor([answer.nll for answer in answers], dtype=torch.float64).nan_to_num(BROKEN, BROKEN)
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


def _without_operations(space: SearchSpace, whole: SearchSpace) -> tuple[Stem, Head, list[int]]:
    """What two spaces have in common when networks of one are cut out of the other's: for images of one size, of the same
    classes. Whether channels between layers are those that the other can have, its weights tell."""
    space = resize_space(space, whole.stem.size)
    return space.stem, replace(space.head, classes=whole.head.classes), [layer.shape.stride for layer in space.layers]


def _with(whole: Architecture, choice: LayerChoice) -> Architecture:
    place, op = choice
    return Architecture((*whole.genes[:place], op, *whole.genes[place + 1 :]))


def _write_as_it_is(
    config: StudyConfig, found: Pretrained, origin: SearchSpace, images: Images, path: Path, digest: str
) -> None:
    """Write a network that is not fine-tuned; grey images are seen as colours that are alike. ``digest`` tells two files of
    one network apart, whose cuts are judged on different images."""
    weights, mean, std = found.weights, found.mean, found.std
    arch, space = whole_alone(origin)
    adapted = first_weights(found, space, images.mean, images.std)
    if found.space.stem.c_in != images.channels:
        weights, mean, std = adapted, images.mean, images.std
    network = Network(arch, space)
    network.load_state_dict(adapted)
    facts = {"arch": str(arch), "mean": list(mean), "std": list(std), "identity": digest}
    measured = measure_importance(config, network, images) | measure_moments(config, network, images)
    measured |= measure_bases(config, network, space, images)
    write_checkpoint({**weights, **measured}, path, facts)


def measure_importance(config: StudyConfig, network: Network, images: Images) -> dict[str, Tensor]:
    """How much the channels of the whole network matter, where the settings want that measured; without labels, for what it
    says itself."""
    if section_of(config).importance != "taylor":
        return {}
    batches = _channel_batches(config, images)
    return channel_importance(network, _with_own_classes(network, batches) if config.data.labels is False else batches)


def measure_moments(config: StudyConfig, network: Network, images: Images) -> dict[str, Tensor]:
    """Means and covariances of the channels of the whole network, where the settings want convolutions fitted again."""
    return hidden_moments(network, _channel_batches(config, images)) if section_of(config).refit else {}


def measure_bases(config: StudyConfig, network: Network, space: SearchSpace, images: Images) -> dict[str, Tensor]:
    """The bases in which stages of the whole network give fewer channels, where the settings want that."""
    return stream_bases(network, space, _channel_batches(config, images)) if section_of(config).widths else {}


def _channel_batches(config: StudyConfig, images: Images) -> Iterator[Batch]:
    """The training images on which channels are measured."""
    section = section_of(config)
    size = min(section.eval_batch_size, section.channel_images, len(images.train))
    number = max(1, min(section.channel_images, len(images.train)) // size)
    return islice(images.train.batches(size), number)


def _with_own_classes(network: Network, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Images, and the classes that the network gives them."""
    for x, _ in batches:
        with torch.no_grad():
            classes = network.eval()(x).argmax(1)
        yield x, classes


def cuts(config: StudyConfig, space: SearchSpace) -> Cuts:
    """The evaluator of a configuration whose ``evaluator.kind`` is ``cuts``."""
    return Cuts(config, space)


def _inherited(context: FitContext, origin: SearchSpace, place: int) -> frozenset[Op]:
    """The operations that a layer of the network had in the round before."""
    return context.inherited[place + (1 if origin.input_sizes else 0)] if context.inherited else frozenset()
