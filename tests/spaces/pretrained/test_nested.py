"""A trained network and its cuts with one set of weights."""

from __future__ import annotations

import torch

from spaces.architecture import Architecture
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.pretrained.cut_space import space_of, whole_alone, whole_network
from spaces.pretrained.importance import channel_importance
from spaces.pretrained.nested import NestedNetwork
from spaces.pretrained.networks import Pretrained
from spaces.pretrained.slices import first_weights
from spaces.space import SearchSpace, resolve_variants
from tests.evo.evaluators.cut_examples import MADE

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 10


def nested() -> NestedNetwork:
    torch.manual_seed(0)
    whole = Network(whole_network(MADE), MADE)
    found = Pretrained("made", MADE, whole_network(MADE), whole.state_dict(), (0.0,), (1.0,))
    space = space_of(found, channels=1, size=8, classes=10, smaller=[4])
    return NestedNetwork(whole, space, channel_importance(whole, [(IMAGES, LABELS)]))


def cut_alone(model: NestedNetwork, arch: Architecture) -> tuple[Network, SearchSpace]:
    """The cut with weights of its own, as the judge cuts them out."""
    known = model.whole.state_dict()
    genes, alone = resolve_variants(arch, model.space.restrict_to(arch))
    found = Pretrained(
        "made", *reversed(whole_alone(model.space)), known, (0.0,), (1.0,), measured=dict(model.measured)
    )
    network = Network(genes, alone)
    inherit_weights(network, first_weights(found, alone, (0.0,), (1.0,), "taylor"))
    return network, alone


def test_a_cut_says_what_it_says_alone() -> None:
    model = nested().eval()
    for arch in (
        Architecture(("size_8", "mb_k3_h8", "mb_k3_e2_se25_swish", "conv_k3_h32")),
        Architecture(("size_4", "id", "mb_k3_e4_se25_swish", "conv_k3_h16")),
    ):
        network, alone = cut_alone(model, arch)
        x = torch.nn.functional.interpolate(IMAGES, (alone.stem.size,) * 2, mode="bilinear", antialias=True)  # type: ignore[arg-type]
        assert torch.allclose(model(IMAGES, arch)[0], network.eval()(x), atol=1e-6)


def test_gradients_of_a_cut_reach_what_it_kept_and_nothing_else() -> None:
    model = nested().train()
    arch = Architecture(("size_8", "mb_k3_h8", "mb_k3_e4_se25_swish", "conv_k3_h32"))
    torch.nn.functional.cross_entropy(model(IMAGES, arch)[0], LABELS).backward()
    grown = model.whole.get_parameter("layers.0.ops.mb_k5_e3.0.0.weight").grad
    assert grown is not None
    moved = grown.flatten(1).abs().sum(1) > 0
    worth = sum(model.measured[f"layers.0.ops.mb_k5_e3.{i}.1.importance"].double() for i in (0, 1))
    assert isinstance(worth, torch.Tensor)
    assert set(moved.nonzero().flatten().tolist()) == set(worth.argsort(descending=True)[:8].tolist())
    kernel = model.whole.get_parameter("layers.0.ops.mb_k5_e3.1.0.weight").grad
    assert kernel is not None
    rim = kernel.clone()
    rim[:, :, 1:4, 1:4] = 0
    assert not rim.any()
    assert kernel.any()


def test_only_the_whole_network_is_remembered_and_cuts_imitate_it() -> None:
    model = nested().train()
    whole = whole_network(model.space)
    scores, said = model(IMAGES, whole)
    assert said is None
    before = {name: tensor.clone() for name, tensor in model.whole.named_buffers()}
    _, said = model(IMAGES, Architecture(("size_4", "id", "mb_k3_e2_se25_swish", "conv_k3_h8")))
    assert said is not None
    assert torch.equal(said, scores.softmax(1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.whole.named_buffers())
