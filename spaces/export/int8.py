"""A network in 8 bits, as an ONNX file: weights per channel, outputs of layers per tensor, after training (QDQ).

The ranges of outputs are the least and the most on calibration images. Where the file decides too many images otherwise than
the network in 32 bits, the layers that move its probabilities most by themselves stay in 32 bits, as few as it takes.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from spaces.atomic_files import atomic_write
from spaces.export.formats import SCOPES

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Int8File:
    """What became of a network in 8 bits.

    Attributes:
        layers: how many it has, stem and head among them; ``in_float``: those that stayed in 32 bits, the worst first.
        changed: share of the checked images that are decided otherwise than in 32 bits, lower is better; ``at_first``: with all
            layers in 8 bits.
    """

    layers: int
    in_float: tuple[str, ...]
    changed: float
    at_first: float


def write_int8(
    source: Path, path: Path, calibration: Sequence[Tensor], check: Sequence[Tensor], most: float
) -> Int8File:
    """Quantise the network in the ONNX file ``source``.

    Args:
        calibration: batches of images, ``(n, c, height, width)``, which give the ranges; ``check``: others, by which it is
            held against the network in 32 bits.
        most: share of them that may be decided otherwise. Where even float layers do not reach it, all of them are in 32 bits.
    """
    with TemporaryDirectory(prefix="int8-") as folder, _quiet():
        work = _Work(Path(folder), source, calibration, check)
        whole, at_first = work.quantise(()), work.changed(())
        if at_first <= most:
            _keep(whole, path)
            return Int8File(len(work.layers), (), at_first, at_first)
        worst = sorted(work.layers, key=lambda layer: -work.divergence_of(layer))
        number = bisect_left(range(len(worst)), True, lo=1, key=lambda kept: work.changed(worst[:kept]) <= most)
        in_float = tuple(worst[:number])
        _keep(work.quantise(in_float), path)
        return Int8File(len(worst), in_float, work.changed(in_float), at_first)


class _Work:
    """One network's quantisations, each made once."""

    def __init__(self, folder: Path, source: Path, calibration: Sequence[Tensor], check: Sequence[Tensor]) -> None:
        self.folder = folder
        self.calibration = calibration
        self.check = check
        self.plain = folder / "plain.onnx"
        quant_pre_process(str(source), str(self.plain), skip_optimization=True, skip_symbolic_shape=True)
        self.layers = layers_of(onnx.load(self.plain, load_external_data=False))
        self.expected = scores_of(self.plain, check)
        self.made: dict[tuple[str, ...], Path] = {}

    def quantise(self, in_float: Sequence[str]) -> Path:
        """The file in which all layers but some are in 8 bits."""
        key = tuple(sorted(in_float))
        if key not in self.made:
            self.made[key] = self._write(
                [node for layer in self.layers if layer not in key for node in self.layers[layer]]
            )
        return self.made[key]

    def changed(self, in_float: Sequence[str]) -> float:
        """Share of the checked images that this file decides otherwise."""
        found = scores_of(self.quantise(in_float), self.check)
        return float((found.argmax(1) != self.expected.argmax(1)).mean())

    def divergence_of(self, layer: str) -> float:
        """How far probabilities move, in nats, where this layer alone is in 8 bits."""
        others = [name for name in self.layers if name != layer]
        return divergence(self.expected, scores_of(self.quantise(others), self.check))

    def _write(self, nodes: list[str]) -> Path:
        path = self.folder / f"{len(self.made)}.onnx"
        if not nodes:
            return self.plain
        quantize_static(
            str(self.plain),
            str(path),
            _Reader(self.calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
            nodes_to_quantize=nodes,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        return path


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[Tensor]) -> None:
        self.left = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.left, None)
        return None if batch is None else {"images": batch.numpy()}


def layers_of(model: onnx.ModelProto) -> dict[str, list[str]]:
    """The nodes of each layer (``stem``, ``layers.0``, ..., ``head``), in their order; the preprocessing is none."""
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
        names = [name.strip("' ") for name in scopes.strip("[]").split(",")]
        layer = names[1] if len(names) > 1 else ""
        if layer and not layer.startswith("preprocessing"):
            found.setdefault(layer, []).append(node.name)
    return found


def scores_of(path: Path, batches: Sequence[Tensor]) -> Floats:
    """Scores ``(n, classes)`` of all images, by ONNX Runtime."""
    options = SessionOptions()
    options.intra_op_num_threads = 1
    session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["scores"], {"images": batch.numpy()})[0] for batch in batches]).astype(
        np.float64
    )


def divergence(expected: Floats, found: Floats) -> float:
    """The mean Kullback-Leibler divergence of the probabilities of ``found`` scores from those of ``expected``, in nats."""
    p, q = _log_probabilities(expected), _log_probabilities(found)
    return float((np.exp(p) * (p - q)).sum(1).mean())


def _log_probabilities(scores: Floats) -> Floats:
    shifted = scores - scores.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _keep(made: Path, path: Path) -> None:
    with atomic_write(path) as draft:
        draft.write_bytes(made.read_bytes())


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantisation advises its callers; what it has made is checked anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
