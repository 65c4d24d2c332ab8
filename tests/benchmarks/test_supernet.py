"""What the supernet benchmark compares is comparable: one network in both arms, and a step that waits for nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchmarks.supernet import main
from benchmarks.supernet_steps import PATH, HostReads, Plain, host_reads, path_weights
from evo.data.source import ImageSet
from evo.training.loop import Schedule
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return scale_widths(load_space("nas_bench_macro", size=8), 0.25)


def test_the_network_by_hand_is_the_path(space: SearchSpace) -> None:
    supernet, plain = Supernet(space, zero_init=False), Plain(space)
    for mine, theirs in zip(plain.state_dict().values(), path_weights(supernet), strict=True):
        mine.copy_(theirs)
    x = torch.randn(4, 3, 8, 8)
    assert torch.allclose(supernet(x, PATH), plain(x), atol=1e-6)


def test_no_step_waits_for_the_device(space: SearchSpace) -> None:
    images = ImageSet(torch.randn(40, 3, 8, 8), torch.randint(0, 10, (40,)))
    augment = ("flip", "crop", "cutout", "resized_crop", "colour_jitter")
    assert host_reads(Supernet(space), images, Schedule(1, 8, 0.01, augment=augment)) == 0


def test_a_value_that_is_read_is_counted() -> None:
    with HostReads() as reads:
        loss = F.mse_loss(torch.ones(3), torch.zeros(3))
        loss.item()
        torch.ones(3).nonzero()
    assert reads.count == 2


def test_everything_is_told_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--markdown"])
    told = capsys.readouterr().out
    for words in (
        "| supernet, one path |",
        "| by hand, contiguous |",
        "zero-initialised",
        "8 converged",
        "The floor is",
    ):
        assert words in told
