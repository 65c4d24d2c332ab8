"""How much memory there is where a run computes."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from evo.data.loading import resolve_device
from evo.system_memory import system_memory
from studies.records import EvoError

UNITS = {"mb": 10**6, "gb": 10**9, "tb": 10**12, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


@dataclass(frozen=True)
class Machine:
    """A device, by its ``name``, and its bytes of memory; ``given``: by the user, for another machine."""

    name: str
    memory: int
    given: bool = False


def machine_of(device: str) -> Machine | None:
    """The device that a configuration's word means here: a GPU, or the CPU with the memory that this process may use; None:
    nobody knows how much that is."""
    found = resolve_device(device)
    if found.type == "cuda":
        properties = torch.cuda.get_device_properties(found)
        return Machine(str(properties.name), int(properties.total_memory))
    memory = system_memory()
    return None if memory is None else Machine("this machine", memory)


def parse_memory(text: str) -> int:
    """Bytes: ``80GB``, ``24 GiB``, ``512MB``.

    Raises:
        EvoError: it is no such text.
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([kmgt]i?b)", text.strip().lower())
    if match is None or match[2] not in UNITS or not float(match[1]):
        raise EvoError(f"memory is {text!r}: expected a number and a unit, such as 80GB, 24GiB or 512MB")
    return int(float(match[1]) * UNITS[match[2]])


def format_memory(size: float) -> str:
    """``68.3 GB``, ``12 MB``."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"
