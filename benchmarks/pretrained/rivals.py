"""What other libraries make of the fine-tuned network: Torch-Pruning 1.6.1 and FastNAS of NVIDIA's Model Optimizer 0.47.

Neither is a dependency of the project; see ``python -m benchmarks.pretrained --help`` for how they are installed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.pretrained.bench import Bench, Made
from benchmarks.pretrained.counting import counted
from benchmarks.pretrained.ledger import Ledger, Spent
from evo.alone.trainer import PASSES
from evo.data.source import Batch, Images
from evo.evaluators.standalone import measure_network
from evo.seeds import derive_seed
from spaces.errors import SpaceError
from spaces.networks.modules import SameConv2d
from spaces.networks.network import Network
from spaces.size import both_sides

MULTIPLE = 8
"""Channels come in multiples of it, as in all arms."""

# -- Torch-Pruning ----------------------------------------------------------------------------------------------------

PRUNING_STEPS, MOST_PRUNED = 95, 0.95
"""A step removes a further hundredth of all channels; pruning ends with the first network that is within the budget."""

GRADIENT_BATCHES = 2
"""Batches of training images behind the importance of each step."""


def torch_pruning(bench: Bench, budget: float) -> Made:
    """Global isomorphic pruning by first-order Taylor importance.

    README of 1.6.1: ``isomorphic=True`` alleviates that global pruning takes too much from single layers. ``round_to`` takes
    eight channels of a layer where one is to go, which is too much in so many steps: the groups of a step are cut to
    multiples of eight instead ("Interactive Pruning" there), and what is left over comes with a later step.
    """
    import torch_pruning as tp

    network, started = plain(bench.whole_module()), time.perf_counter()
    example = example_image(bench.images)
    pruner = tp.pruner.BasePruner(
        network,
        example,
        importance=tp.importance.GroupTaylorImportance(),
        global_pruning=True,
        isomorphic=True,
        pruning_ratio=MOST_PRUNED,
        iterative_steps=PRUNING_STEPS,
        ignored_layers=[network.head[-1]],  # type: ignore[index]
    )
    batches = shuffled(bench, bench.config.deliver.batch_size)
    spent = 0.0
    for _ in range(PRUNING_STEPS):
        if (macs := bench.macs(network)) <= budget:
            break
        network.zero_grad()
        for x, y in islice(batches, GRADIENT_BATCHES):
            F.cross_entropy(network(x), y).backward()
            spent += float(PASSES * macs * len(y))
        for group in pruner.step(interactive=True):
            _prune_in_multiples(pruner, group)
    network.zero_grad()
    return Made(network, bench.images, search=Spent(time.perf_counter() - started, spent))


def _prune_in_multiples(pruner: Any, group: Any) -> None:
    """Prune the least important channels of a group, a multiple of ``MULTIPLE`` and never all of them."""
    dep, chosen = group[0]
    module, handler = dep.target.module, dep.handler
    channels = pruner.DG.get_out_channels(module)
    number = min(len(chosen), channels - 1) // MULTIPLE * MULTIPLE
    if number:
        whole = pruner.DG.get_pruning_group(module, handler, list(range(channels)))
        importance = pruner.estimate_importance(whole)
        least = sorted(chosen, key=lambda place: float(importance[place]))[:number]
        pruner.DG.get_pruning_group(module, handler, sorted(least)).prune()


# -- FastNAS ----------------------------------------------------------------------------------------------------------


CALIBRATION_BATCHES = 50
"""What fills its queue (``MODELOPT_QUEUE_MAXLEN``): with fewer it says that it does not calibrate."""

CALIBRATION_BATCH = 10
"""Images in each: 500 in all, nearly as many as our scores are calibrated with, for the sake of a CPU."""


def fastnas(bench: Bench, budget: float) -> Made:
    """FastNAS with its settings, but for channels in multiples of 8 rather than 32 (most layers have few), and small batches.

    What each layer loses is measured once and kept (``checkpoint``), as it is the same for all budgets. Its FLOPs are twice
    our MACs. It keeps ``CALIBRATION_BATCHES`` batches of training images, and recalibrates batch normalisation with them before
    every score.

    Raises:
        SpaceError: its smallest network has more MACs.
    """
    import modelopt.torch.prune as mtp

    _register_our_convolution()
    ledger, started = Ledger(bench.folder / "fastnas.json"), time.perf_counter()
    before = ledger.sum_of("scores")
    images, network = bench.images, plain(bench.whole_module())

    seen = len(images.validation) + CALIBRATION_BATCH * CALIBRATION_BATCHES

    def score(module: Network) -> float:
        begun = time.perf_counter()
        accuracy, _ = measure_network(module, images.validation)  # its eval() calibrates
        with counted() as one, torch.no_grad():
            module(example_image(images))
        ledger.add("scores", Spent(time.perf_counter() - begun, seen * one.macs))
        return accuracy

    def calibrate(module: nn.Module) -> None:
        for x, _ in islice(shuffled(bench, CALIBRATION_BATCH), CALIBRATION_BATCHES):
            module(x)

    config = mtp.fastnas.FastNASConfig()
    ratios = tuple(bench.fastnas_step * place for place in range(1, round(1 / bench.fastnas_step) + 1))
    for layer, kind in (("nn.Conv2d", "channel"), ("nn.BatchNorm2d", "feature"), ("nn.Linear", "feature")):
        config[layer]["*"][f"{kind}_divisor"] = MULTIPLE
        config[layer]["*"][f"{kind}s_ratio"] = ratios
    asked = {
        "score_func": score,
        "forward_loop": calibrate,
        "checkpoint": str(bench.folder / "fastnas.pth"),
        "verbose": False,
    }
    try:
        found, _ = mtp.prune(network, [("fastnas", config)], {"flops": 2 * budget}, example_image(images), asked)
    except ValueError as error:  # it has looked at its smallest network
        raise SpaceError(f"FastNAS has nothing with {budget:,.0f} MACs: {error}") from error
    scores = ledger.sum_of("scores")
    own = Spent(time.perf_counter() - started - (scores - before).seconds)
    return Made(found, images, shared=scores, search=own)


def _register_our_convolution() -> None:
    """Tell the library that ``SameConv2d`` is a convolution: else it leaves the layers with a stride as they are."""
    from modelopt.torch.nas.modules.conv import _DynamicConvNd
    from modelopt.torch.nas.registry import DMRegistry
    from modelopt.torch.trace import SymMap
    from modelopt.torch.trace.modules.nn import get_conv_sym_info

    if SameConv2d not in DMRegistry:
        DMRegistry.register({SameConv2d: "nn.Conv2d"})(_DynamicConvNd)
        SymMap.register(SameConv2d)(get_conv_sym_info)


def shuffled(bench: Bench, size: int) -> Iterator[Batch]:
    """Training images in batches, without end, in an order by the seed."""
    for epoch in count():
        yield from bench.images.train.epoch(size, (), derive_seed(bench.config.seed, "rivals", epoch))


def plain(network: Network) -> Network:
    """A copy as other libraries expect it: contiguous in memory, and in evaluation mode."""
    copy: Network = deepcopy(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return copy.eval()


def example_image(images: Images) -> Tensor:
    """One image of the right shape, on the device of the images."""
    return torch.zeros(1, images.channels, *both_sides(images.size), device=images.train.device)
