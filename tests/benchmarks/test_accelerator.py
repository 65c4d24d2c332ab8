"""What ``benchmarks/accelerator.py`` counts, by hand; and that it runs for every kind of evaluator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.accelerator import Ceiling, Measured, Traffic, main, presets


def of_convolution(groups: int) -> Traffic:
    """Forward and backward of a 3x3 convolution of 8 to 8 channels on 2 images of 5 x 5, padded."""
    conv, x = nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False), torch.randn(2, 8, 5, 5, requires_grad=True)
    with Traffic() as traffic:
        output = conv(x)
        output.backward(torch.ones_like(output))
    return traffic


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_flops_of_a_convolution_forward_and_twice_as_many_backward(groups: int) -> None:
    assert of_convolution(groups).flops == 3 * 2 * (2 * 8 * 5 * 5) * (8 // groups) * 9


def test_bytes_are_those_that_are_read_and_written() -> None:
    a, b = torch.ones(4, 6), torch.ones(6, 5)
    with Traffic() as traffic:
        c = a @ b
    assert traffic.moved == 4 * (24 + 30 + 20)
    with Traffic() as traffic:
        c.t().reshape(5, 4)
        c[1:]
    assert traffic.moved == 0  # views
    with Traffic() as traffic:
        c.add_(1)
    assert traffic.moved == 4 * (20 + 20)


def test_the_share_is_that_of_the_slower_of_computing_and_moving() -> None:
    found, ceiling = Measured(images=1, seconds=2.0, peak=0, flops=100, moved=30), Ceiling(flops=100.0, bandwidth=20.0)
    assert found.share(ceiling) == "75% (memory)"
    assert found.share(Ceiling(100.0, 60.0)) == "50% (computing)"


def test_a_table_has_a_line_for_each_preset(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--presets", "digits,dna_digits,macro", "--markdown"])
    told = capsys.readouterr().out
    assert "at reduced size" in told
    rows = [line.split(" | ")[0].strip("| ") for line in told.splitlines() if line.startswith("| ")]
    assert rows[2:] == ["digits", "dna_digits", "macro"]
    assert "nse_imagenet_27" in presets()


def test_unknown_presets_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--presets", "digit"])
    assert "'digit' is none of" in capsys.readouterr().err
