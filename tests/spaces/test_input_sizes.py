"""A network may choose the size of its images: exact costs, the same weights, one choice in front of all layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from evo.data.source import ImageSet
from evo.evaluators.blockwise.combination import front_of_ratings
from evo.evaluators.oneshot.scoring import Scorer
from evo.strategy.best_operations import best_within
from evo.strategy.cost_ladder import CostLadder, layer_choices
from spaces.architecture import Architecture
from spaces.costs.memory import PRECISIONS
from spaces.costs.sampling import sample_uniform
from spaces.costs.table import COLUMNS, CONVENTIONS, cost_table, count_costs
from spaces.latency.measure import timed_parts
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet
from spaces.pretrained.networks import read_network
from spaces.show.overview import make_overview
from spaces.space import SearchSpace, at_image_size, canonical_arch, resolve_variants
from spaces.variants import input_op, parse_image_size
from tests.spaces.costs.test_sampling import Milliseconds
from tests.spaces.export.test_network_folder import delivered

SIZED = SearchSpace(
    "sized",
    (
        Layer(Shape(8, 8, 1, 8), ("size_16", "size_11", "size_6x8"), block="input"),
        Layer(Shape(8, 16, 2, 8), ("mb_k3_e1", "mb_k5_e3")),
        Layer(Shape(16, 16, 1, 4), ("mb_k3_e3", "id")),
        Layer(Shape(16, 16, 1, 4), ("mb_k3_e3", "id"), skippable=False),
    ),
    Stem(8, 2, c_in=1, size=16),
    Head(24, 3),
)
ARCHS = list(SIZED.enumerate())


def test_a_size_has_one_spelling() -> None:
    assert [parse_image_size(op) for op in ("size_80", "size_64x80")] == [80, (64, 80)]
    assert [input_op(size) for size in (80, (64, 80))] == ["size_80", "size_64x80"]


@pytest.mark.parametrize("op", ["size_", "size_08", "size_0", "size_8x8", "size_a", "size_8x9x10", "size_-3"])
def test_what_is_no_size_is_told_what_one_is(op: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_image_size(op)


@pytest.mark.parametrize("place", ["behind", "alone", "rows"])
def test_sizes_stand_in_front_of_all_layers(place: str) -> None:
    size, layer, *_ = SIZED.layers
    row = replace(SIZED.layers[2], candidates=("row_d1",))
    behind = replace(SIZED.layers[2], candidates=("size_16",))
    layers = {"behind": (layer, behind), "alone": (size,), "rows": (size, layer, row, SIZED.layers[3])}
    with pytest.raises(ValueError, match="sizes of images stand in the first layer"):
        SearchSpace("wrong", layers[place], SIZED.stem, SIZED.head)


def test_the_choice_has_a_name_and_every_string_is_one_network() -> None:
    assert SIZED.names[:2] == ("input.size", "stage1.layer1")
    assert SIZED.size == len(ARCHS) == len(set(ARCHS)) == 3 * 2 * 2 * 2
    assert SearchSpace.from_json(SIZED.to_json()) == SIZED
    assert len({canonical_arch(arch, SIZED) for arch in ARCHS}) == 3 * 2 * 3  # id|mb is mb|id
    for arch in ARCHS:
        assert (
            arch == SIZED.check(arch) == SIZED.repair(arch) == SIZED.from_qualified_genes(SIZED.qualified_genes(arch))
        )
        assert list(SIZED.restrict_to(arch).enumerate()) == [arch]
    with pytest.raises(ValueError, match=r"input.size of 'sized' cannot be 'size_9'; its candidates: size_16, size_11"):
        SIZED.check(Architecture(("size_9", *ARCHS[0].genes[1:])))


def test_where_layers_have_weights_of_their_own_no_two_strings_are_one_network() -> None:
    own = replace(SIZED, own_weights=True)
    assert len({canonical_arch(arch, own) for arch in ARCHS}) == len(ARCHS)
    assert SearchSpace.from_json(own.to_json()) == own
    assert "own_weights" not in SIZED.to_json()


@pytest.mark.parametrize("convention", ["torch", "dna"])
def test_costs_are_exact_at_every_size(convention: str) -> None:
    table = cost_table(SIZED, convention)
    for arch, costs in zip(ARCHS, table.count(ARCHS).tolist(), strict=True):
        exact = count_costs(SIZED, arch, convention)
        assert costs[:2] == [exact.macs, exact.params]
    if convention == "torch":
        for arch in ARCHS[::5]:
            network, size = Network(arch, SIZED).eval(), resolve_variants(arch, SIZED)[1].stem.size
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 1, *((size, size) if isinstance(size, int) else size)))
            assert table.count([arch])[0, 0] == counter.get_total_flops() / 2


@pytest.mark.parametrize("cost", COLUMNS)
def test_bounds_and_draws_know_the_size(cost: str) -> None:
    table, column = cost_table(SIZED, latency=Milliseconds(), target=PRECISIONS["int8"]), COLUMNS.index(cost)
    costs = table.count(ARCHS)[:, column]
    assert table.bounds()[:, column] == pytest.approx([costs.min(), costs.max()])
    low, high = np.quantile(costs, [0.3, 0.7], method="nearest")
    feasible = {arch for arch, price in zip(ARCHS, costs, strict=True) if low <= price <= high}
    found = sample_uniform(table, len(ARCHS), Random(0), limits={cost: (low, high)})
    assert {canonical_arch(arch, SIZED) for arch in found} == {canonical_arch(arch, SIZED) for arch in feasible}


def test_the_largest_size_may_be_dropped() -> None:
    smaller = SIZED.replace_layers([replace(SIZED.layers[0], candidates=("size_11",)), *SIZED.layers[1:]])
    arch = Architecture(("size_11", *ARCHS[0].genes[1:]))
    assert cost_table(smaller).count([arch]).tolist() == cost_table(SIZED).count([arch]).tolist()
    assert SIZED.diff(smaller)[0].dropped == ("size_16", "size_6x8")


def test_a_path_through_the_supernet_is_the_network_on_scaled_images_and_weights_know_no_size() -> None:
    torch.manual_seed(0)
    supernet, x = Supernet(SIZED, zero_init=False).eval(), torch.randn(2, 1, 16, 16)
    assert not any("size" in name for name in supernet.state_dict())
    for arch in ARCHS:
        alone, space = resolve_variants(arch, SIZED)
        network = Network(alone, space).eval()
        behind = {name.replace("layers.", "layers.+", 1): tensor for name, tensor in supernet.state_dict().items()}
        for i in range(3):
            behind = {name.replace(f"layers.+{i + 1}.", f"layers.{i}."): tensor for name, tensor in behind.items()}
        network.load_state_dict({name: behind[name] for name in network.state_dict()})
        size = space.stem.size if isinstance(space.stem.size, tuple) else (space.stem.size,) * 2
        scaled = x if size == (16, 16) else F.interpolate(x, size, mode="bilinear", antialias=True)
        with torch.no_grad():
            assert torch.allclose(supernet(x, arch), network(scaled), atol=1e-6)


def test_scoring_many_at_once_is_scoring_each_at_its_own_size() -> None:
    torch.manual_seed(0)
    supernet = Supernet(SIZED, zero_init=False)
    x, y = torch.randn(24, 1, 16, 16), torch.arange(24) % 3
    calibration = [torch.randn(12, 1, 16, 16) for _ in range(2)]
    together = Scorer(supernet, calibration, ImageSet(x, y), 8)(ARCHS)
    for arch, score in zip(ARCHS[::4], together[::4], strict=True):
        sized = at_image_size(SIZED, arch.genes[0])
        plain = SearchSpace("plain", sized.layers[1:], sized.stem, sized.head)
        alone = Supernet(plain, zero_init=False)
        moved = {
            f"layers.{int(name.split('.')[1]) - 1}.{name.split('.', 2)[2]}"
            if name.startswith("layers.")
            else name: tensor
            for name, tensor in supernet.state_dict().items()
        }
        alone.load_state_dict(moved)
        size = sized.stem.size if isinstance(sized.stem.size, tuple) else (sized.stem.size,) * 2
        scale = lambda images, size=size: (  # noqa: E731
            images if size == (16, 16) else F.interpolate(images, size, mode="bilinear", antialias=True)
        )
        (expected,) = Scorer(alone, list(map(scale, calibration)), ImageSet(scale(x), y), 8)(
            [Architecture(arch.genes[1:])]
        )
        assert (score.accuracy, score.nll) == pytest.approx((expected.accuracy, expected.nll), rel=1e-5)


def test_the_front_of_summed_ratings_is_that_of_all_networks() -> None:
    rng = np.random.default_rng(3)
    ratings = {(i, op): float(rng.normal()) for i, layer in enumerate(SIZED.layers) for op in layer.candidates}
    table = cost_table(SIZED)
    worth = {arch: sum(ratings[i, gene] for i, gene in enumerate(arch.genes)) for arch in ARCHS}
    price = dict(zip(ARCHS, table.count(ARCHS)[:, 0].tolist(), strict=True))
    best = {a for a in ARCHS if not any(price[b] <= price[a] and worth[b] > worth[a] + 1e-12 for b in ARCHS if b != a)}
    found = front_of_ratings(ratings, table, "macs")
    assert {round(worth[arch], 9) for arch in found} == {round(worth[arch], 9) for arch in best}
    assert [price[arch] for arch in found] == sorted(price[arch] for arch in found)


def test_the_ladder_of_costs_counts_the_stem_at_every_size() -> None:
    rng, table = np.random.default_rng(4), cost_table(SIZED)
    choices = layer_choices(SIZED, [layer.candidates for layer in SIZED.layers])
    ladder = CostLadder.of_space(table, choices, "macs", np.inf)
    assert ladder.budgets[[0, -1]] == pytest.approx(table.bounds()[:, 0])
    worth = [rng.normal(size=(1, len(here))) for here in choices]
    (places,) = best_within(ladder, worth, np.zeros((1, len(ladder.budgets))))[:, 0]
    best = max(
        ARCHS, key=lambda arch: sum(w[0, ops.index(g)] for w, ops, g in zip(worth, choices, arch.genes, strict=True))
    )
    assert tuple(here[place] for here, place in zip(choices, places.tolist(), strict=True)) == best.genes


def test_every_shape_is_measured() -> None:
    parts = timed_parts(SIZED)
    assert {shape.size for op, shape in parts if op == "mb_k5_e3"} == {8, 6, (3, 4)}
    assert len([op for op, _ in parts if op.startswith("head")]) == 3
    assert not any(op.startswith("size") for op, _ in parts)


def test_a_delivered_network_takes_images_of_its_size(tmp_path: Path) -> None:
    arch = Architecture.parse("size_11|mb_k5_e3|id|mb_k3_e3")
    network = delivered(tmp_path / "net", SIZED, arch)
    found: dict[str, object] = {"__name__": "model"}
    exec(compile((tmp_path / "net" / "model.py").read_text(), "model.py", "exec"), found)
    images = torch.rand(3, 1, 11, 11)
    with torch.no_grad():
        assert torch.equal(found["load"](tmp_path / "net")(images), network(images))  # type: ignore[operator]
    assert "(n, 1, 11, 11)" in (tmp_path / "net" / "model.py").read_text()
    again = read_network(str(tmp_path / "net"), None, 11)
    assert again.space.stem.size == 11
    with pytest.raises(ValueError, match="holds a network for images of 11 pixels, not 16"):
        read_network(str(tmp_path / "net"), None, 16)
    assert '"size": 11' in (tmp_path / "net" / "architecture.json").read_text()


def test_every_convention_knows_the_sizes() -> None:
    for name in CONVENTIONS:
        assert len(set(cost_table(SIZED, name).count(ARCHS[:: len(ARCHS) // 3])[:, 0].tolist())) == 3


def test_an_overview_adds_up_and_counts_the_choice_apart() -> None:
    shown = make_overview(SIZED)
    assert SIZED.layers_in_words == "3 layers and the size of images"
    assert [row.name for row in shown.rows][:2] == ["stem", "input.size"]
    assert not shown.rows[1].costs.any()
    stems = [count_costs(SIZED, arch, "macs").macs for arch in ARCHS]
    assert shown.rows[0].costs[0, 0] < shown.rows[0].costs[1, 0]
    assert shown.totals[:, 0].tolist() == [min(stems), max(stems)]
