"""What can be built: architectures, spaces, operations, their costs and their networks."""

from __future__ import annotations

from spaces import _interrupts as _interrupts  # first: Ctrl-C may come at any moment

# isort: split

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from spaces.networks.network import Network

__all__ = [
    "architecture",
    "atomic_files",
    "columns",
    "costs",
    "errors",
    "export",
    "files",
    "latency",
    "layer",
    "library",
    "load_network",
    "networks",
    "operations",
    "pretrained",
    "shell",
    "show",
    "size",
    "space",
    "torchvision_shim",
    "units",
    "variants",
]


def load_network(folder: str | Path) -> Network:
    """The trained network in a folder that ``python -m evo.deliver`` made: see ``spaces.export.network_folder``."""
    from spaces.export import network_folder  # here, so that counting needs no torch

    return network_folder.load_network(folder)
