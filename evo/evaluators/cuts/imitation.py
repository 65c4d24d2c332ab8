"""Operations that cannot be cut out of a trained network learn to give what its layer gives (as blocks do in DNA, 1911.13053).

A layer is given what the network's layer before gives, and learns, with one operation in it, to give what the network's own
gives. No labels are needed, and layers and operations do not depend on each other. What was made lies in a folder that all runs
share, under a name that tells all it depends on: nothing is made twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from evo.console import Track, untracked
from evo.data.augmentation import spelled
from evo.data.loading import load_dataset
from evo.evaluators.blockwise.distillation import TeacherGuided
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, is_intact, read_checkpoint, share_checkpoint, write_checkpoint
from evo.training.identity import earlier_identity, identity, library_path
from evo.training.loop import Schedule, train
from evo.training.precision import precision_of
from spaces.networks.network import MixedLayer, Network
from spaces.networks.supernet import inherit_weights
from spaces.operations.grammar import count_operation
from spaces.operations.primitives import stem_steps, total_counts
from spaces.pretrained.networks import Pretrained
from studies.config import PoolSection, StudyConfig
from studies.records import LayerChoice


@dataclass(frozen=True)
class Imitations:
    """What makes operations for the layers of one network.

    Attributes:
        settings: how long and how fast they learn.
        sha256: of the file of the network's weights.
        library: the folder in which they are kept; ``folder``: the run's own, in which they are made.
        sources: sha256 of the data and of plugins.
    """

    config: StudyConfig
    settings: PoolSection
    network: Pretrained = field(repr=False, compare=False)
    sha256: str
    library: Path
    folder: Path = field(compare=False)
    track: Track = field(default=untracked, compare=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def __call__(self, choices: Sequence[LayerChoice]) -> list[Path]:
        """The files of operations, each made if it is not there. A choice has the layer's place in the network."""
        return [self.make(choice) for choice in choices]

    def make(self, choice: LayerChoice) -> Path:
        """The file of one operation's weights."""
        path = self.path(choice)
        if is_intact(path):
            return path
        place, op = choice
        draft = self.folder / path.name
        images, progress = load_dataset(self.config.data, self.config.device), draft.with_suffix(".progress")
        seed = derive_seed(self.config.seed, "imitation", place, op)
        torch.manual_seed(seed)
        layer = MixedLayer(self.network.space.layers[place].shape, (op,), self.network.space.merge)
        stages, precision = _before_and_behind(self, place).to(images.train.device), precision_of(self.config)
        shown = TeacherGuided(images.train, stages, precision=precision)
        train(
            layer, shown, self.schedule, seed=seed, loss=relative_error, checkpoint=progress, track=self.track,
            label=f"layer {place + 1} learns {op}", precision=precision,
        )  # fmt: skip
        prefix = f"ops.{op}."
        weights = {name.removeprefix(prefix): tensor.cpu() for name, tensor in layer.state_dict().items()}
        write_checkpoint(weights, draft, {"layer": place, "operation": op})
        share_checkpoint(draft, path)
        delete_progress(progress)
        return path

    def path(self, choice: LayerChoice) -> Path:
        """Where an operation's weights lie."""
        place, op = choice
        named = {
            "network": self.sha256, "layer": place, "shape": self.network.space.layers[place].shape, "operation": op,
            "settings": self.settings, "data": self.config.data, "device": self.config.device, "seed": self.config.seed,
            "sources": self.sources, "precision": self.config.precision,
        }  # fmt: skip
        digest, earlier = identity("imitation", 1, **named), earlier_identity("imitation", 1, **named)
        return library_path(self.library, "operation-v1-{}.safetensors", digest, earlier)

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            epochs=self.settings.epochs,
            batch_size=self.settings.batch_size,
            learning_rate=self.settings.learning_rate,
            weight_decay=0.0,
            augment=spelled(self.config.data.augment, self.config.data.jitter),
            decay=self.settings.decay,
        )

    def macs(self, choice: LayerChoice, train: int, passes: int) -> float:
        """What making an operation costs, on ``train`` images: it learns, and the network runs up to its layer."""
        place, op = choice
        space = self.network.space
        own = count_operation(op, space.layers[place].shape).macs
        before = zip(self.network.arch.genes[: place + 1], space.layers, strict=False)
        given = sum(count_operation(gene, layer.shape).macs for gene, layer in before)
        given += total_counts(stem_steps(space.stem), space.stem.size).macs
        size = min(self.settings.batch_size, train)
        return float((passes * own + given) * self.schedule.epochs * (train // size * size))


def read_operation(path: Path) -> dict[str, Tensor]:
    """The weights of an operation that was made, by their names inside it."""
    return read_checkpoint(path)[0]


def relative_error(output: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference, as a share of the target's variance: 0 where a layer is imitated perfectly."""
    return nn.functional.mse_loss(output, target) / (target.var() + 1e-9)


class BeforeAndBehind(nn.Module):
    """Images -> what a layer of a network is given, and what it gives."""

    def __init__(self, network: Network, place: int) -> None:
        super().__init__()
        self.before = nn.Sequential(network.stem, *list(network.layers)[:place])
        self.layer = network.layers[place]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        given = self.before(images)
        return given, self.layer(given)


@lru_cache(maxsize=1)
def _network(made: Imitations) -> Network:
    network = Network(made.network.arch, made.network.space)
    inherit_weights(network, made.network.weights)
    return network.eval().requires_grad_(False)


def _before_and_behind(made: Imitations, place: int) -> nn.Module:
    return BeforeAndBehind(_network(made), place).eval()
