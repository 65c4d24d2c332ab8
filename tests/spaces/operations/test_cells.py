"""Cells: one spelling per network, costs that torch counts too, and offspring that is always valid."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations, product
from random import Random
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from spaces.layer import Shape
from spaces.library.named_spaces import load_space
from spaces.networks.build import build_operation
from spaces.networks.cell_supernet import CellSupernet, copy_cell_weights
from spaces.networks.supernet import Supernet
from spaces.operations.cells import (
    Alphabet,
    Genome,
    canonical_cell,
    crossover,
    is_valid,
    mutate,
    parse_cell,
    random_cell,
    reference_cells,
    unroll,
)
from spaces.operations.grammar import count_operation
from spaces.size import Size, both_sides
from spaces.space import SearchSpace

ALPHABET = Alphabet(codes="ip357")
SHAPE = Shape(4, 6, 2, 7)


@st.composite
def genomes(draw: st.DrawFn) -> Genome:
    """Any valid genome of two to five nodes, however it is spelled."""
    nodes = draw(st.integers(2, 5))
    rows = tuple("".join(draw(st.lists(st.sampled_from("-ip357"), min_size=i, max_size=i))) for i in range(1, nodes))
    gates = tuple(draw(st.lists(st.booleans(), min_size=nodes - 1, max_size=nodes - 1)))
    genome = Genome(draw(st.sampled_from([1, 2])), rows, gates)
    return genome if is_valid(genome) else Genome(genome.expansion, ("3",), (False,))


def expression(genome: Genome, node: int | None = None) -> Any:
    """What a node computes, as nested sorted tuples: an independent reading of the graph, blind to numbering."""
    node = len(genome.node_inputs) if node is None else node
    if node == 0:
        return "x"
    taken = [(code, source) for source, code in enumerate(genome.node_inputs[node - 1]) if code != "-"]
    terms = [(code, inner, not source) for code, source in taken if (inner := expression(genome, source)) is not None]
    if not terms:
        return None  # nothing arrives
    if len(terms) == 1 and terms[0][0] == "i" and not terms[0][2]:
        return terms[0][1]
    return (genome.gates[node - 1] and len(terms) > 1, *sorted(map(repr, terms)))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2]), st.sampled_from([4, 6]), st.sampled_from([5, (5, 8)]))
def test_the_cost_of_a_cell_is_what_torch_counts(seed: int, stride: int, c_out: int, size: Size) -> None:
    op, shape = str(random_cell(ALPHABET, Random(seed))), Shape(4, c_out, stride, size)
    module = build_operation(op, shape).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = module(torch.zeros(1, 4, *both_sides(size)))
    assert output.shape == (1, c_out, *both_sides(shape.size_out))
    counts = count_operation(op, shape)
    assert counter.get_total_flops() == 2 * counts.macs
    assert sum(p.numel() for p in module.parameters()) == counts.params


def test_the_cost_of_a_cell_by_hand() -> None:
    """Expanded at 7 x 7 to 12 channels; a 3x3 with stride 2, a 5x5 behind it, a strided identity; projected at 4 x 4."""
    counts = count_operation("cell:e3_3_i5", SHAPE)
    assert counts.macs == 12 * 4 * 49 + (12 * 9 + 12 * 25 + 6 * 12) * 16
    assert counts.params == (12 * 4 + 12 * 9 + 12 * 25 + 6 * 12) + 2 * (12 + 12 + 12 + 6)


def test_the_chain_of_one_3x3_is_mobilenetv2s_block() -> None:
    shape = Shape(4, 4, 1, 6)
    cell, block = build_operation("cell:e6_3", shape).eval(), build_operation("mb_k3_e6", shape).eval()
    weights = zip(block.state_dict().keys(), cell.state_dict().values(), strict=True)
    block.load_state_dict(dict(weights))
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(cell(x), block(x))
    assert count_operation("cell:e6_3", shape) == count_operation("mb_k3_e6", shape)


def test_a_cell_computes_what_its_name_says() -> None:
    """Node 1 = 3x3 of node 0; node 2 = gated sum of node 0 and the average of node 1; stride 2 on what leaves node 0."""
    module = build_operation("cell:e2_3_ipg", SHAPE).eval()
    x = torch.randn(2, 4, 7, 7)
    with torch.no_grad():
        node0 = module.expand(x)
        node1 = module.edges["01_3"](node0)
        average = torch.nn.functional.avg_pool2d(node1, 3, 1, 1, count_include_pad=False)
        summed = node0[:, :, ::2, ::2] + average
        node2 = summed * torch.sigmoid(summed.mean((2, 3)))[:, :, None, None]
        assert torch.allclose(module(x), module.project(node2), atol=1e-6)


# -- one network, one spelling ----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(genomes(), st.randoms(use_true_random=False))
def test_the_canonical_form_knows_no_numbering_and_keeps_what_is_computed(genome: Genome, rng: Random) -> None:
    form = canonical_cell(genome)
    assert canonical_cell(form) == form
    assert parse_cell(str(form)) == form
    assert expression(form) == expression(genome)
    assert canonical_cell(renumbered(genome, rng)) == form


def renumbered(genome: Genome, rng: Random) -> Genome:
    """The same graph under another numbering of its inner nodes, any that keeps edges pointing forward."""
    output = len(genome.node_inputs)
    orders = [
        (0, *order, output)
        for order in permutations(range(1, output))
        if all((0, *order, output).index(a) < (0, *order, output).index(b) for a, b in genome.edges)
    ]
    order = rng.choice(orders)
    rows = tuple("".join(genome.edges.get((order[j], order[i]), "-") for j in range(i)) for i in range(1, output + 1))
    return Genome(genome.expansion, rows, tuple(genome.gates[node - 1] for node in order[1:]))


def test_no_two_forms_are_isomorphic() -> None:
    """All triangles over nothing, identity and 3x3, compared by networkx as graphs with labelled edges."""
    forms = set()
    for codes in map("".join, product("-i3", repeat=6)):
        genome = Genome(1, (codes[0], codes[1:3], codes[3:]), (False,) * 3)
        forms |= {canonical_cell(genome)} if is_valid(genome) else set()
    alike: dict[Any, list[nx.DiGraph]] = {}
    for form in forms:
        graph = nx.DiGraph([(a, b, {"code": code}) for (a, b), code in form.edges.items()])
        alike.setdefault((len(form.node_inputs), *sorted(form.edges.values())), []).append(graph)
    same = nx.isomorphism.categorical_edge_match("code", None)
    for graphs in alike.values():
        assert not any(nx.is_isomorphic(a, b, edge_match=same) for a, b in combinations(graphs, 2))


@pytest.mark.parametrize(
    ("spelled", "form"),
    [
        (("3", "-i", "--i"), "cell:e1_3"),  # what merely passes on
        (("-", "3-", "-35"), "cell:e1_3_-5"),  # an input that nothing reaches
        (("3", "5-", "-3-"), "cell:e1_3_-3"),  # a node that leads nowhere
        (("5", "3-", "-i5"), "cell:e1_3_5-_-5i"),  # numbered by the alphabet
        (("i", "-3"), "cell:e1_i_-3"),  # the layer's stride is on it
    ],
)
def test_spellings_and_their_form(spelled: tuple[str, ...], form: str) -> None:
    genome = Genome(1, spelled, (False,) * len(spelled))
    assert str(canonical_cell(genome)) == form
    if str(genome) != form:
        with pytest.raises(ValueError, match=f"is spelled '{form}'"):
            parse_cell(str(genome))


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("cell:e0_3", "is not cell:e<expansion>"),
        ("cell:e6", "is not cell:e<expansion>"),
        ("cell:e6_33", "of the n-th node n characters"),
        ("cell:e6_3_4i", "each one of - i p 3 5 7"),
        ("cell:e6_3_gelu", "relu6 or swish, or nothing"),
        ("cell:e6_-_-3", "is not valid: nothing leads from node 0 to node 2"),
        ("cell:e6_3g", "is spelled 'cell:e6_3'"),
    ],
)
def test_a_name_that_means_nothing_is_explained(op: str, message: str) -> None:
    for ask in (count_operation, build_operation):
        with pytest.raises(ValueError, match=message):
            ask(op, SHAPE)


# -- offspring --------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 4))
def test_offspring_is_valid_canonical_inside_the_alphabet_and_seeded(seed: int, nodes: int, window: int) -> None:
    alphabet = Alphabet(nodes, "i35", (1, 3))

    def family(rng: Random) -> list[Genome]:
        a, b = random_cell(alphabet, rng), random_cell(alphabet, rng)
        return [a, b, mutate(a, alphabet, rng, window), crossover(a, b, alphabet, rng)]

    cells = family(Random(seed))
    assert cells == family(Random(seed))
    assert cells[2] != cells[0]
    for cell in cells:
        assert parse_cell(str(cell)) == cell
        assert len(cell.node_inputs) < nodes
        assert set("".join(cell.node_inputs)) <= set("-i35")
        assert cell.expansion in (1, 3)


def test_a_mutation_with_a_window_of_one_changes_one_attribute() -> None:
    """Against a list of all genomes that differ from the parent's four nodes in the expansion, one edge or one gate."""
    rng, alphabet = Random(0), Alphabet(codes="i3", expansions=(1, 3))
    for _ in range(8):
        parent = random_cell(alphabet, rng)
        whole = unroll(parent, 4)
        near = [replace(whole, expansion=expansion) for expansion in (1, 3)]
        for node, (row, gate) in enumerate(zip(whole.node_inputs, whole.gates, strict=True)):
            rows = [row[:j] + code + row[j + 1 :] for j in range(len(row)) for code in "-i3"]
            near += [
                replace(whole, node_inputs=(*whole.node_inputs[:node], row, *whole.node_inputs[node + 1 :]))
                for row in rows
            ]
            near.append(replace(whole, gates=(*whole.gates[:node], not gate, *whole.gates[node + 1 :])))
        neighbours = {canonical_cell(genome) for genome in near if is_valid(genome)} - {parent}
        children = {mutate(parent, alphabet, rng, window=1) for _ in range(200)}
        assert children <= neighbours
        assert len(children) > 0.8 * len(neighbours)


def test_crossover_takes_every_node_from_a_parent() -> None:
    a, b = parse_cell("cell:e1_3_-3_--3"), parse_cell("cell:e6_5_-5_--5")
    rng = Random(0)
    children = {str(crossover(a, b, Alphabet(), rng)) for _ in range(200)}
    assert children == {f"cell:e{e}_{x}_-{y}_--{z}" for e in (1, 6) for x, y, z in product("35", repeat=3)}


def test_an_alphabet_with_one_cell_has_no_neighbour() -> None:
    with pytest.raises(ValueError, match="the alphabet allows too few"):
        mutate(parse_cell("cell:e1_i"), Alphabet(nodes=2, codes="i", expansions=(1,)), Random(0))
    with pytest.raises(ValueError, match="has 3 nodes, expected at most 2"):
        unroll(parse_cell("cell:e1_3_-3"), 2)


# -- shared weights ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells() -> SearchSpace:
    ops = ("cell:e1_3", "cell:e3_3_i5g", "cell:e3_3_-p")
    return load_space("digits").replace_layers(
        type(layer)(layer.shape, ops, block=layer.block) for layer in load_space("digits").layers
    )


def test_cells_of_one_layer_and_expansion_share_edges(cells: SearchSpace) -> None:
    supernet = CellSupernet(cells, [*map(parse_cell, cells.layers[0].candidates)])
    names = [name for name, _ in supernet.layers[0].named_parameters() if name.endswith("0.weight")]
    assert names == [
        f"parts.{e}.{part}"
        for e in ("e1", "e3")
        for part in ("expand.0.weight", "edges.01_3.0.0.weight", "edges.12_5.0.0.weight", "project.0.weight")
    ]


def test_a_mixture_is_the_weighted_sum_and_a_cell_alone_is_handed_down_exactly(cells: SearchSpace) -> None:
    torch.manual_seed(0)
    shared = CellSupernet(cells, [*map(parse_cell, cells.layers[0].candidates)], zero_init=False).eval()
    supernet = Supernet(cells, zero_init=False).eval()
    copy_cell_weights(shared.state_dict(), supernet)
    x = torch.randn(3, 1, 8, 8)
    arch = cells.sample(Random(0))
    with torch.no_grad():
        assert torch.equal(shared(x, [{gene: 1.0} for gene in arch.genes]), supernet(x, arch))
        layer, own = shared.layers[1], supernet.layers[1]
        features = torch.randn(3, cells.layers[1].shape.c_in, 8, 8)
        a, b = cells.layers[1].candidates[:2]
        mixed = 0.25 * own.ops[a](features) + 0.75 * own.ops[b](features) + features
        assert torch.allclose(layer(features, {a: 0.25, b: 0.75}), mixed, atol=1e-6)


def test_a_fresh_mixture_passes_its_input_on(cells: SearchSpace) -> None:
    shared = CellSupernet(cells, [*map(parse_cell, cells.layers[0].candidates)]).eval()
    features = torch.randn(3, cells.layers[1].shape.c_in, 8, 8)
    assert torch.equal(shared.layers[1](features, {"cell:e1_3": 0.3, "cell:e3_3_-p": 0.7}), features)


def test_reference_cells_are_chains_of_one_to_three_3x3() -> None:
    assert [str(cell) for cell in reference_cells(Alphabet())] == ["cell:e6_3", "cell:e6_3_-3", "cell:e6_3_-3_--3"]
    assert [str(cell) for cell in reference_cells(Alphabet(nodes=2, expansions=(4,)))] == ["cell:e4_3"]
