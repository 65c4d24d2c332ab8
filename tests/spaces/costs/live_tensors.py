"""A second source of memory: the network itself, run node by node by ``torch.fx``, and the tensors that are alive meanwhile.

It knows modules and not operations. Normalisations are passed over, as they are folded; sums and products overwrite a tensor
that nothing reads afterwards; swish is what exports make of it, a product with a sigmoid.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from spaces.architecture import Architecture
from spaces.networks.modules import SameConv2d
from spaces.networks.network import Network
from spaces.size import both_sides
from spaces.space import SearchSpace, resolve_variants

IN_PLACE: dict[Any, Callable[[Tensor, Any], Tensor]] = {
    operator.add: Tensor.add_,
    operator.mul: Tensor.mul_,
    operator.truediv: Tensor.div_,
}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SameConv2d) or super().is_leaf_module(m, module_qualified_name)


class LiveTensors(fx.Interpreter):
    """Runs a network, and knows the most bytes that were alive at one time."""

    peak = 0
    node: fx.Node

    def run_node(self, n: fx.Node) -> Any:
        self.node = n
        result = super().run_node(n)
        self._look(result)
        return result

    def _look(self, *more: Any) -> None:
        tensors = (value for value in (*self.env.values(), *more) if isinstance(value, Tensor))
        alive = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        self.peak = max(self.peak, sum(alive.values()))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        dead = self.user_to_last_uses.get(self.node, [])
        for node, value, other in zip(self.node.args, args, reversed(args), strict=True) if target in IN_PLACE else ():
            last = node in dead and (target is not operator.truediv or node is self.node.args[0])
            if last and value.shape == torch.broadcast_shapes(value.shape, getattr(other, "shape", ())):
                return IN_PLACE[target](value, other)
        return super().call_function(target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        return super().call_method({"relu": "relu_", "sigmoid": "sigmoid_"}.get(target, target), args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        match self.fetch_attr(target):
            case nn.BatchNorm2d() | nn.Identity():
                return args[0]
            case nn.SiLU():
                gate = torch.sigmoid(args[0])
                self._look(gate)
                return args[0].mul_(gate)
            case nn.Sigmoid():
                return args[0].sigmoid_()
            case nn.Hardsigmoid():
                return nn.functional.hardsigmoid(args[0], inplace=True)
            case _:
                return super().call_module(target, args, kwargs)


def live_kb(space: SearchSpace, arch: Architecture) -> float:
    """KB of float32 that are alive at most while a network sees one image."""
    network, stem = Network(arch, space).eval(), resolve_variants(arch, space)[1].stem
    live = LiveTensors(fx.GraphModule(network, _Tracer().trace(network)))
    with torch.no_grad():
        live.run(torch.zeros(1, stem.c_in, *both_sides(stem.size)))
    return live.peak / 1024


def folded_sizes(space: SearchSpace, arch: Architecture) -> Iterable[tuple[int, int, int]]:
    """Of each convolution and linear layer of a network: its weights, its biases once normalisations are folded, its scales."""
    modules = list(Network(arch, space).modules())
    for module, behind in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, nn.Conv2d):
            folded = module.bias is not None or isinstance(behind, nn.BatchNorm2d)
            yield module.weight.numel(), module.out_channels * folded, module.out_channels
        elif isinstance(module, nn.Linear):
            yield module.weight.numel(), module.out_features, 0
