"""The images on which networks of a run are trained alone: do they fit it, and how are they changed in training?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evo.data.source import Images
from spaces.size import size_text
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import EvoError


def with_augmentation(config: StudyConfig) -> StudyConfig:
    """The same settings, with the random changes of images said in ``deliver``, where they are those of the data."""
    if config.deliver.augment is not None:
        return config
    return config.model_copy(update={"deliver": config.deliver.model_copy(update={"augment": config.data.augment})})


def taught_without_labels(config: StudyConfig) -> StudyConfig:
    """The same settings, with a network of the run's as the only teacher where images have no labels: the whole one of which
    cuts are made, or the one that blocks imitate."""
    if config.data.labels is not False:
        return config
    taught = config.deliver.model_copy(update={"teacher": config.evaluator.teaches, "teacher_share": 1.0})
    return config.model_copy(update={"deliver": taught})


def require_fitting_images(images: Images, space: SearchSpace, classes: Sequence[str] | None = None) -> Images:
    """``images`` themselves, when the space's networks take them; without labels, with the names of the run's classes.

    Args:
        classes: the names of the run's classes, in the order of its labels; None: it knows none.

    Raises:
        EvoError: they do not.
    """
    if not images.class_names:
        images = replace(images, class_names=tuple(classes or map(str, range(space.head.classes))))
    have = (images.channels, images.size, images.classes)
    wanted = (space.stem.c_in, space.stem.size, space.head.classes)
    if have != wanted:
        raise EvoError(
            f"the images are {have[0]} x {size_text(have[1])} in {have[2]} classes, and {space.name!r} is made for "
            f"{wanted[0]} x {size_text(wanted[1])} in {wanted[2]}: name the data with --set data.name=... "
            "--set data.path=..., and their size with --set data.size=..."
        )
    if classes is not None and (label := differing_class(classes, images.class_names)) is not None:
        raise EvoError(
            f"class {label} of the images is {images.class_names[label]!r}, and the run was searched with {classes[label]!r}: "
            f"expected the classes {', '.join(classes)}; name the run's data with --set data.path=..., or search these with "
            "another run"
        )
    return images


def differing_class(known: Sequence[str], found: Sequence[str]) -> int | None:
    """The first of as many classes that has another name; None: all are alike, or one side has no names."""
    if not (_are_names(known) and _are_names(found)):
        return None
    return next((label for label, (one, other) in enumerate(zip(known, found, strict=False)) if one != other), None)


def _are_names(classes: Sequence[str]) -> bool:
    """Whether classes have names; where they have none there are none, or they are called by their numbers."""
    return list(classes) != list(map(str, range(len(classes))))
