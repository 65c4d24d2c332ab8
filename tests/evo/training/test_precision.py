"""What bf16 means: forward passes in bfloat16 and nothing else; its results are told apart from those of fp32."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evo.data.loading import load_dataset
from evo.evaluators.oneshot.paths import uniform_paths
from evo.round.__main__ import main
from evo.seeds import derive_seed
from evo.training.checkpoints import read_checkpoint
from evo.training.identity import earlier_identity, identity
from evo.training.loop import Schedule, make_optimizer, train
from evo.training.precision import forward, in_full, precision_of, resolve_precision, settle_precision
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace
from studies.config import DataSection, load_config
from studies.database.store import open_store
from tests.evo.conftest import interrupted_at

DIGITS = DataSection(name="digits", max_images=240)
SHORT = Schedule(epochs=2, batch_size=48, learning_rate=0.1)


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")


# -- what the setting means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "device", "capability", "meant"),
    [
        ("auto", "auto", (8, 0), "bf16"),
        ("auto", "cuda", (9, 0), "bf16"),
        ("auto", "auto", (7, 5), "fp32"),
        ("auto", "cpu", (9, 0), "fp32"),
        ("fp32", "cuda", (9, 0), "fp32"),
        ("bf16", "cuda", (7, 5), "bf16"),
        ("bf16", "cpu", (7, 5), "bf16"),
    ],
)
def test_auto_is_bf16_where_a_gpu_has_it_in_hardware(
    monkeypatch: pytest.MonkeyPatch, word: str, device: str, capability: tuple[int, int], meant: str
) -> None:
    pretend_gpu(monkeypatch, capability)
    assert resolve_precision(word, device) == meant


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_auto_is_fp32_where_there_is_no_gpu() -> None:
    assert resolve_precision("auto", "auto") == "fp32"
    assert precision_of(load_config("digits")) == "fp32"


def test_a_run_keeps_what_auto_meant_where_it_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    small = ["search.evaluations=4", "search.population=4", "ground_truth.sample=0", "evaluator.epochs=1"]
    told = [word for setting in (*small, "data.max_images=120") for word in ("--set", setting)]
    ask = ["1", "--run", "r", "--quiet", "--storage", storage, "--config", "digits", *told]
    assert main([*ask, "--set", "device=cpu"]) == 0
    with open_store(storage) as store:
        assert store.run("r").config.precision == "fp32"
    with sqlite3.connect(tmp_path / "evo.db") as database:  # as it was begun before there was a choice
        database.execute("UPDATE runs SET config_json = json_remove(config_json, '$.precision')")
    with open_store(storage) as store:
        assert store.run("r").config.precision == "fp32"
    assert main([*ask, "--set", "device=cpu"]) == 0  # "auto" again: the same run
    assert main([*ask, "--set", "device=cpu", "--set", "precision=bf16"]) == 1
    pretend_gpu(monkeypatch, (8, 0))
    assert settle_precision(load_config("digits")).precision == "bf16"


# -- identities --------------------------------------------------------------------------------------------------------


def test_names_tell_the_precision_unless_it_is_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(**parts: object) -> str:
        return identity("supernet", 1, device="cpu", seed=3, **parts)

    assert named() == named(precision="fp32") == named(precision="auto") != named(precision="bf16")
    pretend_gpu(monkeypatch, (8, 0))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 1)
    there = [identity("supernet", 1, device="cuda", precision=word) for word in ("auto", "bf16", "fp32")]
    assert there[0] == there[1] != there[2]
    assert earlier_identity("supernet", 1, device="cuda", precision="bf16") is None
    assert earlier_identity("supernet", 1, device="cuda", precision="fp32") == earlier_identity(
        "supernet", 1, device="cuda"
    )


# -- what is computed in bfloat16 -------------------------------------------------------------------------------------


def test_what_is_given_is_in_full_and_fp32_is_left_alone() -> None:
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    assert torch.equal(forward("fp32", layer, x), layer(x))
    given = forward("bf16", layer, x)
    assert given.dtype == torch.float32
    assert torch.equal(given, F.linear(x.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16()).float())
    low, nothing, wide = in_full([x.bfloat16(), None, x.double()])
    assert (low.dtype, nothing, wide.dtype) == (torch.float32, None, torch.float64)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_only_forward_passes_are_in_bfloat16(space: SearchSpace, precision: Any, kind: torch.dtype) -> None:
    network, given, behind = networks(space), list[torch.dtype](), list[tuple[torch.dtype, bool]]()

    def seen_behind(gradient: Tensor) -> None:
        behind.append((gradient.dtype, torch.is_autocast_enabled("cpu")))

    convolution = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    convolution.register_forward_hook(lambda module, x, output: given.append(output.dtype))
    convolution.weight.register_hook(seen_behind)
    train(network, load_dataset(DIGITS).train, SHORT, seed=3, precision=precision)
    assert given == [kind] * 8
    assert behind == [(torch.float32, False)] * 8
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32, torch.int64}


def test_training_is_torchs_autocast_around_the_forward_pass(space: SearchSpace) -> None:
    """The same steps by hand, to the bit."""
    images = load_dataset(DIGITS).train
    mine, theirs = networks(space), networks(space)
    train(mine, images, SHORT, seed=3, precision="bf16")
    theirs.to(memory_format=torch.channels_last)
    optimizer, steps = make_optimizer(theirs, SHORT), 2 * (len(images) // 48)
    theirs.train()
    for epoch in range(2):
        for number, (x, y) in enumerate(images.epoch(48, (), derive_seed(3, "batches", epoch))):
            for group in optimizer.param_groups:
                group["lr"] = SHORT.learning_rate_at(epoch * (steps // 2) + number, steps)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                scores = theirs(x)
            F.cross_entropy(scores.float(), y).backward()
            optimizer.step()
    assert all(map(torch.equal, mine.state_dict().values(), theirs.state_dict().values()))


def networks(space: SearchSpace) -> Network:
    torch.manual_seed(0)
    return Network(space.sample(Random(1)), space)


@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_an_interrupted_training_in_bf16_ends_with_the_same_bits(
    space: SearchSpace, tmp_path: Path, stop_at: int
) -> None:
    images = load_dataset(DIGITS).train

    def trained(**options: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = Supernet(space)
        train(net, images, SHORT, seed=3, paths=uniform_paths(space), precision="bf16", **options)
        return net.state_dict()

    whole, checkpoint = trained(), tmp_path / "progress"
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint=checkpoint, track=interrupted_at(stop_at))
    resumed = trained(checkpoint=checkpoint)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    assert {tensor.dtype for tensor in read_checkpoint(checkpoint)[0].values()} == {torch.float32, torch.int64}


# -- kernels of one launch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [None, 0.9])
def test_a_fused_step_is_the_same_step_and_moves_nothing_idle(decay: float | None) -> None:
    """On a CPU it is not asked for; it runs there as on a GPU. Some weights have a gradient only in the second step."""
    schedule = Schedule(epochs=1, batch_size=8, learning_rate=0.1, decay=decay)

    def stepped(fused: bool) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.ModuleList(nn.Linear(3, 3) for _ in range(3))
        optimizer = make_optimizer(model, schedule, fused=fused)
        for active in ((0,), (0, 1), (1,)):
            optimizer.zero_grad()
            sum((model[i](torch.ones(2, 3)).square().sum() for i in active), torch.zeros(())).backward()
            optimizer.step()
        return [parameter.detach() for parameter in model.parameters()]

    torch.manual_seed(0)
    untouched = [parameter.detach() for parameter in nn.ModuleList(nn.Linear(3, 3) for _ in range(3)).parameters()]
    one, other = stepped(False), stepped(True)
    for mine, theirs in zip(one, other, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert all(map(torch.equal, other[4:], untouched[4:]))
    assert not torch.equal(other[2], untouched[2])


def test_on_a_cpu_no_step_is_fused(monkeypatch: pytest.MonkeyPatch, space: SearchSpace) -> None:
    made: list[torch.optim.Optimizer] = []

    def keep(*given: Any, **named: Any) -> torch.optim.Optimizer:
        made.append(make_optimizer(*given, **named))
        return made[-1]

    monkeypatch.setattr("evo.training.loop.make_optimizer", keep)
    train(networks(space), load_dataset(DIGITS).train, SHORT, seed=3)
    assert [optimizer.defaults["fused"] for optimizer in made] == [None]
