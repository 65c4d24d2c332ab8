"""A delivered network: a folder with ``architecture.json``, ``model.safetensors`` and the same network in other forms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spaces.architecture import Architecture
from spaces.errors import SpaceError
from spaces.files.weights import read_weights
from spaces.networks.modules import Normalise
from spaces.networks.network import Network
from spaces.space import SearchSpace, resolve_variants

DESCRIPTION, WEIGHTS = "architecture.json", "model.safetensors"


def describe_network(
    arch: Architecture, space: SearchSpace, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Any]:
    """The part of ``architecture.json`` that rebuilds the network: what ``build_described`` reads."""
    return {
        "arch": str(arch),
        "space": json.loads(space.restrict_to(arch).to_json()),
        "preprocessing": {
            "images": "floats from 0 to 1; the network itself subtracts mean and divides by std",
            "channels": space.stem.c_in,
            "size": resolve_variants(arch, space)[1].stem.size,
            "mean": list(mean),
            "std": list(std),
        },
    }


def build_described(description: dict[str, Any]) -> Network:
    """The network that ``describe_network`` tells of, with fresh weights."""
    space = SearchSpace.from_json(json.dumps(description["space"]))
    preprocessing = description["preprocessing"]
    return Network(
        Architecture.parse(description["arch"]),
        space,
        Normalise(preprocessing["mean"], preprocessing["std"]),
        description.get("classes", ()),
    )


def load_network(folder: str | Path) -> Network:
    """The trained network in a delivered folder, in evaluation mode, on the CPU.

    Images are floats from 0 to 1, ``(n, channels, height, width)``; its layers are ``network.layers[i]``, and what score ``i``
    is about is called ``network.classes[i]``.

    Raises:
        SpaceError: the folder holds no delivered network, or not the weights of the one it describes.
    """
    folder = Path(folder)
    missing = [name for name in (DESCRIPTION, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise SpaceError(
            f"{folder} has no {' and no '.join(missing)}: expected the folder that python -m evo.deliver RUN made"
        )
    own: list[str] = []
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        own = list(description.get("plugins", ()))
        network = build_described(description)
        network.load_state_dict(read_weights(folder / WEIGHTS)[0])
    except (AttributeError, KeyError, TypeError, RuntimeError, ValueError) as error:
        hint = f"; it rests on {', '.join(own)}: evo.load_plugin(PATH) first" if own else ""
        raise SpaceError(f"{folder} holds no network that can be loaded: {str(error).splitlines()[0]}{hint}") from error
    return network.eval()
