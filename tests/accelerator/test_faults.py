"""The tests of steps fail where a step waits, where devices are mixed, and where a generator serves two purposes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from studies.config import DataSection
from tests.accelerator import test_steps
from tests.accelerator.faults import Fault
from tests.accelerator.steps import Device, Watch

UNIFORM = (("sampling", "uniform"),)

FAULTS = (
    Fault(
        "the loss is read in every step",
        "evo.training.loop:_train_epochs", "total += lost.detach()", "total += lost.item()",
        test_steps.test_a_supernets_steps_wait_for_nothing, UNIFORM,
    ),
    Fault(
        "the sum of losses is on the CPU",
        "evo.training.loop:_train_epochs", "torch.zeros((), device=images.device)", "torch.zeros(1)",
        test_steps.test_a_supernets_steps_wait_for_nothing, UNIFORM,
    ),
    Fault(
        "images are shuffled by a generator of the CPU",
        "evo.data.source:ImageSet.epoch", "torch.Generator(self.device)", "torch.Generator()",
        test_steps.test_a_supernets_steps_wait_for_nothing, UNIFORM,
    ),
    Fault(
        "labels stay on the CPU",
        "evo.data.loading:_image_set", "y.astype(np.int64)).to(device)", "y.astype(np.int64))",
        test_steps.test_a_supernets_steps_wait_for_nothing, UNIFORM,
    ),
    Fault(
        "the sum of losses leaves out what is no number",
        "evo.training.loop:_train_epochs", "total += lost.detach()", "total += lost.detach()[lost.isfinite()].sum()",
        test_steps.test_a_supernets_steps_wait_for_nothing, UNIFORM,
    ),
    Fault(
        "scores are added at a list of places",
        "evo.evaluators.oneshot.scoring:add_at",
        "for place in places:\n        sums[place].add_(value.to(sums.dtype))",
        "sums[places] += value.to(sums.dtype)",
        test_steps.test_a_call_of_a_supernets_judge_waits_twice,
    ),
    Fault(
        "images seed the generators of all devices",
        "evo.data.streaming:_Decoded.__getitem__", "torch.default_generator.manual_seed(", "torch.manual_seed(",
        test_steps.test_images_in_files_wait_for_nothing_and_leave_the_devices_generator_alone,
    ),
    Fault(
        "images are sent from ordinary memory",
        "evo.data.streaming:StreamedImages._normalised", "to_device(x, self.device)", "x.to(self.device)",
        test_steps.test_images_in_files_wait_for_nothing_and_leave_the_devices_generator_alone,
    ),
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_caught(
    fault: Fault,
    device: Device,
    fitted: Callable[..., Watch],
    pictures: DataSection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault.plant(monkeypatch)
    fault.is_caught({"device": device, "fitted": fitted, "pictures": pictures})
