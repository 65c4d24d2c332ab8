"""What torch has to know of the pretended device: its name, and whether it is there."""

from __future__ import annotations

import torch
from torch.utils import backend_registration

NAME = "pretend"


class DeviceModule:
    """The module ``torch.pretend``: what ``torch.cuda`` is for CUDA, as far as torch asks for it.

    Attributes:
        seeds: all that the device's global generator was seeded with.
        present: whether there is a device: only while a test has it.
    """

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.present = False

    def is_available(self) -> bool:
        return self.present

    def is_initialized(self) -> bool:
        return self.present

    def device_count(self) -> int:
        return int(self.present)

    def current_device(self) -> int:
        return 0

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        self.seeds.append(seed)


MODULE = DeviceModule()


class DeviceHooks(torch._C._acc.PrivateUse1Hooks):  # type: ignore[name-defined,misc]
    """What torch asks below Python: without a test that has the device, there is none."""

    def is_available(self) -> bool:
        return MODULE.present

    def has_primary_context(self, device: int) -> bool:
        return MODULE.present

    def is_built(self) -> bool:
        return True


backend_registration._setup_privateuseone_for_python_backend(NAME, MODULE, DeviceHooks())

DEVICE = torch.device(NAME, 0)
"""The pretended device."""
