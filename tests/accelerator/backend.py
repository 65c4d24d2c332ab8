"""What torch has to know of the pretended device: its name, and whether it is there."""

from __future__ import annotations

import torch
from torch.utils import backend_registration

from tests.accelerator import autocast

NAME = "pretend"

DEVICE = torch.device("privateuseone", 0)
"""The pretended device; ``register`` gives it its name."""


class DeviceModule:
    """The module ``torch.pretend``: what ``torch.cuda`` is for CUDA, as far as torch asks for it.

    Attributes:
        seeds: all that the device's global generator was seeded with.
        present: whether there is a device: only while a test has it.
        autocast: what torch was told of ``torch.autocast`` there.
    """

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.present = False
        self.autocast: list[torch.library.Library] = []

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

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


MODULE = DeviceModule()


def why_not() -> str | None:
    """Why there can be no pretended device here; None: there can."""
    if torch.cuda.is_available():
        return "there is a real device, beside which torch would page-lock memory for the pretended one"
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        return f"torch {torch.__version__} takes no backends that are written in Python"
    return None


def register() -> None:
    """Tell torch of the device, for this process: before any gradient is computed, for autograd counts devices then."""

    class Hooks(torch._C._acc.PrivateUse1Hooks):  # type: ignore[name-defined,misc]
        """What torch asks below Python."""

        def is_available(self) -> bool:
            return MODULE.present

        def has_primary_context(self, device: int) -> bool:
            return MODULE.present

        def is_built(self) -> bool:
            return True

    backend_registration._setup_privateuseone_for_python_backend(NAME, MODULE, Hooks())
    MODULE.autocast = autocast.register()


if why_not() is None:
    register()
