"""A network in the forms of devices' runtimes: OpenVINO, LiteRT, ExecuTorch, Core ML. Each needs a package of its own.

All compute in 32 bits. What can be run here is run, and compared with the network, before it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from shutil import rmtree

import torch
from torch import Tensor, nn

from spaces.atomic_files import DRAFT
from spaces.export.exported import ExportedNetwork
from spaces.export.format_table import CORE_ML, FORMATS
from spaces.export.formats import (
    CLASSES_FILE,
    check_scores,
    export_program,
    quiet_exporters,
    without_traces,
    write_onnx,
)


def write_device_format(name: str, network: nn.Module, example: Tensor, folder: Path, classes: Sequence[str]) -> None:
    """Writes the files of a form into ``folder``: all of them, or none.

    Args:
        name: a key of ``WRITERS``.
        network: on the CPU, in evaluation mode.
        example: images of the shape that it takes, ``(n, c, height, width)``, at least two.

    Raises:
        ValueError: its runtime gives other scores than the network.
        Exception: whatever its converter raises that cannot convert this network.
    """
    form = FORMATS[name]
    with _draft_folder(folder) as draft, quiet_exporters():
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # bars and remarks
            WRITERS[name](network, example, draft, classes)
        if form.idle is None:
            exported = ExportedNetwork(name, draft / form.main)
            with torch.no_grad():
                for images in (example, example[:1]):
                    check_scores(draft / form.main, network(images), exported(images))
        for file in reversed(form.files):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (draft / file).replace(folder / file)


@contextmanager
def _draft_folder(folder: Path) -> Iterator[Path]:
    """Where files are written before they take their places in ``folder``."""
    draft = folder / f"{DRAFT}formats"
    rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
    finally:
        rmtree(draft, ignore_errors=True)


def _write_openvino(network: nn.Module, example: Tensor, draft: Path, classes: Sequence[str]) -> None:
    """OpenVINO IR, for any number of images; its runtime information ``classes`` is a JSON list of names."""
    import openvino

    onnx = draft / "model.onnx"
    write_onnx(export_program(network, example), network, example, onnx, classes)
    model = openvino.convert_model(str(onnx))
    model.set_rt_info(json.dumps(list(classes)), [CLASSES_FILE])
    openvino.save_model(model, str(draft / "model.xml"), compress_to_fp16=False)


def _write_litert(network: nn.Module, example: Tensor, draft: Path, classes: Sequence[str]) -> None:
    """A TFLite flatbuffer, for one image, its channels first as the network has them."""
    import litert_torch

    litert_torch.convert(network, (example[:1],)).export(str(draft / "model.tflite"))


def _write_executorch(network: nn.Module, example: Tensor, draft: Path, classes: Sequence[str]) -> None:
    """An ExecuTorch program, for one image, whose operations XNNPACK computes where it can."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = without_traces(torch.export.export(network, (example[:1],)))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    draft /= "model.pte"
    draft.write_bytes(lowered.to_executorch().buffer)


def _write_core_ml(network: nn.Module, example: Tensor, draft: Path, classes: Sequence[str]) -> None:
    """A Core ML package, for one image; ``classes`` of its metadata is a JSON list of names."""
    import coremltools

    with torch.no_grad():
        traced = torch.jit.trace(network, example[:1])  # type: ignore[no-untyped-call]
    model = coremltools.convert(
        traced,
        inputs=[coremltools.TensorType("images", shape=tuple(example[:1].shape))],
        outputs=[coremltools.TensorType("scores")],
        convert_to="mlprogram",
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS16,
        skip_model_load=True,
    )
    model.user_defined_metadata[CLASSES_FILE] = json.dumps(list(classes))
    model.save(str(draft / CORE_ML))


Writer = Callable[[nn.Module, Tensor, Path, Sequence[str]], None]
"""(the network, images, a folder, the names of the classes) -> the files of a form, in the folder."""

WRITERS: dict[str, Writer] = {
    "openvino": _write_openvino,
    "litert": _write_litert,
    "executorch": _write_executorch,
    "coreml": _write_core_ml,
}
