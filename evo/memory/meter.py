"""The bytes of tensors that are alive, and the most there were; of tensors without numbers (device ``meta``), too.

Every operation of torch passes here, forward and backward, and every storage is counted until nobody holds it any more: what
autograd keeps for the backward pass is alive as it is in a real training. What an operation needs inside itself, and what a
library or an allocator keeps beside, is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


def _itself(x: Tensor, *_: Any) -> Tensor:
    return x


def _alike(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _normalised(x: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    training = others[4]
    mean, deviation = (x.new_empty(x.shape[1] if training else 0) for _ in range(2))
    return torch.empty_like(x), mean, deviation


def _unnormalised(gradient: Tensor, x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.shape[1]), x.new_empty(x.shape[1])


IN_PLACE = (
    aten.normal_.default, aten.uniform_.default, aten.fill_.Scalar, aten.zero_.default, aten.relu_.default,
    aten.hardtanh_.default, aten.add_.Tensor,
)  # fmt: skip
ONE_BY_ONE = (
    aten.relu.default, aten.hardtanh.default, aten.sigmoid.default, aten.silu.default, aten.threshold_backward.default,
    aten.hardtanh_backward.default, aten.sigmoid_backward.default, aten.silu_backward.default,
)  # fmt: skip

SHORT: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(IN_PLACE, _itself),
    **dict.fromkeys(ONE_BY_ONE, _alike),
    aten.native_batch_norm.default: _normalised,
    aten.native_batch_norm_backward.default: _unnormalised,
}
"""Operations that torch does for tensors without numbers in a millisecond or more, and how they are done at once."""

PAIRWISE = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)
"""The same, where the second is spread over the first."""


def _spreads(given: Any, x: Tensor) -> bool:
    """Whether ``given`` is a number, or a tensor that is spread over ``x``."""
    if not isinstance(given, Tensor):
        return x.is_floating_point()
    sides = zip(given.shape[::-1], x.shape[::-1], strict=False)
    return given.ndim <= x.ndim and given.dtype == x.dtype and all(mine in (1, theirs) for mine, theirs in sides)


class LiveBytes(TorchDispatchMode):
    """Counts, inside of ``with``, the storages of all tensors that operations give.

    Attributes:
        now: bytes that are alive; ``peak``: the most since the beginning, or since ``restart``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes seconds

    def restart(self) -> int:
        """Forget the peak; gives the bytes that are alive."""
        self.peak = self.now
        return self.now

    def watch(self, tensor: Tensor) -> None:
        """Count a tensor's storage, if it is not counted already, until nobody holds it."""
        storage = tensor.untyped_storage()
        if (key := storage._cdata) in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.now += self.sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key).atexit = False

    def _forget(self, key: int) -> None:
        self.now -= self.sizes.pop(key)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = self.run(func, args, kwargs or {})
        for tensor in _tensors(given):
            self.watch(tensor)
        return given

    def run(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What an operation gives."""
        return func(*args, **kwargs)


class WithoutNumbers(LiveBytes):  # type: ignore[no-untyped-call]
    """The same for tensors on the device ``meta``, which have no numbers: where the host asks for one it is told 1.

    What a program does must not depend on it but in what is computed; shapes, and so bytes, are those of a real step.
    """

    def run(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What an operation gives."""
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and first.is_meta:
            if func in SHORT:
                return SHORT[func](*args)
            if func in PAIRWISE and _spreads(args[1], first):
                return torch.empty_like(first)
            if func is aten._local_scalar_dense.default:
                return torch.ones((), dtype=first.dtype, device="cpu").item()
            if func is aten._to_copy.default and torch.device(kwargs.get("device") or "meta").type != "meta":
                return torch.ones(first.shape, dtype=kwargs.get("dtype") or first.dtype, device="cpu")
        if func is aten.copy_.default and first is not None and not first.is_meta and args[1].is_meta:
            return first
        return func(*args, **kwargs)


@contextmanager
def counting_without_numbers() -> Iterator[WithoutNumbers]:
    """Count what is done inside; torch's own generators are as before afterwards."""
    with torch.random.fork_rng(devices=[]), WithoutNumbers() as live:
        yield live


def byte_size(tensors: Iterator[Tensor]) -> int:
    """Bytes of some tensors that share nothing."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _tensors(given: Any) -> Iterator[Tensor]:
    """The tensors in what an operation gives."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, (tuple, list)):
        for part in given:
            yield from _tensors(part)
