"""What a delivered network does: its accuracy on the test images, or whom it agrees with, and how long an image takes."""

from __future__ import annotations

import platform
from dataclasses import asdict, replace
from functools import partial

import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from evo.alone.teacher import Teacher
from evo.alone.trainer import Trainer
from evo.data.source import Images
from evo.deliver.manifest import Description
from evo.evaluators.cuts.agreement import measure_agreement
from spaces.latency.measure import MeasurementSetting, measure_module
from spaces.layer import Shape
from spaces.networks.modules import resize_images
from spaces.size import Size, as_size
from spaces.space import SearchSpace
from studies.config import StudyConfig


def image_size(description: Description) -> Size:
    """The pixels of the images that a folder's network takes."""
    return as_size(description["preprocessing"]["size"])


def measure_on_test(network: nn.Module, size: Size, trainer: Trainer) -> Description:
    """Accuracy on the test images, or agreement with the teacher where they have no labels; the network takes ``size``. All of
    it in fp32, as the network's files compute."""
    if trainer.config.data.labels is not False:
        return test_accuracy(network, size, trainer.images, trainer.config.deliver.batch_size)
    assert trainer.teacher is not None
    teacher = replace(trainer.teacher, precision="fp32")
    return test_agreement(network, size, teacher, trainer.images, trainer.config)


def test_agreement(
    network: nn.Module, size: Size, teacher: Teacher, images: Images, config: StudyConfig
) -> Description:
    """On how many of the test images, which nothing has looked at before, the network gives the teacher's class, as a share;
    and the divergence of its probabilities from the teacher's, in nats, lower is better."""
    scores = partial(_scores_of_normalised, network.to(images.test.device), images, size)
    same, divergence = measure_agreement(scores, teacher, images.test, config.deliver.batch_size)
    network.cpu()
    return {"agreement": same / len(images.test), **_interval(same, len(images.test)), "divergence": divergence}


def _scores_of_normalised(network: nn.Module, images: Images, size: Size, x: Tensor) -> Tensor:
    """Scores of images as the data set gives them, by a network that takes floats from 0 to 1 and ``size`` pixels."""
    mean, std = (torch.tensor(values, device=x.device).float().view(-1, 1, 1) for values in (images.mean, images.std))
    scores: Tensor = network(resize_images(x * std + mean, size))
    return scores


def _interval(right: int, images: int) -> Description:
    """The 95 % interval of a share, inside [0, 1], also near its ends."""
    found = binomtest(right, images).proportion_ci(0.95, "wilson")
    return {"low": float(found.low), "high": float(found.high), "images": images}


def test_accuracy(network: nn.Module, size: Size, images: Images, batch_size: int) -> Description:
    """Accuracy on the test images, which nothing has looked at before; as floats from 0 to 1, as the network takes them."""
    of = partial(_scores_of_normalised, network.to(images.test.device), images, size)
    with torch.inference_mode():
        scores = torch.cat([of(x) for x, _ in images.test.batches(batch_size)])
    right = int((scores.argmax(1) == images.test.y).sum())
    network.cpu()
    return {
        "accuracy": right / len(images.test),
        **_interval(right, len(images.test)),
        "nll": float(nn.functional.cross_entropy(scores, images.test.y)),
    }


def measure_form(form: nn.Module, space: SearchSpace, size: Size, trainer: Trainer) -> Description:
    """Latency of a form of the network, and its accuracy or agreement on the test images, by running its file."""
    tested = measure_on_test(form, size, trainer)
    noun = "accuracy" if "accuracy" in tested else "agreement"
    return {"latency": measure_latency(form, space, size, trainer.config.threads), noun: tested[noun]}


def measure_latency(network: nn.Module, space: SearchSpace, size: Size, threads: int) -> Description:
    """Milliseconds for one image of ``size`` pixels, here and now."""
    setting = MeasurementSetting(repeats=50, device="cpu", batch=1, threads=threads)
    median, spread = measure_module(network, Shape(space.stem.c_in, space.head.classes, 1, size), setting)
    return {"ms": median, "iqr_ms": spread, "machine": platform.machine(), **asdict(setting)}
