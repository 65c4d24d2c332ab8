"""``make accelerator``: what takes too long for the usual tests.

More kinds of training, whole rounds and deliveries, a step at ImageNet's size without numbers, and more planted faults.
"""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from evo.console import Advance
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.deliver.__main__ import main as deliver
from evo.deliver.manifest import read_manifest
from evo.evaluators.cuts.imitation import Imitations
from evo.evaluators.oneshot.paths import SAMPLING
from evo.evaluators.standalone import ScratchJudge
from evo.round.__main__ import main as search
from evo.training.loop import Schedule, train
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from spaces.pretrained.networks import read_network
from studies.config import DataSection, PoolSection, load_config
from tests.accelerator import test_steps
from tests.accelerator.backend import DEVICE, why_not
from tests.accelerator.conftest import SMALL
from tests.accelerator.faults import Fault
from tests.accelerator.generators import DeviceGenerator
from tests.accelerator.judges import SCORING, SPACE
from tests.accelerator.places import ROOT, line_of
from tests.accelerator.steps import EPOCH_ENDS, Device, Watch
from tests.accelerator.test_steps import CELLS, waits
from tests.evo.evaluators.cut_examples import network_folder, settings

network = pytest.fixture(scope="module")(network_folder)
pytestmark = pytest.mark.usefixtures("unpublished")

# -- more kinds of training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["networks", "noise"])
def test_breeding_waits_where_an_iteration_ends(fitted: Callable[..., Watch], score: str) -> None:
    """What was measured of all cells is read at once; so is what the next iteration draws by."""
    small = ("networks=2", "last_networks=2", "measured_images=16")
    cells = (*CELLS, f"evaluator.cells.score='{score}'", *(f"evaluator.cells.{setting}" for setting in small))
    steps = waits(fitted("autospace_digits", *cells), "breeding cells")
    assert {steps[i] for i in range(len(steps)) if (i + 2) % 4} == {0}
    assert max(steps) <= 2


def test_operations_that_imitate_a_layer_wait_for_nothing(device: Device, tmp_path: Path, network: Path) -> None:
    def work(word: str, watch: Watch) -> Any:
        config = settings(network).model_copy(update={"device": word})
        folder = new(tmp_path, word)
        folder.mkdir()
        pool = PoolSection(operations=("conv_k3_h16",), epochs=1, batch_size=64)
        known = read_network(str(network), None, 8)
        made = Imitations(config, pool, known, "0" * 64, folder, folder, watch.track)
        return [path.read_bytes() for path in made([(0, "conv_k3_h16")])]

    assert set(waits(device.compare(work), "learns")) == {0}


def test_a_network_alone_waits_for_nothing_and_is_measured_by_two_numbers(device: Device) -> None:
    def work(word: str, watch: Watch) -> Any:
        config = load_config("digits", [*SMALL, f"device={word}"])
        judge = ScratchJudge(config.ground_truth, config.data, word, 0, SPACE, cost_table(SPACE))
        load_dataset(config.data, word)  # images are sent once, whoever asks for them first
        with watch.during(SCORING):
            (answer,) = judge([SPACE.sample(Random(1))])
        return answer.accuracy, answer.nll

    (seen,) = device.compare(work).steps(SCORING)
    sent = ("evo/data/source.py", line_of("evo/training/loop.py", "model.to(images.device"))
    left = {line: times for (_, line), times in seen.items() if not line.startswith((*sent, *EPOCH_ENDS))}
    assert sum(left.values()) == 2
    assert all(line.startswith("evo/evaluators/standalone.py:") for line in left)


# -- whole runs -------------------------------------------------------------------------------------------------------


def words(told: dict[str, object]) -> list[str]:
    return [word for key, value in told.items() for word in ("--set", f"{key}={value}")]


def searched(folder: Path, *arguments: str) -> list[Any]:
    """The results of a round in a new folder."""
    folder.mkdir()
    assert search(["1", "--run", "r", "--storage", f"sqlite:///{folder}/evo.db", *arguments]) == 0
    with sqlite3.connect(folder / "evo.db") as database:
        return database.execute("SELECT number, arch, accuracy, macs FROM results ORDER BY number").fetchall()


FEW = {"search.evaluations": 4, "search.population": 4, "ground_truth.sample": 3, "ground_truth.epochs": 1}


def test_a_round_of_images_in_files(device: Device, pictures: DataSection, tmp_path: Path) -> None:
    told: dict[str, object] = FEW | {
        "ground_truth.sample": 0, "data.path": pictures.path, "data.size": 8, "data.in_memory": "false", "data.workers": 0,
        "data.validation_fraction": 0.3, "data.augment": '["resized_crop","flip","cutout"]', "space.name": "digits",
        "evaluator.epochs": 1, "evaluator.batch_size": 4,
    }  # fmt: skip

    def work(word: str, watch: Watch) -> Any:
        return searched(new(tmp_path, word), "--config", "images", *words(told | {"device": word}))

    device.compare(work)


def test_a_round_and_a_delivery(device: Device, tmp_path: Path, unexported: None) -> None:
    """With blended images, dropped paths and averaged weights. (What is exported is exported on the CPU.)"""
    told: dict[str, object] = FEW | {"data.max_images": 240, "evaluator.epochs": 2}
    recipe: dict[str, object] = {
        "deliver.epochs": 2,
        "deliver.mixup": 0.2,
        "deliver.cutmix": 1,
        "deliver.drop_path": 0.2,
    }

    def work(word: str, watch: Watch) -> Any:
        folder = new(tmp_path, word)
        found = searched(folder, "--config", "digits", *words(told | {"device": word}))
        with watch.during("a delivery"):
            out = folder / "out"
            assert deliver(["r", "--storage", f"sqlite:///{folder}/evo.db", "--out", str(out), *words(recipe)]) == 0
        said = read_manifest(out)["test"]
        return found, said["accuracy"], said["nll"]

    (seen,) = device.compare(work).steps("a delivery")
    allowed = ("evo/training/loop.py:", "evo/deliver/", "evo/data/loading.py:", "evo/data/source.py:")
    others = {line: times for (_, line), times in seen.items() if not line.startswith(allowed)}
    assert all(
        line.startswith("evo/data/normalising.py:") and times <= 2 for line, times in others.items()
    )  # once read


def new(folder: Path, word: str) -> Path:
    return folder / f"{word}-{len(list(folder.iterdir()))}"


# -- ImageNet's size --------------------------------------------------------------------------------------------------


def _moved(self: nn.Module, device: Any = None, memory_format: Any = None) -> nn.Module:
    """``nn.Module.to`` for tensors without numbers, which torch cannot exchange in place."""
    for module in self.modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is None or tensor.device == torch.device(device):
                continue
            made = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
            if tensor.ndim == 4 and memory_format is not None:
                made = made.contiguous(memory_format=memory_format)
            if name in module._parameters:
                module._parameters[name] = nn.Parameter(made)
            else:
                module._buffers[name] = made
    return self


class _WithoutGenerator(TorchDispatchMode):
    """Tensors without numbers are drawn by no generator."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return func(*args, **({**kwargs, "generator": None} if "generator" in kwargs else kwargs))


def test_a_step_of_imagenets_size_reads_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reads one cannot: there are no numbers. The end of the epoch does, which looks whether the loss is one."""
    if reason := why_not():
        pytest.skip(reason)
    from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

    steps: list[int] = []

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        yield steps.append

    monkeypatch.setattr(nn.Module, "to", _moved)
    monkeypatch.setattr(torch, "Generator", DeviceGenerator)
    with FakeTensorMode(), _WithoutGenerator():
        space = load_space("pad_nas_large")
        x = torch.empty(64, 3, 224, 224, device=DEVICE).contiguous(memory_format=torch.channels_last)
        images = ImageSet(x, torch.zeros(64, dtype=torch.long, device=DEVICE))
        schedule, paths = Schedule(1, 32, 0.1, augment=("flip",)), SAMPLING["uniform"](space)
        with pytest.raises(DataDependentOutputException) as told:
            train(Supernet(space), images, schedule, seed=1, paths=paths, track=track)
    ours = [
        frame for frame in traceback.extract_tb(told.value.__traceback__) if frame.filename.startswith(f"{ROOT}/evo")
    ]
    assert ours[-1].line == "if not torch.isfinite(total):"
    assert len(steps) - 1 == 2


# -- planted faults ---------------------------------------------------------------------------------------------------

FAULTS = (
    Fault(
        "the weights of patterns stay on the CPU",
        "evo.evaluators.oneshot.nse_gates:Indicators._learn",
        "to_device(q.detach(), x.device).requires_grad_()", "q.detach().requires_grad_()",
        test_steps.test_nses_weight_steps_wait_for_nothing_and_its_gates_once,
    ),
    Fault(
        "the gradient of patterns is read layer by layer",
        "evo.evaluators.oneshot.nse_gates:Indicators._learn",
        "gradient.cpu()", "torch.tensor([row.tolist() for row in gradient])",
        test_steps.test_nses_weight_steps_wait_for_nothing_and_its_gates_once,
    ),
    Fault(
        "costs are sent in every step of the alphas",
        "evo.evaluators.autospace.fitness:Breeding.expected_cost",
        "costs.to(alpha.dtype)", "alpha.new_tensor([1.0] * len(alpha))",
        test_steps.test_autospaces_weight_steps_wait_for_nothing_nor_do_its_alphas,
    ),
    Fault(
        "validation images are chosen by places on the CPU",
        "evo.data.source:ImageSet.take", "chosen = to_device(chosen, self.device)", "pass",
        test_steps.test_autospaces_weight_steps_wait_for_nothing_nor_do_its_alphas,
    ),
    Fault(
        "networks are drawn by weights on the device",
        "evo.evaluators.autospace.fitness:Breeding._draw_network",
        "self.drawn_by",
        "[{op: float(w) for op, w in own.items()} for own in self.mixture([a.detach() for a in self.alphas])]",
        test_breeding_waits_where_an_iteration_ends, (("score", "networks"),),
    ),
    Fault(
        "the channels of cuts are counted on the CPU",
        "spaces.pretrained.slices:_cut",
        "kept = into = torch.arange(shape.c_in, device=device)", "kept = into = torch.arange(shape.c_in)",
        test_steps.test_a_network_and_its_cuts_wait_for_nothing,
    ),
    Fault(
        "the covariances of channels are on the CPU",
        "spaces.pretrained.refit:hidden_moments",
        "torch.zeros(channels, channels, dtype=torch.float64, device=device)",
        "torch.zeros(channels, channels, dtype=torch.float64)",
        test_steps.test_a_network_and_its_cuts_wait_for_nothing,
    ),
    Fault(
        "a block's losses are added at a list of places",
        "evo.evaluators.oneshot.scoring:add_at",
        "for place in places:\n        sums[place].add_(value.to(sums.dtype))", "sums[places] += value.to(sums.dtype)",
        test_steps.test_blocks_wait_for_nothing_and_a_call_of_their_judge_once_each,
    ),
    Fault(
        "dropped paths are drawn on the CPU",
        "evo.alone.recipe:_drop_samples", "output.device", "torch.device('cpu')",
        test_steps.test_a_delivery_waits_for_nothing,
    ),
    Fault(
        "averages are moved by a number that is read",
        "evo.alone.recipe:ModelEMA.__call__",
        "get_ema_multi_avg_fn(decay)", "get_ema_multi_avg_fn(decay + 0 * values[0].sum().item())",
        test_steps.test_a_delivery_waits_for_nothing,
    ),
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_caught(
    fault: Fault,
    device: Device,
    fitted: Callable[..., Watch],
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault.plant(monkeypatch)
    fault.is_caught({"device": device, "fitted": fitted, "network": network, "tmp_path": tmp_path})
