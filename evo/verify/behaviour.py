"""What a delivered network does: are the images those that it was tested on, does it do as well on them, is it as fast?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from evo.data.fingerprint import hash_images
from evo.data.loading import load_dataset
from evo.data.source import Images
from evo.deliver.manifest import Description
from evo.deliver.measuring import image_size, measure_latency, test_accuracy
from evo.deliver.model_card import noun_of
from evo.verify.files import SHORT
from evo.verify.finding import Finding
from spaces.errors import UserError
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import StudyConfig

ROUNDING = 0.002
"""The share of images, and at least one of them, that another machine may decide otherwise, for it adds floats in another
order."""

SLOWER = 1.25
"""How many times as long an image may take before that is called slower, where the measurements' spreads do not explain it."""


def check_images(description: Description, config: StudyConfig) -> Iterator[Finding]:
    """The images that the settings name: whether they are those of the delivery, and the accuracy on those to test by."""
    try:
        found = hash_images(config.data)
        load_dataset(config.data, config.device)
    except UserError as error:
        yield Finding("data", "not checked", f"{str(error).splitlines()[0]} (--set data.path=FOLDER names others)")
        return
    expected = description.get("data_sha256")
    if expected is None:
        yield Finding("data", "not checked", "this folder's version did not note down which images they were")
    elif found == expected:
        yield Finding("data", "same", f"the images have the fingerprint {found[:SHORT]}, as in the delivery")
    else:
        yield Finding(
            "data",
            "differs",
            f"the images have the fingerprint {found[:SHORT]}, those of the delivery {expected[:SHORT]}",
        )


def check_accuracy(description: Description, config: StudyConfig, network: Network, known_images: bool) -> Finding:
    """The accuracy on the test images that the settings name, beside the recorded one.

    Args:
        known_images: whether they are those of the delivery; on others nothing can be expected.
    """
    noun, recorded = noun_of(description), description["test"]
    if noun != "accuracy":
        return Finding(
            noun, "not checked", "the images have no labels, and whom it should agree with is not in the folder"
        )
    images = load_dataset(config.data, config.device)
    if problem := _misfit(description, images):
        return Finding(noun, "differs", problem)
    found = test_accuracy(network, image_size(description), images, config.deliver.batch_size)
    said = f"{found['accuracy']:.2%} of {found['images']:,} test images ({found['low']:.2%} to {found['high']:.2%})"
    was = f"{recorded['accuracy']:.2%} of {recorded['images']:,}"
    if not known_images:
        return Finding(noun, "not checked", f"{said}; recorded on others: {was}")
    others = abs(round(found["accuracy"] * found["images"]) - round(recorded["accuracy"] * recorded["images"]))
    if not others:
        return Finding(noun, "same", said)
    close = found["images"] == recorded["images"] and others <= max(1, ROUNDING * found["images"])
    return Finding(noun, "same" if close else "differs", f"{said}; recorded: {was}")


def _misfit(description: Description, images: Images) -> str | None:
    """Why a network cannot be measured on images; None: it can."""
    channels, classes = description["preprocessing"]["channels"], description["classes"]
    if images.channels != channels:
        return f"the images have {images.channels} channels, and the network takes {channels}"
    if list(images.class_names) != list(classes):
        there, own = (f"{len(names)} classes ({_few(names)})" for names in (images.class_names, classes))
        return f"the images have {there}, and the network {own}"
    return None


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def check_latency(description: Description, network: Network) -> Finding:
    """Milliseconds for one image, here and now, beside the recorded ones."""
    recorded, space = description["latency"], SearchSpace.from_json(json.dumps(description["space"]))
    found = measure_latency(network, space, image_size(description), recorded["threads"])
    ratio, spread = found["ms"] / recorded["ms"], found["iqr_ms"] + recorded["iqr_ms"]
    said = f"{found['ms']:.2f} ms for one image ({found['machine']}), recorded: {recorded['ms']:.2f} ms ({recorded['machine']})"
    if ratio > SLOWER and found["ms"] - recorded["ms"] > 2 * spread:
        return Finding("latency", "slower", f"{said}: {ratio:.1f} times slower")
    if 1 / ratio > SLOWER and recorded["ms"] - found["ms"] > 2 * spread:
        return Finding("latency", "same", f"{said}: {1 / ratio:.1f} times faster")
    return Finding("latency", "same", said)
