"""The spaces by name: their sizes, shapes and operations, and how published networks are written in them."""

from __future__ import annotations

from hashlib import sha256
from itertools import product
from random import Random

import pytest

from spaces.architecture import Architecture
from spaces.library.block_strings import from_block_strings
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.library.nse import NSE_POOLS, nse_architecture, nse_space
from spaces.space import SearchSpace, canonical_arch, make_divisible

WIDTHS = [16, 24, 40, 80, 96, 192, 320]


def outline(space: SearchSpace) -> list[tuple[int, int, int]]:
    """(output channels, stride, output size) of every layer."""
    return [(layer.shape.c_out, layer.shape.stride, layer.shape.size_out) for layer in space.layers]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("pad_nas_basic", 3 * 6**6 * 7**15),
        ("pad_nas_large", 3 * 18**6 * 19**15),
        ("dna", 6**19),
        ("nas_bench_macro", 6561),
        ("mobilenet_v2", 1),
        ("efficientnet_b0", 1),
    ],
)
def test_sizes_are_those_of_the_papers(name: str, size: int) -> None:
    assert load_space(name).size == size


def test_the_depths_of_dna_rows_are_those_that_an_author_counts() -> None:
    """https://github.com/changlin31/DNA/issues/28: the networks of each block, and of all six; widths play no part."""
    space = load_space("dna_rows")
    sizes = [space.slice(start, stop).size for start, stop in space.blocks]
    assert sizes == [288, 1548, 1548, 2808, 16848, 6]
    assert space.size == 195_898_498_887_057_408


@pytest.mark.parametrize("name", LIBRARY)
def test_a_space_reads_back_equal_and_holds_what_it_draws(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert SearchSpace.from_json(space.to_json()) == space
    arch = space.sample(Random(0))
    assert arch in space
    assert Architecture.parse(str(arch)) == arch


@pytest.mark.parametrize("name", LIBRARY)
def test_a_space_takes_other_images_and_classes(name: str) -> None:
    space = load_space(name, channels=2, size=48, classes=7)
    assert (space.stem.c_in, space.stem.size, space.head.classes) == (2, 48, 7)
    assert len(space.layers) == len(load_space(name).layers)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown space 'imagenet'; known: digits, mobile_28"):
        load_space("imagenet")


def test_digits_is_small_and_may_leave_layers_out() -> None:
    space = load_space("digits")
    assert outline(space) == [(8, 1, 8)] * 2 + [(16, 2, 4)] + [(16, 1, 4)] * 2 + [(32, 2, 2), (32, 1, 2)]
    assert space.layers[0].candidates == ("mb_k3_e1", "mb_k5_e1", "mb_k3_e3", "mb_k5_e3", "mb_k3_e6", "mb_k5_e6")
    assert ["id" in layer.candidates for layer in space.layers] == [False, True, False, True, True, False, True]


def test_nas_bench_macro_has_3969_networks() -> None:
    space = load_space("nas_bench_macro")
    strings = [Architecture(genes) for genes in product(*(layer.genes for layer in space.layers))]
    assert len({canonical_arch(arch, space) for arch in strings}) == 3969
    assert space.layers[0].candidates == ("proj", "mb_k3_e3_relu6", "mb_k5_e6_relu6")
    assert space.layers[1].candidates == ("id", "mb_k3_e3_relu6", "mb_k5_e6_relu6")


def test_pad_nas_forbids_identity_where_a_stage_begins() -> None:
    space = load_space("pad_nas_large")
    assert [layer.shape.c_out for layer in space.layers] == [
        16,
        *[24] * 4,
        *[40] * 4,
        *[80] * 4,
        *[96] * 4,
        *[192] * 4,
        320,
    ]
    begins = [0, 1, 5, 9, 13, 17, 21]
    assert [i for i, layer in enumerate(space.layers) if "id" not in layer.candidates] == begins
    assert space.layers[0].candidates == ("mb_k3_e1", "mb_k5_e1", "mb_k7_e1")


def test_dna_has_six_blocks_behind_a_fixed_layer() -> None:
    space = load_space("dna")
    blocks = [layer.block for layer in space.layers]
    assert {block: blocks.count(block) for block in blocks} == {
        "stem": 1,
        "stage1": 2,
        "stage2": 4,
        "stage3": 4,
        "stage4": 4,
        "stage5": 4,
        "stage6": 1,
    }
    assert space.layers[0].candidates == ("mb_k3_e1_se25_swish",)
    assert space.layers[1].candidates == (
        *("mb_k3_e6_se25_swish", "mb_k5_e6_se25_swish", "mb_k7_e6_se25_swish"),
        *("mb_k3_e3_se25_swish", "mb_k5_e3_se25_swish", "mb_k7_e3_se25_swish"),
    )
    assert [layer.shape.size_out for layer in space.layers] == [112, *[56] * 2, *[28] * 4, *[14] * 8, *[7] * 5]


def test_nse_pools_are_in_the_papers_order() -> None:
    assert {name: len(pool) for name, pool in NSE_POOLS.items()} == {
        "multi_mac": 27,
        "multi_mac_group": 72,
        "multi_branch": 19,
    }
    mac, group, gpu = NSE_POOLS["multi_mac"], NSE_POOLS["multi_mac_group"], NSE_POOLS["multi_branch"]
    assert [mac[i] for i in (0, 1, 3, 8)] == ["mb_k3_e1_g1x1", "mb_k3_e1_d2_g1x1", "mb_k3_e3", "mb_k3_e6_d3"]
    assert [mac[i] for i in (9, 12, 20, 21, 26)] == [
        "mb_k5_e1_g1x1",
        "mb_k7_e1_g1x1",
        "mb_k11_e6",
        "rec_k5_e1",
        "rec_k7_e4",
    ]
    assert group[:27] == mac
    assert [group[i] for i in (27, 28, 29, 30, 71)] == [
        *("mb_k3_e1_g1x2", "mb_k3_e1_g2x1", "mb_k3_e1_g2x2", "mb_k3_e3_g1x2"),
        "mb_k11_e6_g2x2",
    ]
    assert [gpu[i] for i in (0, 8, 9, 10, 11, 12, 13, 18)] == [
        *("mb_k3_e1_g1x1", "mb_k7_e6", "conv_k3_e1", "conv_k3_e2", "dual_k3_e1", "dual_k3_e2", "rec_k5_e1", "rec_k7_e4")
    ]


def test_nse_for_macs_has_22_cells() -> None:
    space = nse_space("multi_mac", "NER", [1, 3, 3, 3, 3, 3], WIDTHS, k=5)
    assert outline(space) == [
        (16, 1, 112),
        *[(24, 2, 56), *[(24, 1, 56)] * 3, (40, 2, 28), *[(40, 1, 28)] * 3, (80, 2, 14), *[(80, 1, 14)] * 3],
        *[(96, 1, 14), *[(96, 1, 14)] * 3, (192, 2, 7), *[(192, 1, 7)] * 3, (320, 1, 7)],
    ]
    assert space.merge == "mean"
    for layer in space.layers:
        assert layer.candidates == NSE_POOLS["multi_mac"][:5]
        assert layer.pending == NSE_POOLS["multi_mac"][5:]
        assert layer.skippable == layer.shape.is_residual
        assert layer.size == 2**5 - (not layer.skippable)


def test_nse_for_a_gpu_has_21_cells() -> None:
    space = nse_space("multi_branch", "NR", [1, 3, 3, 7, 3], [16, 32, 64, 128, 256])
    assert [c for c, _, _ in outline(space)] == [16, *[32] * 4, *[64] * 4, *[128] * 8, *[256] * 4]
    assert space.layers[-1].shape.size_out == 7


def test_nse_widths_are_rounded_to_multiples_of_8() -> None:
    assert [make_divisible(width * 1.04) for width in WIDTHS[1:]] == [24, 40, 80, 96, 200, 336]
    assert [make_divisible(width * 1.045) for width in WIDTHS[1:]] == [24, 40, 80, 104, 200, 336]
    assert make_divisible(10.9) == 16  # 8 would be less than nine tenths
    assert make_divisible(3) == 8


def test_nse_architectures_from_ids() -> None:
    arch = nse_architecture("multi_mac", [[0], [], [17, 11]])
    assert str(arch) == "mb_k3_e1_g1x1|skip|mb_k5_e6+mb_k9_e6"
    decorated = nse_architecture("multi_mac", [[3]], squeeze_excite=True, activation="swish")
    assert str(decorated) == "mb_k3_e3_seh25_swish"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nse_space("mega", "NR", [1], WIDTHS),
            "unknown pool 'mega'; known: multi_mac, multi_mac_group, multi_branch",
        ),
        (lambda: nse_space("multi_mac", "NEN", [1], WIDTHS), "unknown plan 'NEN'; known: NER, NR"),
        (lambda: nse_space("multi_mac", "NR", [1], WIDTHS), "'NR' has 5 groups of cells.*found 7 and 1"),
        (lambda: nse_architecture("multi_mac", [[27]]), r"the pool has the ids 0 to 26, found \[27\]"),
    ],
)
def test_mistakes_in_an_nse_space_are_explained(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()


def test_block_strings() -> None:
    space, arch = from_block_strings(
        ["ds_r1_k3_s1_c16_se0.25", "ir_r2_k5_s2_e6_c24_se0.25", "ir_r1_k3_s1_e1_c24"],
        stem=32,
        head=64,
        size=64,
        classes=5,
    )
    assert arch.genes == ("mb_k3_e1_se25_swish", "mb_k5_e6_se25_swish", "mb_k5_e6_se25_swish", "mb_k3_e1_g1x1_swish")
    assert arch in space
    assert space.size == 1
    assert outline(space) == [(16, 1, 32), (24, 2, 16), (24, 1, 16), (24, 1, 16)]
    assert space.names == ("stage1.layer1", "stage2.layer1", "stage2.layer2", "stage2.layer3")
    assert (space.stem.c_out, space.head.features, space.head.classes) == (32, 64, 5)


@pytest.mark.parametrize(
    "block", ["cn_r1_k3_s1_c16", "ir_r1_k3_s1_c16", "ds_r1_k3_s1_e6_c16", "ir_r1_k3_s1_e6_c16_noskip", "ir_k3", ""]
)
def test_a_block_string_of_another_form_is_refused(block: str) -> None:
    with pytest.raises(ValueError, match=r"block string '.*': expected ds_r<repeats>_k<kernel>"):
        from_block_strings([block])


@pytest.mark.parametrize("size", [28, 32, 64])
def test_rich_spaces_choose_more_than_the_spaces_of_the_presets(size: int) -> None:
    rich, coarse, rows = (load_space(f"{kind}_{size}") for kind in ("rich", "coarse", "rows"))
    preset = load_space({28: "mobile_28", 32: "mobile_cifar", 64: "mobile_64"}[size])
    ops = rich.layers[0].candidates
    assert {"mb_k3_e1", "mb_k5_e3", "mb_k3_e6", "conv_k3_e1", "mb_k3_e3_se25_swish"} < set(ops)
    assert rich.layers[0].shape.size_out >= 14
    assert [layer.candidates[len(ops) :] for layer in rich.layers[:2]] == [(), ("id",)]
    assert all(not layer.pending for layer in rich.layers + rows.layers)
    assert (rich.stem, rich.head, len(rich.layers) > len(preset.layers)) == (preset.stem, preset.head, True)
    known = [{*layer.candidates, *layer.pending} for layer in coarse.layers]
    assert known == [{*layer.candidates} for layer in rich.layers]
    assert len(coarse.layers[1].candidates) == 5


def test_rows_choose_depth_and_width_of_each_stage() -> None:
    first, second, _ = load_space("rows_28").variant_blocks
    assert first.variants == (
        *("row_d1", "row_d2_w16", "row_d2_w32", "row_d3_w8", "row_d3_w16", "row_d3_w24", "row_d5_w8", "row_d5_w16"),
    )
    assert second.variants[1] == "row_d2_w32"
    assert {block.layers[-1].block: block.variants[-1] for block in load_space("rows_64").variant_blocks}["stage4"] == (
        "row_d3_w240"
    )


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("digits", "c754d7d1a38c97dc"),
        ("mobile_28", "f99bc92296a87a5a"),
        ("mobile_cifar", "c0b1a3024fb5c237"),
        ("mobile_64", "dcb9a6486d636deb"),
        ("digits_rows", "f46cb4f9a82614ed"),
        ("dna_rows", "1e62b72e94b25290"),
    ],
)
def test_spaces_that_databases_hold_stay_as_they_are(name: str, digest: str) -> None:
    assert sha256(load_space(name).to_json().encode()).hexdigest()[:16] == digest
