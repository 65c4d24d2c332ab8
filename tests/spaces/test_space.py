"""The nouns: architectures, layers and spaces as frozen data with one spelling."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.architecture import Architecture, join, operations
from spaces.layer import Head, Layer, LayerChange, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace, canonical_arch

SHAPE = Shape(8, 8, 1, 16)
DOWN = Shape(8, 16, 2, 16)


def space(*layers: Layer, c: int = 8, size: int = 16) -> SearchSpace:
    return SearchSpace("test", layers, Stem(c, 1, size=size), Head(0, 10))


genes = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="|+ \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"), min_size=1),
    min_size=1,
    max_size=4,
)


@given(st.lists(genes.map("+".join), min_size=1, max_size=6).map(tuple))
def test_an_architecture_is_read_back_as_it_was_written(genes: tuple[str, ...]) -> None:
    assert Architecture.parse(str(Architecture(genes))).genes == genes


@pytest.mark.parametrize("text", ["", "a||b", "a|", "a+|b"])
def test_an_empty_gene_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is empty: expected operations"):
        Architecture.parse(text)


def test_architectures_are_ordered_and_hashable() -> None:
    assert sorted([Architecture(("b",)), Architecture(("a", "c"))])[0] == Architecture(("a", "c"))
    assert {Architecture(("a",)), Architecture(("a",))} == {Architecture(("a",))}


def test_branches_have_no_order_and_none_is_skip() -> None:
    assert join(["b", "a"]) == "a+b"
    assert operations("a+b") == ("a", "b")
    assert join([]) == "skip"


def test_a_layer_lists_every_set_of_branches() -> None:
    layer = Layer(SHAPE, ("b", "a", "c"), branches=2, skippable=True)
    assert layer.genes == ("b", "a", "c", "a+b", "b+c", "a+c", "skip")
    assert layer.size == 7
    assert all(layer.allows(gene) for gene in layer.genes)
    assert layer.allows("b+a")
    assert not any(layer.allows(gene) for gene in ("a+b+c", "a+a", "d", "id"))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (lambda: Layer(SHAPE, ()), "no candidates"),
        (lambda: Layer(SHAPE, ("a", "b"), pending=("a",)), "stand twice in a layer of stage1: a"),
        (lambda: Layer(DOWN, ("a", "id")), "cannot be an identity"),
        (lambda: Layer(DOWN, ("a",), skippable=True), "cannot be an identity"),
        (
            lambda: space(Layer(DOWN, ("a",)), Layer(SHAPE, ("a",))),
            "stage1.layer2 expects 8 channels at 16 pixels, and is",
        ),
        (lambda: SearchSpace("none", (), Stem(8), Head(0, 2)), "has no layers"),
    ],
)
def test_what_cannot_be_built_is_refused(layer: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        layer()  # type: ignore[operator]


def test_layers_are_named_by_block_and_place() -> None:
    tail = Shape(16, 16, 1, 8)
    built = space(Layer(SHAPE, ("a",)), Layer(DOWN, ("a",), block="stage2"), Layer(tail, ("a",), block="stage2"))
    assert built.names == ("stage1.layer1", "stage2.layer1", "stage2.layer2")


def test_size_counts_strings() -> None:
    assert space(Layer(SHAPE, ("a", "b", "id")), Layer(SHAPE, ("a", "b"), branches=2)).size == 3 * 3


@pytest.mark.parametrize("name", ["digits", "nas_bench_macro", "pad_nas_large", "dna"])
def test_json_gives_an_equal_space_back(name: str) -> None:
    assert SearchSpace.from_json(load_space(name).to_json()) == load_space(name)


def test_a_foreign_architecture_is_told_where_it_does_not_fit() -> None:
    built = space(Layer(SHAPE, ("a", "b")), Layer(SHAPE, ("a", "id")))
    assert Architecture.parse("b|id") in built
    assert Architecture.parse("id|b") not in built
    with pytest.raises(ValueError, match=r"stage1.layer2 of 'test' cannot be 'b'; its candidates: a, id"):
        built.check(Architecture.parse("a|b"))
    with pytest.raises(ValueError, match="has 2 layers, and 'a' has 1 genes"):
        built.check(Architecture.parse("a"))


def test_sampling_is_uniform() -> None:
    built = space(Layer(SHAPE, ("a", "b", "id")), Layer(SHAPE, ("a", "b")))
    rng = Random(0)
    counts = Counter(str(built.sample(rng)) for _ in range(6000))
    assert len(counts) == 6
    assert all(900 < n < 1100 for n in counts.values())


def test_an_identity_commutes_within_a_stage_and_not_beyond() -> None:
    built = space(
        Layer(SHAPE, ("a", "id")),
        Layer(SHAPE, ("a", "id")),
        Layer(DOWN, ("a",)),
        Layer(Shape(16, 16, 1, 8), ("a", "id")),
    )
    assert canonical_arch(Architecture.parse("id|a|a|id"), built) == canonical_arch(
        Architecture.parse("a|id|a|id"), built
    )
    assert canonical_arch(Architecture.parse("id|a|a|a"), built) != canonical_arch(
        Architecture.parse("a|a|a|id"), built
    )


def test_canonical_sorts_branches_and_calls_every_identity_id() -> None:
    built = space(Layer(SHAPE, ("a", "b"), branches=2, skippable=True), Layer(SHAPE, ("a", "b"), branches=2))
    assert str(canonical_arch(Architecture.parse("b+a|skip"), built)) == "a+b|id"
    assert str(canonical_arch(Architecture.parse("skip|b+a"), built)) == "a+b|id"


def test_operations_of_one_stage_do_not_commute() -> None:
    built = space(Layer(SHAPE, ("a", "b")), Layer(SHAPE, ("a", "b")))
    assert canonical_arch(Architecture.parse("a|b"), built) != canonical_arch(Architecture.parse("b|a"), built)


def test_nas_bench_macro_holds_3969_networks() -> None:
    macro = load_space("nas_bench_macro")
    archs = (Architecture(genes) for genes in product(*(layer.genes for layer in macro.layers)))
    assert macro.size == 6561
    assert len({canonical_arch(arch, macro) for arch in archs}) == 3969


def test_diff_tells_what_was_kept_dropped_and_added() -> None:
    before = space(Layer(SHAPE, ("a", "b"), pending=("c",)), Layer(SHAPE, ("a",)))
    after = before.replace_layers([replace(before.layers[0], candidates=("a", "c"), pending=()), before.layers[1]])
    assert before.diff(after) == (LayerChange(("a",), ("b",), ("c",)), LayerChange(("a",), (), ()))


def test_blocks_are_the_stages_and_the_first_has_the_stem() -> None:
    assert load_space("digits").blocks == ((0, 2), (2, 5), (5, 7))
    assert load_space("dna").blocks == ((0, 3), (3, 7), (7, 11), (11, 15), (15, 19), (19, 20))
    assert load_space("mobilenet_v2").blocks[0] == (0, 1)
