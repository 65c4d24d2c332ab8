"""Costs: every published figure, every row of NAS-Bench-Macro, and what makes a table of costs usable."""

from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.architecture import Architecture, join
from spaces.costs.table import CONVENTIONS, WITHOUT_TARGET, cost_table, count_costs
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.block_strings import from_block_strings
from spaces.library.named_spaces import load_space
from spaces.library.nse import nse_architecture, nse_space
from spaces.space import SearchSpace

WIDTHS = [16, 24, 40, 80, 96, 192, 320]


def cells(text: str) -> list[list[int]]:
    """NSE's cells from text: cells stand apart, ids of one cell are joined by commas, ``-`` is an empty cell."""
    return [[int(i) for i in cell.split(",")] if cell != "-" else [] for cell in text.split()]


def only(space: SearchSpace) -> Architecture:
    """The architecture of a space that has one candidate per layer."""
    return Architecture(tuple(layer.candidates[0] for layer in space.layers))


def figures(space: SearchSpace, arch: Architecture, convention: str) -> tuple[int, int]:
    """Multiply-accumulates and parameters."""
    cost = count_costs(space, arch, convention)
    return cost.macs, cost.params


NSENET_27 = "0 6 3 0 16 3 9 11,17 9,2 12 1,6 9,12 9 17,14 21 3 13 19,3,14"
NSENET = "0 34 3 52 35 38 17,11,49 41 35 12 1,10,6 9 0,9 35,52,61 10,32 3,57 13 3,19,44"
NSE_FRONT = """
- 6 3 0 - 16 3 - 9 11,13,17 9 15 - 6 9,12 - 9 17,14 21 19 13 19,3,14
- 6 3 0 - 16,13 3 - 9 11,17 9,2 15 - 6 9,12 15 9 17,14 21 19 - 19,3,14
- 6,9 3 0 - 13 - 9 9 11,17 9 15 - 1,6 12 - 9 17,14 21 19 13 19,3,14
0 6 3 0 - 16 3 12 9 10,11,17 9,2 - - 1,6 12 15 9 17,13,14 21 19 13 19,3,14
- 6,9 3,0 0 - 16 3 - 9 11,17 9,2 15 - 10,6 9,12 15 - 17,14 21 3,19 13 19,3,14
0 6,9 3 0 - 16 3 - 9 11,17 9,2 15 - 6 9,12 - 0,9 17,14 21 19 13 19,3,14
- 6 3 0 - 16,13 - 9 9 11,17 9 15 12 1,6 12 - 9 17,14 21 19 13 19,3,14
0 6,9 3,0 - - 16 3 - 9 11,17 9,2 15 - 1,6 12 - 0,9 17,13,14 21 19 13 19,3,14
0 6,9 3,0 - - 13 3 9 9 11,17 9 15 - 1,6 9,12 - 9 17,13,14 10,21 19 13 19,3,14
- 6,9 3 0 - 13 3 9 9 11,17 9,2 15 - 1,6 9,12 - 9 17,14 21 19 13 19,3,7,14
0 6 3 - - 16 3 9 9 11,17 9 9,15 - 10,6 12 - 9 17,14 21 19 - 19,3,14
0 6,9 3 0 - 13 3 - 9 11,17 9,2 15 - 6 9,12 - 9 17,14 10,21 19 13 19,7,14
0 6 3 0 - 13 3 9 9 11,17 9,2 15 - 1,6 9,12 - - 17,14 21 - 13 19,3,14
0 6 3,0 0 - 16 3 - 9 11,17 9,2 15 12 1,6 12 - - 17,14 21 19 - 19,3,14
- 6 3,0 - - 16 3 9 9 11,17 9,2 15 - 6 12 - 9 17,14 10,21 19 - 19,3,14
0 6 3 - - 13 3 9 9 11,17 9,2 - - 6 9,12 15 - 17,14 21 19 13 19,3,14
0 6 3 0 - 16 3 - 9 11,17 9,2 - 12 1,6 9,12 - 9 17,14 21 3 13 19,3,14
"""
NSE_FRONT_UNION = (
    "0 6,9 0,3 0 - 13,16 3 9,12 9 10,11,13,17 2,9 9,15 12 1,6,10 9,12 15 0,9 13,14,17 10,21 3,19 13 3,7,14,19"
)

DNA_A = (
    "ds_r1_k3_s1_c16_se0.25 "
    "ir_r1_k5_s2_e3_c24_se0.25 ir_r1_k3_s1_e3_c24_se0.25 ir_r1_k3_s1_e6_c24_se0.25 "
    "ir_r2_k3_s2_e3_c40_se0.25 ir_r1_k5_s1_e3_c40_se0.25 ir_r1_k3_s1_e6_c40_se0.25 "
    "ir_r1_k7_s2_e6_c80_se0.25 ir_r1_k3_s1_e3_c80_se0.25 ir_r1_k5_s1_e3_c80_se0.25 ir_r1_k3_s1_e6_c80_se0.25 "
    "ir_r1_k5_s1_e6_c96_se0.25 ir_r2_k5_s1_e3_c96_se0.25 ir_r1_k5_s1_e6_c96_se0.25 "
    "ir_r1_k5_s2_e6_c160_se0.25 ir_r3_k5_s1_e3_c160_se0.25 ir_r1_k5_s1_e6_c160_se0.25 "
    "ir_r1_k3_s1_e6_c320_se0.25"
)
DNA_B = (
    "ds_r1_k3_s1_c16_se0.25 "
    "ir_r1_k3_s2_e3_c24_se0.25 ir_r1_k5_s1_e3_c24_se0.25 ir_r1_k7_s1_e6_c24_se0.25 "
    "ir_r1_k7_s2_e6_c40_se0.25 ir_r1_k5_s1_e3_c40_se0.25 ir_r1_k7_s1_e6_c40_se0.25 "
    "ir_r1_k5_s2_e6_c80_se0.25 ir_r2_k5_s1_e3_c80_se0.25 ir_r1_k3_s1_e6_c80_se0.25 "
    "ir_r1_k5_s1_e6_c96_se0.25 ir_r2_k5_s1_e3_c96_se0.25 ir_r1_k5_s1_e6_c96_se0.25 "
    "ir_r1_k7_s2_e6_c192_se0.25 ir_r3_k5_s1_e3_c192_se0.25 ir_r1_k7_s1_e6_c192_se0.25 "
    "ir_r1_k3_s1_e6_c320_se0.25"
)
DNA_C = (
    "ds_r1_k3_s1_c16_se0.25 "
    "ir_r1_k5_s2_e6_c24_se0.25 ir_r1_k3_s1_e6_c24_se0.25 "
    "ir_r2_k5_s2_e6_c40_se0.25 ir_r1_k3_s1_e6_c40_se0.25 ir_r1_k5_s1_e6_c40_se0.25 "
    "ir_r1_k5_s2_e6_c80_se0.25 ir_r1_k3_s1_e6_c80_se0.25 ir_r2_k5_s1_e6_c80_se0.25 "
    "ir_r1_k3_s1_e6_c112_se0.25 ir_r2_k5_s1_e6_c112_se0.25 ir_r1_k5_s1_e3_c112_se0.25 "
    "ir_r1_k5_s2_e6_c192_se0.25 ir_r1_k5_s1_e3_c192_se0.25 ir_r2_k5_s1_e6_c192_se0.25 "
    "ir_r1_k3_s1_e6_c320_se0.25"
)
DNA_D = (
    "ds_r1_k3_s1_c16_se0.25 "
    "ir_r1_k7_s2_e6_c24_se0.25 ir_r1_k5_s1_e6_c24_se0.25 ir_r1_k7_s1_e6_c24_se0.25 "
    "ir_r4_k7_s2_e6_c40_se0.25 "
    "ir_r1_k7_s2_e6_c80_se0.25 ir_r2_k5_s1_e6_c80_se0.25 ir_r1_k7_s1_e6_c80_se0.25 "
    "ir_r1_k7_s1_e6_c112_se0.25 ir_r1_k5_s1_e6_c112_se0.25 ir_r1_k7_s1_e6_c112_se0.25 ir_r1_k5_s1_e6_c112_se0.25 "
    "ir_r1_k7_s2_e6_c192_se0.25 ir_r3_k5_s1_e6_c192_se0.25 ir_r1_k7_s1_e6_c192_se0.25 "
    "ir_r1_k3_s1_e6_c320_se0.25"
)


def test_nsenet_27() -> None:
    space = nse_space("multi_mac", "NER", [1, 2, 2, 2, 2, 3], WIDTHS, scale=1.04)
    assert figures(space, nse_architecture("multi_mac", cells(NSENET_27)), "nse") == (326_326_224, 4_570_464)


def test_nsenet_27_with_squeeze_excitation() -> None:
    space = nse_space("multi_mac", "NER", [1, 2, 2, 2, 2, 3], WIDTHS, scale=1.04, squeeze_excite=True)
    arch = nse_architecture("multi_mac", cells(NSENET_27), squeeze_excite=True)
    macs, params = figures(space, arch, "nse+se")
    assert (round(macs / 1e6, 3), params) == (328.336, 6_588_572)


def test_nsenet_has_its_published_333_million_with_squeeze_excitation() -> None:
    space = nse_space("multi_mac_group", "NER", [1, 1, 2, 3, 2, 3], WIDTHS, scale=1.045, squeeze_excite=True)
    arch = nse_architecture("multi_mac_group", cells(NSENET), squeeze_excite=True)
    assert arch in space
    assert int(count_costs(space, arch, "nse+se").macs / 1e6) == 333


def test_the_stored_front_of_nse() -> None:
    space = nse_space("multi_mac", "NER", [1, 3, 3, 3, 3, 3], WIDTHS)
    front = [cells(line) for line in NSE_FRONT.strip().splitlines()]
    archs = [nse_architecture("multi_mac", member) for member in front]
    assert all(arch in space for arch in archs)
    millions = [round(count_costs(space, arch, "nse").macs / 1e6, 2) for arch in archs[:8]]
    assert millions == [312.5, 311.71, 303.3, 335.85, 339.91, 326.03, 313.16, 333.67]
    assert [sorted({i for cell in column for i in cell}) for column in zip(*front, strict=True)] == cells(
        NSE_FRONT_UNION
    )


def test_dna_a() -> None:
    space, arch = from_block_strings(DNA_A.split())
    assert figures(space, arch, "macs+se") == (335_149_790, 4_243_318)
    assert figures(space, arch, "dna") == (348_161_054, 4_243_318)


@pytest.mark.parametrize(
    ("blocks", "flops", "params"), [(DNA_A, 348, 4.2), (DNA_C, 466, 5.3), (DNA_D, 611, 6.4), (DNA_B, None, 4.9)]
)
def test_dna_as_published(blocks: str, flops: int | None, params: float) -> None:
    """In millions. The published 394 of DNA-b is not met by any convention; its parameters are."""
    cost = count_costs(*from_block_strings(blocks.split()), "dna")
    assert round(cost.params / 1e6, 1) == params
    assert flops is None or round(cost.macs / 1e6) == flops


def test_efficientnet_b0() -> None:
    space = load_space("efficientnet_b0")
    assert count_costs(space, only(space)).params == 5_288_548
    assert count_costs(space, only(space), "dna").macs // 1000 == 399_362


def test_mobilenet_v2() -> None:
    space = load_space("mobilenet_v2")
    assert figures(space, only(space), "macs") == (300_774_272, 3_504_872)


@pytest.mark.parametrize(
    ("stages", "macs", "params"),
    [
        (
            "31 | 53 32 31 id | 74 34 34 33 | 75 72 34 32 | 54 32 71 52 | 75 76 54 54 | 76",
            270_925_824,
            4_022_944,
        ),
        (
            "31 | 56 33 32 id | 76 34 34 33 | 75 74 34 52 | 54 33 34 33 | 75 76 35 54 | 76",
            334_796_736,
            4_236_896,
        ),
    ],
    ids=["L-A", "L-B"],
)
def test_pad_nas(stages: str, macs: int, params: int) -> None:
    """Stages of kernel and expansion."""
    genes = [gene if gene == "id" else f"mb_k{gene[0]}_e{gene[1]}" for gene in stages.replace("|", " ").split()]
    space = load_space("pad_nas_large")
    assert figures(space, space.check(Architecture(tuple(genes))), "macs") == (macs, params)


def test_fbnet_c_whose_blocks_of_expansion_1_do_have_a_first_convolution() -> None:
    """timm's fbnetc_100 has 5.57 M parameters; 385 M multiply-accumulates are timm's too, the paper prints 375."""
    blocks = (
        "ir_r1_k3_s1_e1_c16 ir_r1_k3_s2_e6_c24 ir_r2_k3_s1_e1_c24 "
        "ir_r1_k5_s2_e6_c32 ir_r1_k5_s1_e3_c32 ir_r1_k5_s1_e6_c32 ir_r1_k3_s1_e6_c32 "
        "ir_r1_k5_s2_e6_c64 ir_r1_k5_s1_e3_c64 ir_r2_k5_s1_e6_c64 ir_r3_k5_s1_e6_c112 ir_r1_k5_s1_e3_c112 "
        "ir_r4_k5_s2_e6_c184 ir_r1_k3_s1_e6_c352"
    )
    space, arch = from_block_strings(blocks.split(), 16, 1984, activation="relu")
    assert arch.genes[0] == "mb_k3_e1_g1x1"
    assert figures(space, arch, "macs") == (384_960_160, 5_572_200)


def test_every_network_of_nas_bench_macro(data_dir: Path) -> None:
    rows = pd.read_csv(data_dir / "nas" / "nas_bench_macro_cifar10.csv.gz", dtype={"arch": str})
    space = load_space("nas_bench_macro")
    archs = [
        Architecture(tuple(layer.candidates[int(digit)] for layer, digit in zip(space.layers, digits, strict=True)))
        for digits in rows["arch"]
    ]
    assert len(archs) == space.size == 6561
    costs = cost_table(space).count(archs)
    assert np.array_equal(costs[:, 0], rows["flops"])
    assert np.array_equal(costs[:, 1], rows["params"])


class Milliseconds:
    """A latency model for tests: parameters as nanoseconds, and half a millisecond for stem and head."""

    def operation(self, op: str, shape: Shape) -> float:
        return 0.0 if op in ("id", "skip") else shape.c_out * len(op) / 1e6

    def fixed(self, space: SearchSpace) -> float:
        return 0.5


BRANCHED = nse_space("multi_mac", "NER", [1, 2, 0, 0, 1, 0], WIDTHS, k=3, size=32, classes=10)


@pytest.mark.parametrize(
    "space", [load_space("digits"), load_space("dna"), BRANCHED], ids=lambda space: str(space.name)
)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_batch_is_counted_like_its_members(space: SearchSpace, convention: str) -> None:
    rng = Random(0)
    archs = [space.sample(rng) for _ in range(20)] * 2
    costs = cost_table(space, convention, Milliseconds()).count(archs)
    for arch, row in zip(archs, costs, strict=True):
        one = count_costs(space, arch, convention, Milliseconds())
        assert row == pytest.approx([one.macs, one.params, one.latency_ms], rel=1e-12)
        assert one.params == one.counts.params


@given(st.randoms(use_true_random=False))
def test_costs_add_up_over_layers(rng: Random) -> None:
    table = cost_table(BRANCHED)
    arch = BRANCHED.sample(rng)
    rows = [layer.cost_of(gene) for layer, gene in zip(table.layers, arch.genes, strict=True)]
    assert np.array_equal(table.count([arch])[0], table.fixed + np.sum(rows, axis=0))
    changed = BRANCHED.sample(rng)
    i = rng.randrange(len(arch.genes))
    mixed = Architecture((*arch.genes[:i], changed.genes[i], *arch.genes[i + 1 :]))
    difference = table.count([mixed])[0] - table.count([arch])[0]
    assert np.array_equal(difference, table.layers[i].cost_of(changed.genes[i]) - rows[i])


@given(st.permutations(["mb_k3_e3", "mb_k5_e6", "conv_k3_e1"]))
def test_branches_add_up_in_any_order(ops: list[str]) -> None:
    layer = cost_table(BRANCHED).layers[0]
    assert np.array_equal(layer.cost_of("+".join(ops)), layer.cost_of(join(ops)))
    assert np.array_equal(layer.cost_of(join(ops)), sum(layer.cost_of(op) for op in ops))


def small(branches: int, skippable: bool) -> SearchSpace:
    """Two layers of three operations each, at 8 pixels."""
    layers = tuple(
        Layer(Shape(8, 8, 1, 8), ("mb_k3_e1", "mb_k5_e3", "conv_k3_e1"), branches=branches, skippable=skippable)
        for _ in range(2)
    )
    return SearchSpace("small", layers, Stem(8, 1, size=8), Head(0, 10), merge="mean")


@pytest.mark.parametrize("branches", [1, 2, 3])
@pytest.mark.parametrize("skippable", [False, True])
def test_bounds_are_those_of_all_architectures(branches: int, skippable: bool) -> None:
    space = small(branches, skippable)
    table = cost_table(space, latency=Milliseconds())
    costs = table.count(Architecture(genes) for genes in product(*(layer.genes for layer in space.layers)))
    assert len(costs) == space.size
    assert table.bounds() == pytest.approx(np.array([costs.min(axis=0), costs.max(axis=0)]), rel=1e-12)


def test_a_layer_lists_its_genes_and_their_costs() -> None:
    layer = cost_table(small(branches=2, skippable=True)).layers[0]
    assert layer.genes == (
        *("mb_k3_e1", "mb_k5_e3", "conv_k3_e1"),
        *("mb_k3_e1+mb_k5_e3", "conv_k3_e1+mb_k3_e1", "conv_k3_e1+mb_k5_e3"),
        "skip",
    )
    assert layer.costs.shape == (7, len(WITHOUT_TARGET))
    assert layer.costs[-1].tolist() == [0, 0, 0]
    assert np.array_equal(layer.costs[3], layer.costs[0] + layer.costs[1])


def test_many_branches_are_not_listed_to_be_counted() -> None:
    space = nse_space("multi_mac", "NER", [1, 3, 3, 3, 3, 3], WIDTHS)
    assert space.layers[0].size == 2**27
    table = cost_table(space, "nse")
    everything = Architecture(tuple(join(layer.candidates) for layer in space.layers))
    assert table.count([everything])[0, 0] == table.bounds()[1, 0] == count_costs(space, everything, "nse").macs


def test_a_table_travels_to_another_process() -> None:
    space = load_space("digits")
    arch = space.sample(Random(0))
    table = cost_table(space, latency=Milliseconds())
    assert np.array_equal(pickle.loads(pickle.dumps(table)).count([arch]), table.count([arch]))


def test_nothing_to_count() -> None:
    assert cost_table(load_space("digits")).count([]).shape == (0, 3)


def test_an_operation_without_a_cost_is_named_with_its_layer() -> None:
    space = load_space("digits")
    layers = list(space.layers)
    layers[3] = Layer(layers[3].shape, ("magic_k3",), block=layers[3].block)
    message = "stage2.layer2 has no cost for 'magic_k3': unknown operation 'magic_k3'; known: id, skip"
    with pytest.raises(ValueError, match=message):
        cost_table(space.replace_layers(layers))
    genes = list(space.sample(Random(0)).genes)
    genes[3] = "magic_k3"
    for counted in (count_costs, lambda s, a: cost_table(s).count([a])):
        with pytest.raises(ValueError, match=message):
            counted(space, Architecture(tuple(genes)))


def test_a_wrong_length_and_a_wrong_convention_are_explained() -> None:
    space = load_space("digits")
    for counted in (count_costs, lambda s, a: cost_table(s).count([a])):
        with pytest.raises(ValueError, match="'digits' has 7 layers, and 'id\\|id' has 2 genes"):
            counted(space, Architecture(("id", "id")))
    with pytest.raises(ValueError, match="unknown convention 'flops'; known: macs, macs\\+se, torch, nse"):
        cost_table(space, "flops")


def test_conventions_say_what_they_count_and_who_counts_so() -> None:
    for name, convention in CONVENTIONS.items():
        assert len(convention.definition) > 10, name
        assert len(convention.source) > 10, name
