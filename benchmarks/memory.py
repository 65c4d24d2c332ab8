"""Counted memory beside what others see of the same networks, exported: ``python -m benchmarks.memory --out memory.csv``.

Networks are drawn from differing spaces, written as ONNX at float32, and held against

- **graph**: liveness of the tensors of the file, in its order, computed here and knowing nothing of spaces. Its nodes are those
  that ONNX Runtime leaves when it folds normalisations and padding. Element-wise ones overwrite an input that is dead behind
  them, as the counted schedule has it.
- **arena**: what ONNX Runtime's own allocator holds, node by node, while it runs the file for one image (its profile tells it).
  Memory patterns, which allocate ahead, and buffers that are kept for a later tensor of the same size are off. What stays
  between runs is subtracted, the image, which is the caller's, added.
- **separate**: as graph, but in the order in which ONNX Runtime runs the nodes (it may take branches in another), and sums and
  products overwrite nothing, as those of ONNX Runtime on a CPU do not: what the arena should be.

A row per network: KB at float32; how far graph and arena are from the counted figure, and the arena from ``separate``, as
shares.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from spaces.architecture import Architecture
from spaces.costs.memory import KB, PRECISIONS
from spaces.costs.table import count_costs
from spaces.export.formats import export_program, write_onnx
from spaces.library.named_spaces import load_space
from spaces.networks.network import Network
from spaces.operations.cells import Alphabet, random_cell
from spaces.size import both_sides
from spaces.space import SearchSpace, resolve_variants

DRAWN = {
    "rich_32": 4,
    "rows_28": 3,
    "digits": 2,
    "mobile_28": 2,
    "mobile_64": 2,
    "nas_bench_macro": 2,
    "nse_72": 3,
    "pad_nas_large": 1,
    "dna": 2,
    "mobilenet_v2": 1,
    "efficientnet_b0": 1,
}
"""Networks from each space of the library; further ones have bred cells, and are cut out of EfficientNet-Lite0."""

CELLS, CUTS = 4, 3

UNARY = frozenset({"Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish"})
"""Nodes that ONNX Runtime, too, lets write into an input that is dead behind them."""

IN_PLACE = UNARY | {"Add", "Mul", "Div"}

VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}

Case = tuple[str, SearchSpace, Architecture]


def networks(seed: int = 0) -> Iterator[Case]:
    """The networks, each as (where it comes from, its space, itself)."""
    rng = Random(seed)
    for name, number in DRAWN.items():
        space = load_space(name)
        yield from ((name, space, space.sample(rng)) for _ in range(number))
    yield from with_cells(rng)
    yield from cut_networks(rng)


def with_cells(rng: Random) -> Iterator[Case]:
    """Networks of bred cells, as AutoSpace has them."""
    space, alphabet = load_space("mobile_64"), Alphabet()
    for _ in range(CELLS):
        cells = tuple(str(random_cell(alphabet, rng)) for _ in space.layers)
        yield "cells", space, Architecture(cells)


def cut_networks(rng: Random) -> Iterator[Case]:
    """Networks cut out of EfficientNet-Lite0, for images of 96 pixels; no weights are needed."""
    from spaces.pretrained.cut_space import space_of
    from spaces.pretrained.efficientnet_lite import SCALES
    from spaces.pretrained.networks import Pretrained, find_original

    original = find_original(next(iter(SCALES)), 96)
    read = original.read
    found = Pretrained("efficientnet_lite0", read.space, read.arch, {}, original.mean, original.std)
    space = space_of(found, size=96, classes=10, smaller=(64,))
    yield from (("cuts", space, space.sample(rng)) for _ in range(CUTS))


def write_network(space: SearchSpace, arch: Architecture, path: Path) -> tuple[int, ...]:
    """``arch`` as ONNX at ``path``; the shape of its images."""
    stem = resolve_variants(arch, space)[1].stem
    network, images = Network(arch, space).eval(), torch.randn(2, stem.c_in, *both_sides(stem.size))
    write_onnx(export_program(network, images), network, images, path, ())
    return (1, *images.shape[1:])


def session_of(path: Path, profile: Path) -> Any:
    """A session that folds batch normalisations and keeps all other nodes, writing its graph beside ``path``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_suffix(".optimised.onnx"))
    options.enable_mem_pattern = options.enable_mem_reuse = False
    options.add_free_dimension_override_by_name("n", 1)
    options.enable_profiling = True
    options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def arena_peak(path: Path, shape: tuple[int, ...]) -> float:
    """KB that are live at most in ONNX Runtime's arena, and with the image until it is read."""
    session = session_of(path, path.parent / "profile")
    for _ in range(2):
        session.run(None, {"images": np.zeros(shape, np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = [event["args"] for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    nodes = nodes[len(nodes) // 2 :]  # of the second run
    held = [int(node["mem_bytes_requested_in_use"]) for node in nodes]
    stays = held[-1] - int(nodes[-1]["output_size"]) - int(nodes[-1]["activation_size"])
    image = 4 * int(np.prod(shape))
    return max(held[0] + image, *held) / KB - stays / KB


def graph_peak(path: Path, shape: tuple[int, ...], in_place: Collection[str], order: Path | None = None) -> float:
    """KB of float32 that are live at most, by the liveness of an ONNX file's tensors.

    Args:
        order: the file whose order of nodes counts; None: its own.
    """
    import onnx

    model = onnx.load(str(path))
    if order is not None:
        places = {name: i for i, node in enumerate(onnx.load(str(order)).graph.node) for name in node.output}
        nodes = sorted(model.graph.node, key=lambda node: places[node.output[0]])
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model).graph
    constants = {weight.name for weight in graph.initializer} | {
        output for node in graph.node if node.op_type == "Constant" for output in node.output
    }
    size = {
        value.name: float(np.prod([dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]))
        for value in (*graph.value_info, *graph.output)
    } | {"images": float(np.prod(shape))}
    return _peak(graph, constants, size, in_place) * 4 / KB


def _peak(graph: Any, constants: set[str], size: dict[str, float], in_place: Collection[str]) -> float:
    owner = {"images": "images"}  # tensor -> the tensor whose memory it has
    reads = [[name for name in node.input if name and name not in constants] for node in graph.node]
    for node, inputs in zip(graph.node, reads, strict=True):
        if node.op_type in VIEWS and inputs:
            owner[node.output[0]] = owner[inputs[0]]
        else:
            owner |= {name: name for name in node.output}
    last = {owner[name]: place for place, inputs in enumerate(reads) for name in inputs if name in owner}
    last[owner[graph.output[0].name]] = len(reads)
    live, peak = {"images"}, 0.0
    for place, (node, inputs) in enumerate(zip(graph.node, reads, strict=True)):
        if node.op_type == "Constant" or owner[node.output[0]] != node.output[0]:
            live = {name for name in live if last[name] > place}
            continue
        output = node.output[0]
        dead = {owner[name] for name in inputs if last[owner[name]] == place}
        reused = node.op_type in in_place and any(size[name] == size[output] for name in dead)
        peak = max(peak, sum(size[name] for name in live) + (0.0 if reused else size[output]))
        live = (live - dead) | {output}
    return peak


def compare(case: Case) -> dict[str, str | float]:
    """The row of a network."""
    name, space, arch = case
    counted = count_costs(space, arch, target=PRECISIONS["float32"]).memory_kb
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        shape = write_network(space, arch, path)
        arena, folded = arena_peak(path, shape), path.with_suffix(".optimised.onnx")
        graph, separate = graph_peak(folded, shape, IN_PLACE, path), graph_peak(folded, shape, UNARY)
    return {
        "from": name,
        "arch": str(arch),
        "memory_kb": counted,
        "graph_kb": round(graph, 4),
        "graph_off": round(graph / counted - 1, 4),
        "arena_kb": round(arena, 4),
        "arena_off": round(arena / counted - 1, 4),
        "separate_kb": round(separate, 4),
        "arena_off_separate": round(arena / separate - 1, 4),
    }


LINE = (
    "{from:16} {memory_kb:10.2f} {graph_kb:10.2f} {graph_off:8.2%} {arena_kb:10.2f} {arena_off:8.2%} {separate_kb:10.2f} "
    "{arena_off_separate:8.2%}"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare all networks, print a row each, and write them."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--out", type=Path, required=True, help="a csv file of the rows")
    command.add_argument("--seed", type=int, default=0, help="of the networks")
    args = command.parse_args(arguments)
    rows = []
    for case in networks(args.seed):
        rows.append(compare(case))
        print(LINE.format(**rows[-1]), flush=True)
    with args.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
