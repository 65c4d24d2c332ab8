"""Blocks with rows: several depths and widths, one spelling of every network, costs that are exact."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spaces.architecture import Architecture
from spaces.costs.cost_histogram import CostHistogram
from spaces.costs.memory import PRECISIONS
from spaces.costs.sampling import sample_stratified, sample_uniform
from spaces.costs.table import COLUMNS, cost_table, count_costs
from spaces.export.scaling import scale_to_macs, scale_widths
from spaces.latency.measure import timed_parts
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import DNA_ROWS, load_space
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.show.overview import make_overview
from spaces.space import SearchSpace, canonical_arch, resolve_variants
from spaces.variants import BlockVariant, parse_variant
from tests.spaces.costs.test_sampling import Milliseconds
from tests.spaces.export.test_network_folder import delivered

OPS = ("mb_k3_e1", "mb_k5_e3", "mb_k3_e2_se25")


def block(name: str, rows: tuple[str, ...], c_in: int, c_out: int, layers: int, *, ops: int = 2) -> tuple[Layer, ...]:
    """A block with rows at 6 pixels."""
    shapes = [Shape(c_in, c_in, 1, 6), Shape(c_in, c_out, 1, 6), *[Shape(c_out, c_out, 1, 6)] * (layers - 1)]
    return tuple(Layer(shape, OPS[:ops] if i else rows, block=name) for i, shape in enumerate(shapes[: layers + 1]))


def space(*blocks: tuple[Layer, ...]) -> SearchSpace:
    return SearchSpace("rows", tuple(chain(*blocks)), Stem(8, 1, c_in=1, size=6), Head(0, 3))


SMALL = space(
    block("stage1", ("row_d1", "row_d2_w12", "row_d2_w8"), 8, 8, 2),
    (Layer(Shape(8, 8, 1, 6), ("mb_k3_e1", "id"), block="stage2"), Layer(Shape(8, 8, 1, 6), OPS[:2], block="stage2")),
    block("stage3", ("row_d3_w4", "row_d2_w20"), 8, 16, 3),
)
"""Between blocks with rows an ordinary one: (2 + 4 + 4) * 4 * (8 + 4) architectures."""


def drawn_rows() -> st.SearchStrategy[tuple[Layer, ...]]:
    """Blocks of up to three layers, of 8 channels or from 8 to 16, with any rows that fit, or none."""
    rows = st.sets(
        st.sampled_from(["row_d1", "row_d2_w8", "row_d2_w12", "row_d3_w4", "row_d3_w8"]), min_size=1, max_size=3
    )
    return st.builds(lambda rows, ops: block("stage1", tuple(sorted(rows)), 8, 16, 3, ops=ops), rows, st.integers(1, 3))


BEHIND = Layer(Shape(16, 16, 1, 6), ("mb_k3_e1", "id"), block="stage2")
LAST = block("stage3", ("row_d1", "row_d2_w4"), 16, 16, 2, ops=1)
spaces = drawn_rows().map(space) | drawn_rows().map(lambda rows: space(rows, (BEHIND,), LAST))


# -- the grammar, and what it refuses ---------------------------------------------------------------------------------


def test_a_row_is_a_depth_and_a_width_in_one_spelling() -> None:
    assert parse_variant("row_d3_w24") == BlockVariant(3, 24)
    assert [str(parse_variant(row)) for row in ("row_d3_w24", "row_d1")] == ["row_d3_w24", "row_d1"]


@pytest.mark.parametrize("row", ["row_d1_w8", "row_d2", "row_d0", "row_d02_w8", "row_w8_d2", "row_d2_w8_", "id"])
def test_what_is_no_row_is_told_what_one_is(row: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"row {row!r}: expected row_d<layers>_w<channels between them>")):
        parse_variant(row)


CHOOSER, FIRST, SAME = Shape(8, 8, 1, 6), Shape(8, 16, 1, 6), Shape(16, 16, 1, 6)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (block("b", ("row_d3_w8",), 8, 8, 2), "b has 2 layers and a row of 3"),
        ((Layer(CHOOSER, ("row_d1", "id")), Layer(FIRST, OPS)), "row 'id': expected"),
        ((Layer(FIRST, ("row_d1",)), Layer(SAME, OPS)), "its first layer passes on what it is given"),
        ((Layer(CHOOSER, ("row_d1",)), Layer(FIRST, OPS, branches=2)), "no layer has branches"),
        ((Layer(CHOOSER, ("row_d2_w8",)), Layer(FIRST, OPS), Layer(SAME, ("id", *OPS))), "how many layers.*out id"),
        ((Layer(CHOOSER, ("row_d1",)), Layer(CHOOSER, ("row_d1",))), "leave out row_d1"),
        ((Layer(CHOOSER, ("row_d2_w8",)), Layer(CHOOSER, OPS), Layer(FIRST, OPS)), "channels from its first layer on"),
        (
            (Layer(CHOOSER, ("row_d1", "row_d2_w8")), Layer(CHOOSER, OPS), Layer(Shape(8, 8, 2, 6), OPS)),
            "stride 1 behind the least depth, 1",
        ),
    ],
    ids=str,
)
def test_a_block_that_its_rows_do_not_fit_is_refused(layers: tuple[Layer, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        space(layers)


def test_layers_and_the_choice_of_a_row_have_names() -> None:
    assert SMALL.names[:3] == ("stage1.row", "stage1.layer1", "stage1.layer2")
    assert SMALL.names[3:6] == ("stage2.layer1", "stage2.layer2", "stage3.row")
    assert SMALL.genes[0] == ("row_d1", "row_d2_w12", "row_d2_w8")
    assert SMALL.genes[1:3] == (OPS[:2], ("skip", *OPS[:2]))  # a second layer is there in two of the rows


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        (
            "row_d3_w8|mb_k3_e1|skip|id|mb_k3_e1",
            r"stage1.row of 'rows' cannot be 'row_d3_w8'; its candidates: row_d1, row",
        ),
        (
            "row_d2_w8|mb_k3_e1|skip|id|mb_k3_e1",
            r"stage1.layer2 of 'rows' cannot be 'skip'; its candidates: mb_k3_e1, mb",
        ),
        (
            "row_d1|mb_k3_e1|mb_k3_e1|id|mb_k3_e1",
            "stage1.layer2 of 'rows' is 'mb_k3_e1', and row_d1 has no such layer: exp",
        ),
    ],
)
def test_an_architecture_that_a_row_does_not_fit_is_told_why(arch: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SMALL.check(Architecture.parse(f"{arch}|row_d2_w20|mb_k3_e1|mb_k3_e1|skip"))


# -- the same network, the same string --------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(spaces, st.integers(0, 99))
def test_every_string_is_one_network_and_is_read_back(drawn: SearchSpace, seed: int) -> None:
    archs = list(drawn.enumerate())
    assert len(archs) == drawn.size == len(set(archs))
    assert SearchSpace.from_json(drawn.to_json()) == drawn
    networks = {resolve_variants(canonical_arch(arch, drawn), drawn) for arch in archs}
    assert len(networks) == drawn.size == len({canonical_arch(arch, drawn) for arch in archs})
    for arch in (drawn.sample(Random(seed)), archs[-1]):
        assert arch in drawn
        assert drawn.repair(arch) == arch == drawn.from_qualified_genes(drawn.qualified_genes(arch))
        alone = drawn.restrict_to(arch)
        assert list(alone.enumerate()) == [arch]
        assert alone.size == 1
        assert all(gene in genes for gene, genes in zip(arch.genes, drawn.genes, strict=True))


@settings(max_examples=25, deadline=None)
@given(spaces, st.integers(0, 999))
def test_any_genes_are_made_to_fit_their_row(drawn: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    mixed = Architecture(tuple(rng.choice(genes) for genes in drawn.genes))
    fitted = drawn.repair(mixed)
    assert fitted in drawn
    assert (fitted == mixed) == (mixed in drawn)
    assert fitted.genes[0] == mixed.genes[0]


def test_identities_commute_in_an_ordinary_block_between_blocks_with_rows() -> None:
    behind = replace(SMALL.layers[4], candidates=("mb_k3_e1", "id"))
    some = SMALL.replace_layers([*SMALL.layers[:4], behind, *SMALL.layers[5:]])
    spellings = [
        f"row_d1|mb_k3_e1|skip|{two}|row_d2_w20|mb_k3_e1|mb_k3_e1|skip" for two in ("id|mb_k3_e1", "mb_k3_e1|id")
    ]
    assert len({canonical_arch(Architecture.parse(arch), some) for arch in spellings}) == 1


def test_a_row_that_waits_brings_its_networks_when_it_comes() -> None:
    waiting = replace(SMALL.layers[5], candidates=("row_d2_w20",), pending=("row_d3_w4",))
    before = SMALL.replace_layers([*SMALL.layers[:5], waiting, *SMALL.layers[6:]])
    after = before.replace_layers(
        [*before.layers[:5], replace(SMALL.layers[5], candidates=("row_d2_w20", "row_d3_w4")), *before.layers[6:]]
    )
    assert before.size * 3 == after.size == SMALL.size
    assert (before.genes[8], after.genes[8]) == (("skip",), ("skip", *OPS[:2]))
    assert before.names == after.names
    assert all(arch in after for arch in before.enumerate())


def test_a_row_that_is_dropped_takes_its_networks_along() -> None:
    shallow = SMALL.replace_layers([replace(SMALL.layers[0], candidates=("row_d1",)), *SMALL.layers[1:]])
    assert (SMALL.size, shallow.size) == ((2 + 4 + 4) * 4 * 12, 2 * 4 * 12)
    assert shallow.genes[2] == ("skip",)
    assert SMALL.diff(shallow)[0].dropped == ("row_d2_w12", "row_d2_w8")


# -- costs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "digits_rows", "dna_rows"])
def test_costs_are_those_that_torch_counts(name: str) -> None:
    some = SMALL if name == "small" else load_space(name, size=16)
    rng = Random(1)
    table = cost_table(some, "torch")
    for arch in [some.sample(rng) for _ in range(3)]:
        network = Network(arch, some).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, some.stem.c_in, some.stem.size, some.stem.size))
        params = sum(weight.numel() for weight in network.parameters())
        assert (count_costs(some, arch, "torch").macs, count_costs(some, arch).params) == (
            counter.get_total_flops() / 2,
            params,
        )
        assert table.count([arch])[0, :2].tolist() == [counter.get_total_flops() / 2, params]


@settings(max_examples=25, deadline=None)
@given(spaces)
def test_bounds_are_the_least_and_the_most_there_is(drawn: SearchSpace) -> None:
    table = cost_table(drawn, latency=Milliseconds(), target=PRECISIONS["int8"])
    costs = table.count(drawn.enumerate())
    assert table.bounds().tolist() == pytest.approx(np.array([costs.min(axis=0), costs.max(axis=0)]))


@settings(max_examples=25, deadline=None)
@given(spaces, st.sampled_from(COLUMNS), st.tuples(st.floats(0, 1), st.floats(0, 1)), st.integers(0, 99))
def test_draws_reach_exactly_the_feasible_networks(
    drawn: SearchSpace, cost: str, shares: tuple[float, float], seed: int
) -> None:
    table, archs = cost_table(drawn, latency=Milliseconds(), target=PRECISIONS["int8"]), list(drawn.enumerate())
    costs = table.count(archs)[:, COLUMNS.index(cost)]
    low, high = np.quantile(costs, sorted(shares), method="nearest")
    feasible = {arch for arch, c in zip(archs, costs, strict=True) if low <= c <= high}
    found = sample_uniform(table, len(archs), Random(seed), limits={cost: (low, high)})
    assert set(found) == feasible
    assert len(found) == len(feasible)


def test_draws_are_uniform_over_architectures_though_rows_hold_more_or_fewer() -> None:
    table = cost_table(SMALL)
    least, most = table.bounds()[:, 0]
    places = CostHistogram.of(table, "macs").draw(least, most, 4800, np.random.default_rng(0))
    counts = Counter(map(tuple, places.tolist()))
    assert len(counts) == SMALL.size == 480
    chi_square = sum((n - 10) ** 2 / 10 for n in counts.values())
    assert abs(chi_square - 479) < 4 * math.sqrt(2 * 479)


def test_a_large_space_is_spread_evenly_over_cost() -> None:
    table = cost_table(load_space("dna_rows"))
    found = table.count(sample_stratified(table, 20, Random(0)))[:, 0]
    least, most = table.bounds()[:, 0]
    assert len(set(np.floor((found - least) / (most - least) * 20).astype(int))) == 20


# -- the same network, built, shown, scaled, delivered ----------------------------------------------------------------


def test_a_network_has_the_layers_of_its_row() -> None:
    arch = Architecture.parse("row_d2_w12|mb_k3_e1|mb_k5_e3|id|mb_k3_e1|row_d3_w4|mb_k3_e1|mb_k5_e3|mb_k3_e1")
    there, alone = resolve_variants(SMALL.check(arch), SMALL)
    assert str(there) == "mb_k3_e1|mb_k5_e3|id|mb_k3_e1|mb_k3_e1|mb_k5_e3|mb_k3_e1"
    assert [(layer.shape.c_in, layer.shape.c_out) for layer in alone.layers] == [
        (8, 12), (12, 8), (8, 8), (8, 8), (8, 4), (4, 4), (4, 16)
    ]  # fmt: skip
    assert alone.names == (
        "stage1.layer1",
        "stage1.layer2",
        *SMALL.names[3:5],
        *(f"stage3.layer{i}" for i in (1, 2, 3)),
    )
    assert count_costs(alone, there) == count_costs(SMALL, arch)
    shown = make_overview(SMALL, arch)
    assert [row.name for row in shown.rows] == ["stem", *alone.names, "head"]
    assert shown.totals[0].tolist() == sum(row.costs[0] for row in shown.rows).tolist()  # type: ignore[union-attr]


def test_a_path_through_the_supernet_is_the_network_with_its_weights() -> None:
    torch.manual_seed(0)
    supernet = Supernet(SMALL, zero_init=False).eval()
    x, rng = torch.randn(2, 1, 6, 6), Random(0)
    for arch in [SMALL.sample(rng) for _ in range(6)]:
        network = Network(arch, SMALL).eval()
        used = [
            m
            for cell, gene in zip(supernet.layers, SMALL.qualified_genes(arch), strict=True)
            for m in cell.active_modules(gene)
        ]  # type: ignore[operator]
        tensors = [
            t for part in (supernet.stem, nn.ModuleList(used), supernet.head) for t in part.state_dict().values()
        ]
        network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
        with torch.no_grad():
            assert torch.equal(supernet(x, arch), network(x))


def test_every_shape_is_measured() -> None:
    widths = {shape.c_out for op, shape in timed_parts(SMALL) if op == "mb_k5_e3"}
    assert widths == {8, 12, 16, 4, 20}
    assert not any(op.startswith("row") for op, _ in timed_parts(SMALL))


def test_a_scaled_network_has_no_rows_and_a_space_with_rows_is_not_scaled() -> None:
    some = load_space("dna_rows")
    arch = some.sample(Random(0))
    wide = scale_to_macs(some, arch, 1e9)
    assert wide.arch == resolve_variants(arch, some)[0]
    assert wide.macs == count_costs(wide.space, wide.arch).macs <= 1e9
    with pytest.raises(ValueError, match="'dna_rows' has rows, in whose names widths stand"):
        scale_widths(some, 0.5)


def test_a_delivered_network_is_read_back_and_its_source_tells_the_shapes(tmp_path: Path) -> None:
    arch = Architecture.parse("row_d2_w12|mb_k3_e1|mb_k5_e3|id|mb_k3_e1|row_d2_w20|mb_k3_e1|mb_k5_e3|skip")
    network = delivered(tmp_path / "net", SMALL, arch)
    text = (tmp_path / "net" / "model.py").read_text()
    assert "# stage1.layer2: 12 x 6² -> 8 x 6²" in text
    found: dict[str, object] = {"__name__": "model"}
    exec(compile(text, "model.py", "exec"), found)
    images = torch.rand(3, 1, 6, 6)
    with torch.no_grad():
        assert torch.equal(found["load"](tmp_path / "net")(images), network(images))  # type: ignore[operator]
    assert json.loads((tmp_path / "net" / "architecture.json").read_text())["arch"] == str(arch)


# -- DNA's table ------------------------------------------------------------------------------------------------------


def test_dnas_cells_as_recalled_are_2e17_networks() -> None:
    """The paper's table is recalled, not read; its product agrees with the "2 x 10^17" that is recalled of its text."""
    some = load_space("dna_rows")
    sizes = [some.slice(start, stop).size for start, stop in some.blocks]
    by_hand = [sum(6**depth for depth, _ in rows) for rows in DNA_ROWS.values()]
    assert sizes == [*by_hand, 6] == [288, 1548, 1548, 2808, 16848, 6]
    assert some.size == math.prod(sizes)
    assert f"{some.size:.2e}" == "1.96e+17"
    assert load_space("dna").sample(Random(0)).genes[0] == some.sample(Random(0)).genes[0]
