"""A trained network and all that can be cut out of it, with one set of weights, so that they can be trained together.

A cut's weights are parts of what the whole network's are at that moment, and gradients reach them there. Which channels stay
was measured before and does not change, so that fewer are always a part of more.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spaces.architecture import IDENTITIES, Architecture
from spaces.networks.modules import resize_images
from spaces.networks.network import Network
from spaces.pretrained.cut_space import whole_alone, whole_network
from spaces.pretrained.importance import IMPORTANCE
from spaces.pretrained.slices import head_weights, layer_weights, stage_of
from spaces.pretrained.streams import BASIS
from spaces.space import SearchSpace, resolve_variants


class NestedNetwork(nn.Module):
    """The networks of a trained one's space: images ``(n, c, height, width)`` and an architecture -> scores
    ``(n, classes)``, and what a cut is to say: the probabilities of the whole network, when it last saw images.

    Only the whole network's normalisations remember what passes them.

    Args:
        whole: the network itself; the weights are its own.
        space: one that ``space_of`` made of it.
        measured: what was measured of its channels, by the names of the network's tensors: of this count ``channel_importance``
            and ``stream_bases``.
        importance: which channels stay, a name of ``IMPORTANCES``; one that does not depend on weights, as these change.
    """

    def __init__(
        self, whole: Network, space: SearchSpace, measured: Mapping[str, Tensor], importance: str = "taylor"
    ) -> None:
        super().__init__()
        self.whole, self.space = whole, space
        self.alone = whole_alone(space)[1]
        self.measured = {name: tensor for name, tensor in measured.items() if name.endswith((IMPORTANCE, *BASIS))}
        self.importance = importance
        self.said: Tensor | None = None

    def forward(self, x: Tensor, arch: Architecture) -> tuple[Tensor, Tensor | None]:
        if arch == whole_network(self.space):
            scores: Tensor = self.whole(x)
            self.said = scores.detach().float().softmax(1)
            return scores, None
        cut, alone = resolve_variants(arch, self.space.restrict_to(arch))
        with torch.device("meta"):
            network = Network(cut, alone)
        network.train(self.training)
        found: Tensor = torch.func.functional_call(
            network, self.weights_of(cut, alone), (resize_images(x, alone.stem.size),)
        )
        return found, self.said

    def weights_of(self, arch: Architecture, space: SearchSpace) -> dict[str, Tensor]:
        """The weights of a cut, by the names of its tensors; gradients go through them.

        Args:
            space: that of the cut alone, for images of one size.
        """
        known = dict(self.whole.named_parameters()) | dict(self.whole.named_buffers())
        found = {name: tensor for name, tensor in known.items() if not name.startswith("layers.")}
        found = {name: tensor if tensor.requires_grad else tensor.clone() for name, tensor in found.items()}
        head = {name: tensor for name, tensor in found.items() if name.startswith("head.")}
        found |= head_weights(head, self.alone, space.layers[-1].shape.c_out, self.measured)
        everything = known | self.measured
        behind = 1 if self.space.input_sizes else 0
        whole = whole_network(self.space).genes[behind:]
        for i, (op, cut, layer) in enumerate(zip(whole, arch.genes, space.layers, strict=True)):
            if cut in IDENTITIES:
                continue
            prefix = f"layers.{i}.ops.{op}."
            own = {name.removeprefix(prefix): tensor for name, tensor in everything.items() if name.startswith(prefix)}
            stage = stage_of(self.alone, i)
            shapes = self.alone.layers[i].shape, layer.shape
            named = layer_weights(op, cut, *shapes, stage, own, self.measured, self.importance)
            found |= {f"layers.{i}.ops.{cut}.{name}": tensor for name, tensor in named.items()}
        return found
