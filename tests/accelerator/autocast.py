"""``torch.autocast`` on the pretended device: it computes in bfloat16 what it does on a CPU, so that results are the CPU's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

KEY = "AutocastPrivateUse1"

LOWERED = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
"""The operations of our networks that take and give bfloat16; all others take what they are given."""


def lowered(operation: Callable[..., Any]) -> Callable[..., Any]:
    """``operation`` on what it is given, in bfloat16."""
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, KEY))

    def kernel(*given: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operation(*map(_as_bfloat16, given))

    return kernel


def _as_bfloat16(given: Any) -> Any:
    return given.to(torch.bfloat16) if isinstance(given, Tensor) and given.dtype == torch.float32 else given


def register() -> list[torch.library.Library]:
    """Tell torch, for as long as what is given is kept."""
    others, own = torch.library.Library("_", "IMPL", KEY), torch.library.Library("aten", "IMPL", KEY)
    others.fallback(torch.library.fallthrough_kernel)
    for operation in LOWERED:
        own.impl(operation, lowered(operation))
    return [others, own]
