"""The pretended device refuses what a GPU refuses, counts what is waited for, and gives the CPU's numbers."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evo.data.augmentation import AUGMENTATIONS
from evo.transfer import to_device
from spaces.latency.measure import MeasurementSetting, measure_module
from spaces.layer import Shape
from tests.accelerator.backend import DEVICE, why_not
from tests.accelerator.device import MixedDevicesError, PretendedDevice, Wait
from tests.accelerator.steps import SYNCHRONISES, counted_synchronisations

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

REFUSED: dict[str, Callable[[Tensor], object]] = {
    "an addition": lambda x: x + torch.ones(4),
    "a convolution": lambda x: nn.Conv1d(1, 1, 1)(x.view(1, 1, 4)),
    "a loss": lambda x: nn.functional.mse_loss(x, torch.ones(4)),
    "a list of tensors": lambda x: torch.cat([x, torch.ones(4)]),
    "an index on the device, of a tensor that is not": lambda x: torch.ones(4)[x.long()],
    "a generator of the CPU": lambda x: torch.rand(3, generator=torch.Generator(), device=DEVICE),
    "a generator of the device": lambda x: torch.rand(3, generator=torch.Generator(DEVICE)),
}


@pytest.mark.parametrize("operation", REFUSED)
def test_what_a_gpu_refuses_is_refused(operation: str) -> None:
    with PretendedDevice():
        x = torch.ones(4, device=DEVICE)
        with pytest.raises(MixedDevicesError):
            REFUSED[operation](x)


def test_a_number_on_the_cpu_may_stand_beside_tensors_of_the_device() -> None:
    with PretendedDevice():
        assert (torch.ones(2, device=DEVICE) * torch.tensor(3.0)).tolist() == [3, 3]


WAITS: dict[str, tuple[Callable[[Tensor], object], dict[str, int]]] = {
    "a value": (lambda x: x[1].item(), {"read": 1}),
    "a float": (lambda x: float(x.sum()), {"read": 1}),
    "a list": (lambda x: x.tolist(), {"read": 1}),
    "a condition": (lambda x: bool(x[0] > 0), {"read": 1}),
    "a comparison": (lambda x: torch.equal(x, x + 1), {"read": 1}),
    "a copy to the CPU": (lambda x: x.cpu(), {"down": 1}),
    "a copy to the CPU that is not waited for": (lambda x: x.to("cpu", non_blocking=True), {"down": 1}),
    "a copy into a tensor of the CPU": (lambda x: torch.zeros(4).copy_(x), {"down": 1}),
    "a copy to the device": (lambda x: torch.ones(4).to(DEVICE), {"up": 1}),
    "a copy to the device from ordinary memory": (lambda x: torch.ones(4).to(DEVICE, non_blocking=True), {"up": 1}),
    "a tensor made of a list": (lambda x: torch.tensor([1.0, 2.0], device=DEVICE), {"up": 1}),
    "an index that is a tensor of the CPU": (lambda x: x[torch.tensor([1, 2])], {"up": 1}),
    "a mask": (lambda x: x[x > 1], {"size": 1}),
    "values for a mask": (lambda x: x.index_put_((x > 1,), x.new_ones(2)), {"size": 1}),
    "one value for a mask": (lambda x: x.index_put_((x > 1,), x.new_ones(())), {}),
    "places": (lambda x: x.nonzero(), {"size": 1}),
    "different values": (lambda x: x.unique(), {"size": 1}),
    "page-locked memory": (lambda x: torch.ones(4).pin_memory().to(DEVICE, non_blocking=True), {}),
    "page-locked memory that is waited for": (lambda x: torch.ones(4).pin_memory().to(DEVICE), {"up": 1}),
    "to_device": (lambda x: to_device(torch.ones(4), DEVICE), {}),
    "an index on the device": (lambda x: x[torch.arange(2, device=DEVICE)], {}),
    "one place": (lambda x: x[1].add_(1), {}),
    "a number": (lambda x: x.new_full((), 3.0) + 1, {}),
    "one-hot labels of known classes": (lambda x: nn.functional.one_hot(x.long(), 5), {}),
}


@pytest.mark.parametrize("asked", WAITS)
def test_what_makes_a_program_wait_is_counted(asked: str) -> None:
    with PretendedDevice() as device:
        x = torch.arange(4, device=DEVICE).float()
        before = Counter(device.waits)
        WAITS[asked][0](x)
    kinds = Counter[str]()
    for (kind, _), times in (device.waits - before).items():
        kinds[kind] += times
    assert dict(kinds) == WAITS[asked][1]


def test_a_list_as_an_index_is_sent_each_time() -> None:
    with PretendedDevice() as device:
        x = torch.zeros(4, device=DEVICE)
        x[[1, 2]] += 1  # read, and written
        assert device.waits.total() == 2


def test_a_wait_has_the_line_that_asked() -> None:
    with PretendedDevice() as device:
        to_device(torch.ones(2, device=DEVICE), torch.device("cpu"))
    ((kind, line),) = device.waits
    assert kind == "down"
    assert line.startswith("evo/transfer.py:")


def test_there_is_no_device_without_a_test() -> None:
    assert not torch.accelerator.is_available()
    with PretendedDevice():
        assert torch.accelerator.current_accelerator() == torch.device(DEVICE.type)
    assert not torch.accelerator.is_available()
    assert type(torch.Generator()).__module__ == "torch._C"


def test_gradients_are_those_of_the_cpu() -> None:
    """To the bit, with every activation that networks have; parameters stay the objects that they are."""

    def gradients(device: torch.device) -> list[Tensor]:
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 8, 3, groups=8), nn.Hardswish(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
        )  # fmt: skip
        kept = list(net.parameters())
        net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert all(one is other for one, other in zip(kept, net.parameters(), strict=True))
        net(torch.randn(2, 3, 8, 8).to(device)).square().sum().backward()
        return [parameter.grad.cpu() for parameter in kept if parameter.grad is not None]

    expected = gradients(torch.device("cpu"))
    with PretendedDevice():
        found = gradients(DEVICE)
    assert len(found) == len(expected) == 8
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_stay_on_the_device(name: str) -> None:
    images = torch.rand(4, 3, 16, 12)
    expected = AUGMENTATIONS[name](images, torch.Generator().manual_seed(0))
    with PretendedDevice() as device:
        given = images.to(DEVICE)
        device.waits.clear()
        found = AUGMENTATIONS[name](given, torch.Generator(DEVICE).manual_seed(0))
        assert not device.waits
        assert torch.equal(found.cpu(), expected)


def test_a_latency_is_measured_on_the_device() -> None:
    with PretendedDevice() as device:
        module = nn.Conv2d(3, 4, 3).eval().to(DEVICE)
        device.waits.clear()
        assert measure_module(module, Shape(3, 4, 1, 8), MeasurementSetting(2, str(DEVICE), 1, 1))[0] > 0
        assert not device.waits


def test_what_torch_warns_of_on_a_gpu_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[object] = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    waits = Counter[Wait]()
    with counted_synchronisations(waits):
        for _ in range(2):  # the same line warns each time
            warnings.warn(SYNCHRONISES, stacklevel=1)
    assert waits.total() == 2
    assert modes == ["warn", 0]
