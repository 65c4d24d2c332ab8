"""The trained network of a run: where it comes from, its space, the file that the run keeps of it, and weights out of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from evo.data.loading import load_dataset
from evo.data.paths import candidate_paths
from evo.data.source import Images
from evo.training.checkpoints import read_checkpoint, write_checkpoint
from spaces.export.scaling import scaled_size
from spaces.pretrained.cut_space import can_be_cut, space_of, whole_alone
from spaces.pretrained.networks import Pretrained, read_network
from spaces.pretrained.slices import first_weights, only_weights
from spaces.space import SearchSpace
from studies.config import CutsSection, StudyConfig
from studies.records import LayerChoice


def section_of(config: StudyConfig) -> CutsSection:
    assert isinstance(config.evaluator, CutsSection)
    return config.evaluator


def cuts_space(config: StudyConfig) -> SearchSpace:
    """The space of the configuration's network, for its images.

    Raises:
        SpaceError: there is no such network, or no file with its weights.
    """
    images, section, found = load_dataset(config.data, config.device), section_of(config), read_pretrained(config)
    space = space_of(
        found,
        channels=images.channels,
        size=images.size,
        classes=found.space.head.classes if config.data.labels is False else images.classes,
        shares=section.shares,
        smaller=[scaled_size(images.size, part) for part in section.resolutions],
        widths=section.widths,
        pool=section.pool.operations if section.pool else (),
    )
    if not (section.pool and section.pool.at_once):
        return space
    return space.replace_layers(
        replace(layer, candidates=layer.candidates + layer.pending, pending=()) for layer in space.layers
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
    section = section_of(config)
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
        made |= read_pool(pool)
    return first_weights(tuned, space, images.mean, images.std, section_of(config).importance, made)


def read_pool(file: Path) -> dict[LayerChoice, dict[str, Tensor]]:
    """The operations in a file of ``write_pool``: a layer's place in the network and the operation -> its weights."""
    tensors, facts = read_checkpoint(file)
    found: dict[LayerChoice, dict[str, Tensor]] = {(place, op): {} for place, op in facts["choices"]}
    choices = list(found)
    for path, tensor in tensors.items():
        number, _, name = path.partition("/")
        found[choices[int(number)]][name] = tensor
    return found


def write_pool(made: Mapping[LayerChoice, Mapping[str, Tensor]], file: Path) -> None:
    """Write operations that cannot be cut out of the network."""
    tensors = {f"{n}/{name}": tensor for n, weights in enumerate(made.values()) for name, tensor in weights.items()}
    write_checkpoint(tensors, file, {"choices": [list(choice) for choice in made]})


def made_choices(origin: SearchSpace, space: SearchSpace) -> list[LayerChoice]:
    """The candidates of ``space`` that cannot be cut out of the network; the place is that in the network itself."""
    behind = 1 if origin.input_sizes else 0
    return [
        (i, op)
        for i, (whole, layer) in enumerate(zip(origin.layers[behind:], space.layers[behind:], strict=True))
        for op in layer.candidates
        if not can_be_cut(whole.candidates[0], op, whole.shape)
    ]


def later_cuts(origin: SearchSpace, space: SearchSpace) -> SearchSpace | None:
    """The whole network, and beside it what ``space`` has that the first space had not; None: there is no such operation."""
    others = [
        tuple(op for op in here.candidates if op not in layer.candidates)
        for layer, here in zip(origin.layers, space.layers, strict=True)
    ]
    if not any(others):
        return None
    return origin.replace_layers(
        replace(layer, candidates=(layer.candidates[0], *ops), pending=())
        for layer, ops in zip(origin.layers, others, strict=True)
    )


def read_fine_tuned(config: StudyConfig, origin: SearchSpace, file: Path) -> Pretrained:
    """The fine-tuned network in ``file``, which is the whole one of the space ``origin``."""
    (arch, alone), (tensors, facts) = whole_alone(origin), read_checkpoint(file)
    weights = dict(only_weights(tensors))
    measured = {name: tensor for name, tensor in tensors.items() if name not in weights}
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    return Pretrained(section_of(config).network, alone, arch, weights, mean, std, measured=measured)
