"""A teacher: a trained network whose stages the blocks of a space imitate (DNA, https://arxiv.org/abs/1911.13053).

It may be any model of torchvision, or a network of ours, which is trained here where none is given. It is always in
evaluation mode: DNA's released code leaves its normalisations in training mode, so that targets drift with every batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import nn

from evo.data.loading import load_dataset
from evo.data.paths import candidate_paths, file_hash
from evo.data.source import Images
from evo.evaluators import FitContext
from evo.evaluators.blockwise.stages import FeatureMapShape, extract_features, fitting_stages
from evo.seeds import derive_seed
from evo.training.checkpoints import delete_progress, first_intact, share_checkpoint, write_checkpoint
from evo.training.identity import earlier_identity, identity, library_path, weights_path
from evo.training.legacy_names import legacy_digest
from evo.training.loop import schedule_of, train
from evo.training.precision import precision_of
from spaces import torchvision_shim
from spaces.architecture import Architecture, Op
from spaces.costs.table import cost_table
from spaces.export import network_folder
from spaces.export.scaling import scale_widths
from spaces.files import weights
from spaces.networks.modules import Normalise
from spaces.networks.network import Network
from spaces.space import SearchSpace, resolve_variants
from studies.config import BlockwiseSection, StudyConfig, TeacherSection
from studies.records import EvoError

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, of values from 0 to 1."""


@dataclass(frozen=True)
class Teacher:
    """A teacher as data, from which any process can build it.

    Attributes:
        model: torchvision's name; None: a network of ours, which ``weights`` tells about.
        weights: a safetensors file, a delivered folder, or a name that torchvision knows.
        splits: per block of the student's space, the stage whose output it imitates.
        shapes: what these stages give.
        identity: of model and weights; another teacher has another one.
        mean, std: per channel, of values from 0 to 1: what the images were normalised by.
        normalised: mean and std that a model of torchvision was trained with; None: our own, which has them in itself.
    """

    model: str | None
    weights: Path | str
    splits: tuple[str, ...]
    shapes: tuple[FeatureMapShape, ...]
    identity: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    normalised: Moments | None = None

    def network(self) -> nn.Module:
        """The trained network, on the CPU, in evaluation mode.

        Raises:
            EvoError: the weights cannot be had, or are those of another network.
        """
        if self.model is not None:
            network = _torchvision_model(self.model, self.weights)
        else:
            network = _load_own(Path(self.weights))
            if isinstance(network.preprocessing, Normalise):  # it takes images from 0 to 1
                network.preprocessing = network.preprocessing.after(self.mean, self.std)
        return network.eval().requires_grad_(False)

    def stages(self, *blocks: int) -> nn.Module:
        """Images ``(n, channels, size, size)`` -> a list of the outputs that these blocks imitate, no more computed.

        A model of torchvision sees the images as it was trained to: by its own mean and deviation, not by the data's.
        """
        return self._on_images(extract_features(self.network(), [self.splits[block] for block in blocks]))

    def classifier(self) -> nn.Module:
        """The same images -> scores of the classes ``(n, classes)``."""
        return self._on_images(self.network())

    def _on_images(self, network: nn.Module) -> nn.Module:
        """``network`` for images as the data give them, which a model of torchvision wants normalised otherwise."""
        if self.normalised is None:
            return network
        return nn.Sequential(Normalise(*self.normalised).after(self.mean, self.std), network).eval()


# -- which stages -----------------------------------------------------------------------------------------------------


def teacher_stages(config: StudyConfig, space: SearchSpace) -> dict[str, FeatureMapShape]:
    """The teacher's stages that the blocks of ``space`` imitate, in order. Nothing is trained, loaded or computed.

    Raises:
        EvoError: there is no such model or stage, or sizes do not fit; the message says what was found and expected.
    """
    section = teacher_section(config)
    splits = section.splits or (() if section.is_given else _own_splits(space))
    stages = fitting_stages(meta_network(config, space), space, splits, _teacher_name(section))
    _normalisation(section, space.stem.c_in)  # raises
    return stages


def teacher_section(config: StudyConfig) -> TeacherSection:
    """The configuration's teacher; it has one only where the evaluator is ``blockwise``."""
    assert isinstance(config.evaluator, BlockwiseSection)
    return config.evaluator.teacher


def _own_splits(space: SearchSpace) -> tuple[str, ...]:
    """The last layers of the blocks: our own teacher has the student's layers, and none that passes its input on."""
    _, there = resolve_variants(largest_architecture(space), space)
    return tuple(f"layers.{stop - 1}" for _, stop in there.blocks)


def _teacher_name(section: TeacherSection) -> str:
    return repr(section.model or section.weights) if section.model or section.weights else "the tool's own teacher"


# -- the network ------------------------------------------------------------------------------------------------------


def prepare_teacher(config: StudyConfig, space: SearchSpace, context: FitContext) -> Teacher:
    """The configuration's teacher, trained where none is given, for the blocks of ``space``, the run's first.

    Raises:
        EvoError: as ``teacher_stages`` and ``Teacher.network`` do.
    """
    section, images = teacher_section(config), load_dataset(config.data, config.device)
    splits = teacher_stages(config, space)
    named = named_weights(section) if section.is_given else _train_teacher(config, space, context)
    teacher = _teacher_of(section, named, splits, images, space.stem.c_in)
    if section.model is not None:
        teacher.network()  # what cannot be had is told before anything is trained, and fetched once for all workers
    return teacher


def given_teacher(config: StudyConfig, images: Images) -> Teacher:
    """The teacher that the configuration names, for ``images``, of which nothing but its classes is wanted.

    Raises:
        EvoError: its file is missing.
    """
    section = teacher_section(config)
    return _teacher_of(section, named_weights(section), {}, images, images.channels)


def named_weights(section: TeacherSection) -> Path | str:
    """Where the weights are that ``section`` names; a name that torchvision knows, where they are published."""
    return _weights_file(section) or str(section.weights)


def _teacher_of(
    section: TeacherSection, named: Path | str, splits: Mapping[str, FeatureMapShape], images: Images, channels: int
) -> Teacher:
    """The teacher whose weights are ``named``, for normalised ``images``."""
    content = file_hash(file) if (file := weights_of(named)) else str(named)
    normalised = _normalisation(section, channels)
    facts = (section.model, content, *([normalised] if normalised else ()))
    identity = sha256(repr(facts).encode()).hexdigest()
    stages = tuple(splits), tuple(splits.values())
    return Teacher(section.model, named, *stages, identity, images.mean, images.std, normalised)


def weights_of(named: Path | str) -> Path | None:
    """The file of the weights ``named``, which may be a folder's; None: they are published ones, by their name."""
    file = Path(named)
    file = file / network_folder.WEIGHTS if file.is_dir() else file
    return file if file.is_file() else None


def largest_architecture(space: SearchSpace) -> Architecture:
    """The architecture that carries each layer's candidate of most MACs (the first of them), in a block's row of most."""
    layers = cost_table(space).layers

    def dearest_of(i: int, row: Op = "") -> tuple[str, float]:
        """The candidate of layer ``i``, in a row where its block has rows, and its MACs."""
        genes = [gene for gene in layers[i].genes if gene.startswith(f"{row}/")] if row else layers[i].layer.candidates
        costs = [float(layers[i].cost_of(gene)[0]) for gene in genes]
        return genes[int(np.argmax(costs))], max(costs)

    genes = [dearest_of(i)[0] for i in range(len(layers)) if space.variant_of(i) is None]
    for block in space.variant_blocks:
        inside = range(block.start + 1, block.stop)
        rows = {row: [dearest_of(i, row) for i in inside] for row in block.variants}
        row = max(rows, key=lambda row: sum(macs for _, macs in rows[row]))
        genes[block.start : block.start] = [row, *(gene for gene, _ in rows[row])]
    return space.from_qualified_genes(tuple(genes))


def _train_teacher(config: StudyConfig, space: SearchSpace, context: FitContext) -> Path:
    """The file of our own teacher, for all runs; its name tells all that its weights depend on. Earlier versions kept it in the
    run's folder, where it stays."""
    section, data = teacher_section(config), config.data
    settings = section.model_copy(update={"splits": ()})
    named = {
        "space": space, "settings": settings, "data": data, "device": config.device, "seed": config.seed,
        "sources": context.sources, "precision": config.precision,
    }  # fmt: skip
    digest, earlier = identity("teacher", 1, **named), earlier_identity("teacher", 1, **named)
    facts = space.to_json(), settings, data, config.device, config.seed
    before = legacy_digest(*facts) if context.legacy else None
    own = weights_path(context.folder, "teacher-{}.safetensors", digest, before, earlier=earlier)
    path = library_path(context.open_library(), "teacher-v1-{}.safetensors", digest, earlier)
    if (found := first_intact(own, path)) is not None:
        return found
    seed = derive_seed(config.seed, "teacher")
    torch.manual_seed(seed)
    arch, there = resolve_variants(largest_architecture(space), space)
    wide = scale_widths(there, section.width)
    network = Network(arch, wide)
    progress, draft = own.with_suffix(".progress"), context.folder / path.name
    train(
        network,
        load_dataset(data, config.device).train,
        schedule_of(section, data, 1),
        seed=seed,
        checkpoint=progress,
        track=context.track,
        label="training the teacher",
        group=context.group,
        precision=precision_of(config),
    )
    write_checkpoint(network.state_dict(), draft, {"space": wide.to_json(), "arch": str(arch)})
    share_checkpoint(draft, path)
    delete_progress(progress)
    return path


def meta_network(config: StudyConfig, space: SearchSpace) -> nn.Module:
    """The teacher's network without any numbers: enough to ask for shapes."""
    section = teacher_section(config)
    if section.is_given:
        return given_network(section).to("meta")
    arch, there = resolve_variants(largest_architecture(space), space)
    return Network(arch, scale_widths(there, section.width)).eval().to("meta")


def given_network(section: TeacherSection) -> nn.Module:
    """The network that ``section`` names, with whatever weights.

    Raises:
        EvoError: there is none.
    """
    return _untrained_torchvision(section.model) if section.model else _build_described(_require_weights_file(section))


def _untrained_torchvision(model: str) -> nn.Module:
    try:
        network: nn.Module = torchvision_shim.torchvision.models.get_model(model, weights=None)
    except ValueError:
        near = [
            name
            for name in torchvision_shim.torchvision.models.list_models()
            if name.split("_")[0] == model.split("_")[0]
        ]
        raise EvoError(
            f"evaluator.teacher.model is {model!r}, which torchvision does not have; "
            f"{'near it' if near else 'e.g.'}: {', '.join(near or ('efficientnet_b7', 'resnet50'))}"
        ) from None
    return network.eval()


def _torchvision_model(model: str, weights: Path | str) -> nn.Module:
    """A model of torchvision with weights from a file, or from the net."""
    if Path(weights).is_file():
        network = _untrained_torchvision(model)
        _load_weights(network, Path(weights))
        return network
    try:
        downloaded: nn.Module = torchvision_shim.torchvision.models.get_model(model, weights=weights)
    except (OSError, RuntimeError) as error:
        raise EvoError(
            f"evaluator.teacher.weights {weights!r} of {model!r} could not be downloaded ({error}): save its state_dict as "
            "a safetensors file where there is a network, and give the file's path"
        ) from None
    return downloaded


def _normalisation(section: TeacherSection, channels: int) -> Moments | None:
    """What a model of torchvision wants images normalised by: as configured, or as its weights say; None for our own.

    Raises:
        EvoError: they do not say it, or not for so many channels.
    """
    if section.model is None:
        return None
    mean, std = section.mean, section.std
    known = torchvision_shim.torchvision.models.get_model_weights(section.model)
    name = section.weights if section.weights in known.__members__ else "DEFAULT"
    if not mean and name in known.__members__:
        transforms = known[name].transforms()
        mean, std = tuple(getattr(transforms, "mean", ())), tuple(getattr(transforms, "std", ()))
    if not len(mean) == len(std) == channels:
        raise EvoError(
            f"images of {channels} channels are to be normalised for {section.model!r} by {len(mean)} means and {len(std)} "
            "standard deviations: give evaluator.teacher.mean and evaluator.teacher.std, one number per channel each"
        )
    return mean, std


def _weights_file(section: TeacherSection) -> Path | None:
    """The file, or a delivered network's folder, that ``weights`` names; None where it is one of torchvision's names.

    Raises:
        EvoError: it is neither.
    """
    assert section.weights is not None
    ours = section.model is None
    path = next((path for path in candidate_paths(section.weights) if path.is_file() or (ours and path.is_dir())), None)
    if path is None and section.model is not None:
        known = [weight.name for weight in torchvision_shim.torchvision.models.get_model_weights(section.model)]
        if section.weights not in ("DEFAULT", *known):
            raise EvoError(
                f"evaluator.teacher.weights is {section.weights!r}: no such file, and torchvision's for {section.model!r} "
                f"are DEFAULT, {', '.join(known)}"
            )
    return path


def _require_weights_file(section: TeacherSection) -> Path:
    path = _weights_file(section)
    if path is None:
        raise EvoError(
            f"evaluator.teacher.weights is {section.weights!r}: no such file, and no evaluator.teacher.model to load"
        )
    return path


def _build_described(path: Path) -> Network:
    """The network that a file of ours tells of, with fresh weights; that of a delivered folder with its own."""
    try:
        if path.is_dir():
            return network_folder.load_network(path)
        return Network(*_read_architecture(path)).eval()
    except (KeyError, TypeError, ValueError) as error:
        raise EvoError(
            f"evaluator.teacher.weights is {str(path)!r}, in which this tool has kept no teacher ({error!r}): name the "
            "torchvision model that they belong to as evaluator.teacher.model, or give a file teacher-....safetensors or a "
            "folder that python -m evo.deliver made"
        ) from None


def architecture_of(teacher: Teacher) -> tuple[Architecture, SearchSpace] | None:
    """The architecture of a network of ours; None: it is a model of torchvision."""
    return _read_architecture(Path(teacher.weights)) if teacher.model is None else None


def _read_architecture(path: Path) -> tuple[Architecture, SearchSpace]:
    """What a file of ours, or a delivered folder, says of its network."""
    if path.is_dir():
        said = json.loads((path / network_folder.DESCRIPTION).read_text(encoding="utf-8"))
        return Architecture.parse(said["arch"]), SearchSpace.from_json(json.dumps(said["space"]))
    _, facts = weights.read_weights(path)
    return Architecture.parse(facts["arch"]), SearchSpace.from_json(facts["space"])


def _load_own(path: Path) -> Network:
    network = _build_described(path)
    if path.is_file():
        _load_weights(network, path)
    return network


def _load_weights(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(weights.read_weights(path)[0])
    except (ValueError, RuntimeError) as error:
        raise EvoError(
            f"evaluator.teacher.weights is {str(path)!r}, which does not fit the model: {str(error).splitlines()[0]}"
        ) from None
