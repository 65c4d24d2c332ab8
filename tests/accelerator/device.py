"""The pretended device: tensors that say they lie on it, and are computed on the CPU.

It takes torch's place for backends in Python, PrivateUse1, so autograd, optimisers and modules are torch's own, and results are
the CPU's, bit for bit. What a GPU refuses raises ``MixedDevicesError``; what makes a program wait for a GPU is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from tests.accelerator.backend import DEVICE, MODULE
from tests.accelerator.generators import DeviceGenerator, is_of_device
from tests.accelerator.places import running_line

Wait = tuple[str, str]
"""Why the program waited, and the line that asked: ``read`` a value; ``up``, ``down`` a copy of what is not page-locked;
``size`` a result whose size depends on values."""

READS = {"_local_scalar_dense", "is_nonzero", "equal"}
UNSIZED = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}


class MixedDevicesError(RuntimeError):
    """What a GPU would refuse: tensors of several devices in one operation, or a generator of another device."""


class DeviceTensor(Tensor):
    """A tensor on the pretended device.

    Attributes:
        values: the tensor on the CPU that holds its numbers.
    """

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> DeviceTensor:
        made = Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            layout=values.layout, device=DEVICE,
        )  # fmt: skip
        made.values = values
        return made

    def __init__(self, values: Tensor) -> None: ...

    def __repr__(self) -> str:  # type: ignore[override]
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"

    def tolist(self) -> Any:
        PretendedDevice.current().count("read")
        return self.values.tolist()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """With this, ``nn.Module.to`` leaves parameters the objects that they are, as for a GPU."""
        return ["values"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], *_: Any) -> DeviceTensor:
        return DeviceTensor(inner["values"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return PretendedDevice.current().run(func, args, kwargs or {})


class PretendedDevice(TorchDispatchMode):
    """The device is there while this is entered.

    Attributes:
        waits: how often the program waited for the device, by reason and line.
    """

    active: PretendedDevice | None = None

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[Wait] = Counter()

    @classmethod
    def current(cls) -> PretendedDevice:
        assert cls.active is not None, "a tensor of the pretended device is used while there is none"
        return cls.active

    def __enter__(self) -> PretendedDevice:
        _register_kernels()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(torch, "Generator", DeviceGenerator)
        self.patch.setattr(torch, "inference_mode", lambda mode=True: torch.no_grad() if mode else nullcontext())
        self.patch.setattr(Tensor, "pin_memory", _page_locked)
        self.lifted = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # else torch.tensor(..., device=...) is made out of sight
        PretendedDevice.active, MODULE.present = self, True
        MODULE.seeds.clear()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        PretendedDevice.active, MODULE.present = None, False
        torch._C._set_only_lift_cpu_tensors(self.lifted)
        self.patch.undo()

    def count(self, why: str, times: int = 1) -> None:
        if times:
            self.waits[why, running_line()] += times

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.run(func, args, kwargs or {})

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Refuse it, or count what it waits for and compute it on the CPU."""
        flat = list(_leaves((*args, *kwargs.values())))
        here = [each for each in flat if isinstance(each, DeviceTensor)]
        asked = kwargs.get("device")
        made_here = bool(here) if asked is None else torch.device(asked).type == DEVICE.type
        _check_generators(func, flat, made_here)
        if not here and not made_here:
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name == "_to_copy" and asked is not None:
            self._count_copy(args[0], made_here, kwargs.get("non_blocking", False))
        elif name == "copy_":
            self._count_copy(args[1], isinstance(args[0], DeviceTensor), (*args[2:3], kwargs.get("non_blocking"))[0])
        elif name in INDEXED:
            self._count_indices(func, args, flat)
        else:
            self.count("read", name in READS)
            self.count("size", name in UNSIZED)
            _check_tensors(func, name, flat)
        given = func(*_mapped(_on_cpu, args), **{word: _mapped(_on_cpu, each) for word, each in kwargs.items()})
        if name in READS or (name == "_to_copy" and not made_here):
            return given
        if name == "copy_" and not isinstance(args[0], DeviceTensor):
            return args[0]
        known = {id(each.values): each for each in here}
        out = _mapped(lambda each: _on_device(each, known) if isinstance(each, Tensor) else each, given)
        return return_and_correct_aliasing(func, args, kwargs, out) if here and _aliases(func) else out

    def _count_copy(self, source: Tensor, up: bool, non_blocking: bool) -> None:
        """Only what is page-locked goes up while the program goes on; what comes down is waited for."""
        if isinstance(source, DeviceTensor) != up:
            waits = not up or not (non_blocking and hasattr(source, "page_locked"))
            self.count("up" if up else "down", waits)

    def _count_indices(self, func: Any, args: Any, flat: Any) -> None:
        indices = [each for each in args[1] if isinstance(each, Tensor)]
        masks = sum(index.dtype in (torch.bool, torch.uint8) for index in indices)
        filled = len(indices) == 1 and len(args) > 2 and args[2].numel() == 1  # what is masked gets one value
        self.count("size", 0 if filled else masks)
        self.count("up", sum(not isinstance(index, DeviceTensor) for index in indices))
        _check_tensors(func, "index", [each for each in flat if not any(each is index for index in indices)])


@cache
def _aliases(func: Any) -> bool:
    """Whether an operation gives what it was given, or a view of it."""
    return any(argument.alias_info is not None for argument in func._schema.arguments)


def _leaves(given: Any) -> Iterator[Any]:
    """What an operation is given, lists taken apart."""
    for each in given:
        if isinstance(each, (list, tuple)):
            yield from _leaves(each)
        else:
            yield each


def _mapped(change: Callable[[Any], Any], given: Any) -> Any:
    return type(given)([_mapped(change, each) for each in given]) if type(given) in (list, tuple) else change(given)


def _check_generators(func: Any, flat: list[Any], on_device: bool) -> None:
    for generator in (each for each in flat if isinstance(each, torch._C.Generator)):
        if is_of_device(generator) != on_device:
            raise MixedDevicesError(f"{func} has a generator of another device, at {running_line()}")


def _check_tensors(func: Any, name: str, flat: list[Any]) -> None:
    """A number that is a tensor on the CPU may stand beside tensors of a GPU; nothing else may."""
    others = [each for each in flat if isinstance(each, Tensor) and not isinstance(each, DeviceTensor)]
    numbers = torch.Tag.pointwise in func.tags or name.startswith("_foreach") or name == "index"
    if not all(numbers and each.ndim == 0 for each in others):
        raise MixedDevicesError(f"{func} has tensors of several devices, at {running_line()}")


def _on_cpu(given: Any) -> Any:
    if isinstance(given, DeviceTensor):
        return given.values
    return torch.device("cpu") if isinstance(given, torch.device) else given


def _on_device(values: Tensor, known: dict[int, DeviceTensor]) -> DeviceTensor:
    """A result: one of the tensors that were given, where it was changed in place."""
    same = known.get(id(values))
    return DeviceTensor(values) if same is None else same


def _page_locked(tensor: Tensor, device: Any = None) -> Tensor:
    """``Tensor.pin_memory``: torch itself would need a real device for it."""
    assert not isinstance(tensor, DeviceTensor), "only memory of the CPU can be page-locked"
    copy = tensor.detach().clone(memory_format=torch.preserve_format)
    copy.page_locked = True  # type: ignore[attr-defined]
    return copy


# -- what torch makes without asking any mode: a list as an index ------------------------------------------------------


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return DeviceTensor(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _copy_from(source: Tensor, target: DeviceTensor, non_blocking: bool = False) -> Tensor:
    PretendedDevice.current().count("up")
    target.values.copy_(source)
    return target


def _silu_backward(*_: Any) -> Tensor:
    raise AssertionError("the mode computes it")


@cache
def _register_kernels() -> torch.library.Library:
    """Without a kernel of its own a device gets torch's formula for SiLU's gradient, which rounds otherwise than the CPU's."""
    kernels = torch.library.Library("aten", "IMPL")
    kernels.impl("empty_strided", _empty_strided, "PrivateUse1")
    kernels.impl("_copy_from", _copy_from, "PrivateUse1")
    kernels.impl("silu_backward", _silu_backward, "PrivateUse1")
    return kernels
