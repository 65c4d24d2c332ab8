"""The classes of a teacher: what networks tell apart that learn from it, where images have no labels."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor, nn

from evo.evaluators.blockwise.teacher import given_network, named_weights, teacher_section, weights_of
from spaces import torchvision_shim
from spaces.networks.network import Network
from studies.config import StudyConfig, TeacherSection
from studies.records import EvoError

PIXELS = 224
"""Of the image that a model of torchvision is asked with; all of them take it."""


def classes_of_teacher(config: StudyConfig) -> tuple[str, ...]:
    """The classes of the teacher that the configuration names, in the order of its scores; without names their numbers.

    Raises:
        EvoError: there is no such network, or it gives no scores of classes.
    """
    section = teacher_section(config)
    network = given_network(section)
    if isinstance(network, Network):
        count, names = last_width(network), network.classes
    else:
        count, names = count_scores(network, str(section.model)), published_names(section)
    return names if len(names) == count else tuple(map(str, range(count)))


def last_width(network: nn.Module) -> int:
    """Outputs of the last linear layer."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1].out_features


def count_scores(network: nn.Module, name: str) -> int:
    """How many scores a model of torchvision gives an image; nothing is computed.

    Raises:
        EvoError: it gives something else.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    given = None
    if first is not None:
        with suppress(TypeError):  # it takes something else than an image, as models of optical flow do
            given = network.to("meta")(torch.empty(1, first.in_channels, PIXELS, PIXELS, device="meta"))
    if not isinstance(given, Tensor) or given.ndim != 2:
        raise EvoError(
            f"the images have no labels, and evaluator.teacher.model {name!r} gives no scores of classes that networks could "
            "learn: expected a classifier, e.g. efficientnet_b7"
        )
    return int(given.shape[1])


def published_names(section: TeacherSection) -> tuple[str, ...]:
    """What torchvision calls the classes of its published weights; empty: the weights are a file's, which does not say."""
    if weights_of(named := named_weights(section)) is not None:
        return ()
    published = torchvision_shim.torchvision.models.get_model_weights(section.model)[str(named)]
    return tuple(published.meta.get("categories", ()))
