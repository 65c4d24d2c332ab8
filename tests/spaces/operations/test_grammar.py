"""What an operation's name means, and that its cost is its module's."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.library.nse import nse_space
from spaces.networks.build import build_operation
from spaces.operations import grammar
from spaces.operations.grammar import Bottleneck, Operation, chain_of_steps, count_operation, parse_op
from spaces.operations.primitives import Conv, OpCounts
from spaces.size import Size, as_size, both_sides
from spaces.space import SearchSpace
from spaces.variants import is_variant

MAC_WIDTHS = [16, 24, 40, 80, 96, 192, 320]
GPU_WIDTHS = [16, 32, 64, 128, 256]


def every_space() -> list[SearchSpace]:
    """All spaces of the library and of NSE, with squeeze-excitation too."""
    return [
        *(load_space(name) for name in LIBRARY if name not in ("rows_32", "rows_64")),  # as rows_28, in other widths
        nse_space("multi_mac_group", "NER", [1, 3, 3, 3, 3, 3], MAC_WIDTHS),
        nse_space("multi_mac", "NER", [1, 1, 1, 1, 1, 1], MAC_WIDTHS, 1.04, squeeze_excite=True, activation="swish"),
        nse_space("multi_branch", "NR", [1, 3, 3, 7, 3], GPU_WIDTHS),
    ]


def convolutions(op: str, shape: Shape) -> list[str]:
    """The convolutions of an operation's module, as ``channels kernel/stride d<dilation> g<groups>``."""
    with torch.device("meta"):
        module = build_operation(op, shape)
    return [
        f"{part.in_channels}-{part.out_channels} {part.kernel_size[0]}x{part.kernel_size[1]}"
        f"/{part.stride[0]}x{part.stride[1]} d{part.dilation[0]} g{part.groups}"
        for part in module.modules()
        if isinstance(part, nn.Conv2d)
    ]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("mb_k5_e6", ["8-48 1x1/1x1 d1 g1", "48-48 5x5/2x2 d1 g48", "48-16 1x1/1x1 d1 g1"]),
        ("mb_k3_e1", ["8-8 3x3/2x2 d1 g8", "8-16 1x1/1x1 d1 g1"]),
        ("mb_k3_e1_g1x1", ["8-8 1x1/1x1 d1 g1", "8-8 3x3/2x2 d1 g8", "8-16 1x1/1x1 d1 g1"]),
        ("mb_k3_e3_d2_g1x2", ["8-24 1x1/1x1 d1 g1", "24-24 3x3/2x2 d2 g24", "24-16 1x1/1x1 d1 g2"]),
        ("conv_k3_e2", ["8-16 1x1/1x1 d1 g1", "16-16 3x3/2x2 d1 g1", "16-16 1x1/1x1 d1 g1"]),
        ("dual_k3_e1", ["8-8 1x1/1x1 d1 g1", "8-8 3x3/1x1 d1 g1", "8-8 3x3/2x2 d1 g1", "8-16 1x1/1x1 d1 g1"]),
        ("rec_k7_e1", ["8-8 1x1/1x1 d1 g1", "8-8 1x7/1x2 d1 g1", "8-8 7x1/2x1 d1 g1", "8-16 1x1/1x1 d1 g1"]),
        ("mb_k3_e1_se25", ["8-8 3x3/2x2 d1 g8", "8-2 1x1/1x1 d1 g1", "2-8 1x1/1x1 d1 g1", "8-16 1x1/1x1 d1 g1"]),
        ("proj", ["8-16 1x1/2x2 d1 g1"]),
    ],
)
def test_a_name_says_which_convolutions_there_are(op: str, expected: list[str]) -> None:
    assert convolutions(op, Shape(8, 16, 2, 14)) == expected


def test_squeeze_excite_is_reduced_to_a_share_of_the_input_or_of_the_hidden_channels() -> None:
    shape = Shape(16, 16, 1, 7)
    assert "64-4 1x1/1x1 d1 g1" in convolutions("mb_k3_e4_se25", shape)
    assert "64-16 1x1/1x1 d1 g1" in convolutions("mb_k3_e4_seh25", shape)


def test_an_activation_follows_every_convolution_but_the_last() -> None:
    parts = [type(part) for part in build_operation("mb_k3_e2_swish", Shape(4, 4, 1, 4)).modules()]
    kinds = [part for part in parts if part in (nn.Conv2d, nn.BatchNorm2d, nn.SiLU, nn.ReLU, nn.ReLU6)]
    step = [nn.Conv2d, nn.BatchNorm2d]
    assert kinds == [*step, nn.SiLU, *step, nn.SiLU, *step]


def test_cost_of_an_inverted_bottleneck_by_hand() -> None:
    counts = count_operation("mb_k3_e6_se25", Shape(16, 24, 2, 112))
    assert counts == OpCounts(
        macs=96 * 16 * 112**2 + 96 * 9 * 56**2 + 24 * 96 * 56**2,
        se_macs=2 * 96 * 4,
        se_biases=96 + 4,
        bn_elements=96 * 112**2 + 96 * 56**2 + 24 * 56**2,
        params=96 * 16 + 96 * 9 + 24 * 96 + 2 * (96 + 96 + 24) + (2 * 96 * 4 + 96 + 4),
    )


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("mb_e6_k3", "mb_k3_e6"),
        ("mb_k3_e6_relu", "mb_k3_e6"),
        ("mb_k3_e6_d1", "mb_k3_e6"),
        ("mb_k3_e6_g1x1", "mb_k3_e6"),
        ("mb_k3_e6_se0", "mb_k3_e6"),
        ("mb_k03_e6", "mb_k3_e6"),
        ("mb_k3_e6_swish_se25", "mb_k3_e6_se25_swish"),
        ("mb_k3_e6_se25_g2x2_d3", "mb_k3_e6_d3_g2x2_se25"),
    ],
)
def test_another_spelling_is_answered_with_the_canonical_one(given: str, canonical: str) -> None:
    with pytest.raises(ValueError, match=f"'{given}' is spelled '{canonical}'"):
        parse_op(given)
    assert str(parse_op(canonical)) == canonical


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("ghost_k3_e6", "unknown operation 'ghost_k3_e6'; known: id, skip, proj, mb_, conv_, dual_, rec_"),
        ("mb", "unknown operation 'mb'"),
        ("id_k3", "unknown operation 'id_k3'"),
        ("mb_k3", "is not mb_k<kernel>_e<expansion>"),
        ("mb_k3_k5_e6", "each option once"),
        ("mb_k3_e6_z4", "unknown option 'z4'; options, in this order: d<dilation>"),
        ("mb_k4_e6", "expected an odd kernel"),
        ("mb_k3_e0", "at least 1"),
        ("mb_k3_e6_se25_seh25", "two squeeze-excitations"),
        ("mb_k3_e6_g3x1", "3 groups do not divide 16 -> 96 channels"),
    ],
)
def test_a_name_that_means_nothing_is_explained(op: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count_operation(op, Shape(16, 16, 1, 8))


@pytest.mark.parametrize("op", ["id", "skip"])
def test_an_identity_cannot_change_the_shape(op: str) -> None:
    assert count_operation(op, Shape(16, 16, 1, 8)) == OpCounts()
    for make in (count_operation, build_operation):
        with pytest.raises(ValueError, match=f"'{op}' cannot turn 16 into 24 channels at stride 2"):
            make(op, Shape(16, 24, 2, 8))


@st.composite
def bottlenecks(draw: st.DrawFn) -> Bottleneck:
    kind, expansion = draw(st.sampled_from(["mb", "conv", "dual", "rec"])), draw(st.integers(1, 6))
    groups: list[tuple[int, int] | None] = [(1, 1), (1, 2), (2, 1), (2, 2)]
    if kind == "mb" and expansion == 1:
        groups.append(None)
    se, se_hidden = draw(st.sampled_from([(0, 0), (25, 0), (50, 0), (0, 25), (0, 1)]))
    return Bottleneck(
        kind,
        draw(st.sampled_from([1, 3, 5, 7, 9, 11])),
        expansion,
        draw(st.integers(1, 3)),
        draw(st.sampled_from(groups)),
        se,
        se_hidden,
        draw(st.sampled_from(["relu", "relu6", "swish"])),
    )


@given(bottlenecks())
def test_a_name_reads_back_as_what_wrote_it(op: Bottleneck) -> None:
    assert parse_op(str(op)) == op


sizes = st.integers(1, 15) | st.tuples(st.integers(1, 15), st.integers(1, 15)).map(as_size)


@settings(max_examples=60, deadline=None)
@given(bottlenecks(), st.sampled_from([4, 6]), st.sampled_from([4, 10]), st.integers(1, 3), sizes)
def test_any_operation_fits_its_layer_and_costs_what_it_says(
    op: Bottleneck, c_in: int, c_out: int, stride: int, size: Size
) -> None:
    assert_cost_is_that_of_the_module(str(op), Shape(c_in, c_out, stride, size))


def test_every_operation_of_every_space_costs_what_its_module_does() -> None:
    pairs = {
        (op, shape)
        for space in every_space()
        for i, layer in enumerate(space.layers)
        for op in (*layer.candidates, *layer.pending)
        for shape in space.shapes(i)
        if not is_variant(op)
    }
    assert len(pairs) > 1000
    for op, shape in pairs:
        assert_cost_is_that_of_the_module(op, shape)


def assert_cost_is_that_of_the_module(op: str, shape: Shape) -> None:
    """Against torch's own counter, which counts two per multiply-accumulate, and against the weights there are."""
    counts = count_operation(op, shape)
    with torch.device("meta"):
        module = build_operation(op, shape)
        x = torch.empty(1, shape.c_in, *both_sides(shape.size))
    assert counts.params == sum(weight.numel() for weight in module.parameters()), (op, shape)
    for part in [part for part in module.modules() if isinstance(part, nn.Sequential)]:
        for name, child in part.named_children():
            if isinstance(child, (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.SiLU)):
                part.register_module(name, nn.Identity())  # torch's counter ignores them and is slow in doing so
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = module(x)
    assert out.shape == (1, shape.c_out, *both_sides(shape.size_out)), (op, shape)
    assert counts.macs + counts.se_macs == counter.get_total_flops() / 2, (op, shape)


def test_adding_an_operation_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def separable(op: str, shape: Shape) -> tuple[Conv, ...]:
        k = int(op.removeprefix("sep_k"))
        depthwise = Conv(shape.c_in, shape.c_in, (k, k), (shape.stride, shape.stride), groups=shape.c_in)
        return depthwise, Conv(shape.c_in, shape.c_out, activation="relu")

    monkeypatch.setitem(grammar.OPERATIONS, "sep_", chain_of_steps(separable))
    assert_cost_is_that_of_the_module("sep_k5", Shape(8, 16, 2, 9))


def test_an_operation_may_also_bring_its_own_module_and_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Operation(counts=lambda op, shape: OpCounts())
    monkeypatch.setitem(grammar.OPERATIONS, "pool", pool)
    with pytest.raises(SpaceError, match="'pool' is no chain of steps: enter what builds it in .*BUILDERS"):
        build_operation("pool", Shape(8, 8, 1, 9))
    pool = pool._replace(module=lambda op, shape: nn.AvgPool2d(3, 1, 1))
    monkeypatch.setitem(grammar.OPERATIONS, "pool", pool)
    assert_cost_is_that_of_the_module("pool", Shape(8, 8, 1, 9))


def test_counting_needs_no_torch() -> None:
    program = "import sys, spaces.library, spaces.costs.table; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
