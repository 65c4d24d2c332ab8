"""A network's file in another form, run by its own runtime as if it were a module of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from spaces.export.format_table import FORMATS

Run = Callable[[Tensor], Tensor]
"""Images on the CPU, ``(n, channels, height, width)`` -> scores ``(n, classes)``."""


class ExportedNetwork(nn.Module):
    """A file of a network: images from 0 to 1, ``(n, channels, height, width)``, to scores ``(n, classes)``.

    It computes on the CPU, wherever the images are; its scores are where they are.
    """

    def __init__(self, name: str, path: Path, threads: int = 1) -> None:
        """Opens the file.

        Args:
            name: of the form, as in ``FORMATS``.
            path: its first file.
            threads: that its runtime may use.

        Raises:
            ImportError: its runtime is not installed.
        """
        super().__init__()
        self._run, self._whole = OPENERS[name](path, threads), FORMATS[name].takes_any_number

    def forward(self, images: Tensor) -> Tensor:
        """Scores of images."""
        here = images.detach().cpu().contiguous()
        parts = (here,) if self._whole else (here[i : i + 1] for i in range(len(here)))
        scores = [self._run(part) for part in parts]
        return torch.cat(scores).to(images.device)


def _open_onnx(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["scores"], {"images": images.numpy()})[0])


def _open_program(path: Path, threads: int) -> Run:
    module = torch.export.load(path).module()

    def run(images: Tensor) -> Tensor:
        scores: Tensor = module(images)
        return scores

    return run


def _open_openvino(path: Path, threads: int) -> Run:
    from openvino import Core

    exact = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = Core().compile_model(str(path), "CPU", exact).create_infer_request()
    return lambda images: torch.from_numpy(request.infer([images.numpy()])[0].copy())


def _open_litert(path: Path, threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (scores,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: Tensor) -> Tensor:
        interpreter.set_tensor(given["index"], images.numpy())
        interpreter.invoke()
        return torch.from_numpy(interpreter.get_tensor(scores["index"]))

    return run


def _open_executorch(path: Path, threads: int) -> Run:
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(threads)  # unsafe while a program runs, and none does
    method = Runtime.get().load_program(path).load_method("forward")
    return lambda images: method.execute([images])[0].clone()


def _open_core_ml(path: Path, threads: int) -> Run:
    raise ImportError("Core ML is run by Apple's systems, and not by this program")


OPENERS: dict[str, Callable[[Path, int], Run]] = {
    "onnx": _open_onnx,
    "pt2": _open_program,
    "openvino": _open_openvino,
    "litert": _open_litert,
    "executorch": _open_executorch,
    "coreml": _open_core_ml,
    "int8": _open_onnx,
}
"""Name of a form -> (its first file, threads) -> what runs it."""
