"""AutoSpace's released files: read, written back to the byte, and as the literature describes them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from spaces.costs.table import count_costs
from spaces.networks.network import Network
from spaces.operations.cells import Alphabet, parse_cell, reference_cells
from tests.spaces.library.autospace_files import Motif, read_net, read_space, write_net, write_space


@pytest.fixture(scope="module")
def space_file(data_dir: Path) -> str:
    return (data_dir / "autospace" / "autospace_search_space.json").read_text()


@pytest.fixture(scope="module")
def net_file(data_dir: Path) -> str:
    return (data_dir / "autospace" / "autospace_net_340M.json").read_text()


def test_both_files_are_written_back_to_the_byte(space_file: str, net_file: str) -> None:
    assert write_space(read_space(space_file)) == space_file
    assert write_net(*read_net(net_file)) == net_file


def test_the_learned_space_is_as_described(space_file: str) -> None:
    layers = read_space(space_file)
    assert [len(layer) for layer in layers] == [9] * 11
    learned = [motif for layer in layers for motif in layer[:6]]
    assert all(motif.rows[2][0] == 1 for motif in learned)  # nothing goes from the first node to the last
    assert Counter(motif.dim for motif in learned) == {0: 26, 1: 19, 2: 21}
    assert Counter(motif.mix for motif in learned) == {(0, 0): 29, (1, 1): 15, (1, 0): 12, (0, 1): 10}
    assert Counter(motif.rows[0][0] for motif in learned) == {5: 29, 2: 25, 3: 12}
    assert Counter(motif.rows[2][2] for motif in learned) == {5: 39, 2: 18, 3: 9}
    assert all(motif.genome() for motif in learned)  # every one is valid


def test_the_last_three_cells_of_every_layer_are_the_reference_cells(space_file: str) -> None:
    references = {str(cell) for cell in reference_cells(Alphabet(activation="relu6"))}
    for layer in read_space(space_file):
        assert {str(motif.genome()) for motif in layer[6:]} == references
    sixth = read_space(space_file)[6]
    assert sixth[5] in sixth[6:]  # one learned cell of layer 6 is one of them


def test_the_released_network_has_13_cells_3_bottlenecks_and_6_skipped_layers(net_file: str) -> None:
    _, arch = read_net(net_file)
    kinds = Counter(gene.partition(":")[0].partition("_")[0] for gene in arch.genes)
    assert kinds == {"cell": 13, "mb": 3, "id": 6}
    assert arch.genes[5] == "cell:e3_5_3ig_-33_relu6"
    assert [arch.genes[i] for i in (1, 11, 14)] == ["cell:e6_3_relu6"] * 3  # MobileNetV2's block
    blocks = [block["mobile_inverted_conv"] for block in json.loads(net_file)["blocks"]]
    for block, gene in zip(blocks, arch.genes, strict=True):
        if gene.startswith("cell:"):
            assert parse_cell(gene).expansion == block["expand_ratio"]


def test_the_released_network_costs_what_was_published_within_five_percent(net_file: str) -> None:
    """Published: 340 M multiply-accumulates, 4.3 M parameters. Our reading of the codes: 336.3 M and 4.508 M."""
    cost = count_costs(*read_net(net_file))
    assert cost.macs == pytest.approx(340e6, rel=0.05)
    assert cost.params == pytest.approx(4.3e6, rel=0.05)
    assert (round(cost.macs / 1e6, 1), round(cost.params / 1e6, 3)) == (336.3, 4.508)


def test_the_released_network_builds_and_runs(net_file: str) -> None:
    space, arch = read_net(net_file, size=64)
    network = Network(arch, space).eval()
    assert sum(p.numel() for p in network.parameters()) == count_costs(space, arch).params
    with torch.no_grad():
        assert network(torch.randn(1, 3, 64, 64)).shape == (1, 1000)


def test_a_cell_goes_to_the_released_form_and_back() -> None:
    for op in ("cell:e6_3_relu6", "cell:e3_5_3ig_-33_relu6", "cell:e1_p_-7_relu6"):
        assert str(Motif.of(parse_cell(op)).genome()) == op
    assert Motif.of(parse_cell("cell:e6_3_relu6")).to_grid() == [
        [0, 0, 0, 2], [5, 0, 0, [0, 0]], [1, 2, 0, 0], [1, 1, 2, 0]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "grid",
    [
        [[0, 0, 0, 2], [5, 0, 0, [0, 0]], [1, 2, 0, 0]],
        [[0, 0, 0, 3], [5, 0, 0, [0, 0]], [1, 2, 0, 0], [1, 1, 2, 0]],
        [[0, 0, 0, 2], [4, 0, 0, [0, 0]], [1, 2, 0, 0], [1, 1, 2, 0]],
        [[0, 5, 0, 2], [5, 0, 0, [0, 0]], [1, 2, 0, 0], [1, 1, 2, 0]],
        [[0, 0, 0, 2], [5, 0, 0, 0], [1, 2, 0, 0], [1, 1, 2, 0]],
    ],
)
def test_what_is_no_cell_is_refused(grid: list[list[object]]) -> None:
    with pytest.raises(ValueError, match="is no cell of AutoSpace: expected 4 x 4"):
        Motif.from_grid(grid)


def test_a_network_that_a_space_cannot_hold_is_refused_with_the_place(net_file: str) -> None:
    data = json.loads(net_file)
    data["blocks"][2]["mobile_inverted_conv"]["has_se"] = True
    with pytest.raises(ValueError, match=r"blocks\[2\].mobile_inverted_conv.has_se is True, expected False"):
        read_net(json.dumps(data))
    del data["blocks"][2]["mobile_inverted_conv"]["stride"]
    with pytest.raises(ValueError, match="not a network of AutoSpace: KeyError"):
        read_net(json.dumps(data))
    with pytest.raises(ValueError, match="not a space of AutoSpace"):
        read_space(net_file)
