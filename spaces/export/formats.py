"""A network in other forms: its source, torch.export, ONNX. All take any number of images, and are checked before they are
kept."""

from __future__ import annotations

import json
import logging
import runpy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

if TYPE_CHECKING:
    from onnx import ModelProto

from spaces.atomic_files import atomic_write, write_text
from spaces.export import preprocessing

TOLERANCE = 1e-4
"""How far the scores of an exported network may be from its own, as a share of the largest (of 1, if that is less)."""


SCOPES = "pkg.torch.onnx.name_scopes"
"""What torch calls, among a node's metadata, the modules that the node came from."""

CLASSES_FILE = "classes"
"""What the names of the classes are called in the files of other programs."""


def export_program(network: nn.Module, example: Tensor) -> ExportedProgram:
    """``network`` as ``torch.export`` sees it.

    Args:
        network: on the CPU, in evaluation mode.
        example: images of the shape that it takes, ``(n, c, height, width)``, at least two.
    """
    with quiet_exporters():
        return without_traces(torch.export.export(network, (example,), dynamic_shapes=({0: Dim("n")},)))


def without_traces(program: ExportedProgram) -> ExportedProgram:
    """The program without where each of its nodes stands in the code: names of files of this machine, which a file that is
    handed over has no business to tell."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def write_source(text: str, network: nn.Module, example: Tensor, path: Path) -> None:
    """``model.py`` beside the weights that it reads.

    Raises:
        ValueError: what it loads does not give the scores of ``network``; no file is left then.
    """
    with atomic_write(path) as draft, torch.no_grad():
        draft.write_text(text, encoding="utf-8")
        check_scores(path, network(example), runpy.run_path(str(draft))["load"](path.parent)(example))


def write_preprocessing(path: Path, size: tuple[int, int], channels: int, resize: str) -> None:
    """``preprocess.py``: ``prepare(image)`` makes of an image what the training of the network made of it."""
    text = Path(preprocessing.__file__).read_text(encoding="utf-8") + PREPARE.format(
        size=size, channels=channels, resize=resize, height=size[0], width=size[1]
    )
    write_text(path, text)


PREPARE = '''

def prepare(image: Image.Image | str | Path) -> torch.Tensor:
    """An image, or the file of one, as ``(1, {channels}, {height}, {width})`` floats from 0 to 1."""
    return prepare_image(image, {size}, {channels}, "{resize}")
'''


def write_program(
    program: ExportedProgram, network: nn.Module, example: Tensor, path: Path, classes: Sequence[str]
) -> None:
    """The file that ``torch.export.load(path).module()`` reads; its extra file ``classes`` is a JSON list of names.

    Raises:
        ValueError: it does not give the scores of ``network``; no file is left then.
    """
    with atomic_write(path) as draft, quiet_exporters(), torch.no_grad():
        torch.export.save(program, draft, extra_files={CLASSES_FILE: json.dumps(list(classes))})
        again = torch.export.load(draft).module()
        for images in (example, example[:1]):
            check_scores(path, network(images), again(images))


def write_onnx(
    program: ExportedProgram, network: nn.Module, example: Tensor, path: Path, classes: Sequence[str]
) -> None:
    """ONNX: ``images`` -> ``scores``; onnxruntime has read it and given the scores of ``network``.

    ``classes`` in its metadata is a JSON list of names.

    Raises:
        ValueError: onnxruntime gives others; no file is left then.
    """
    import onnx
    import onnxruntime

    with quiet_exporters():
        made = torch.onnx.export(program, input_names=["images"], output_names=["scores"], verbose=False)
    assert made is not None
    for value in (*made.model.graph.inputs, *made.model.graph.outputs):
        assert value.shape is not None
        value.shape[0] = "n"
    made.model.metadata_props[CLASSES_FILE] = json.dumps(list(classes))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with atomic_write(path) as draft, torch.no_grad():
        onnx.save(_as_handed_over(made.model_proto), str(draft))
        session = onnxruntime.InferenceSession(str(draft), options, providers=["CPUExecutionProvider"])
        for images in (example, example[:1]):
            (scores,) = session.run(["scores"], {"images": images.numpy()})
            check_scores(path, network(images), torch.from_numpy(scores))


def write_static_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    """ONNX for images of exactly the shape of ``example``, as programs want it that time a network on a device."""
    import onnx

    with quiet_exporters(), atomic_write(path) as draft:
        program = without_traces(torch.export.export(network, (example,)))
        made = torch.onnx.export(program, input_names=["images"], output_names=["scores"], verbose=False)
        assert made is not None
        onnx.save(_as_handed_over(made.model_proto), str(draft))


def _as_handed_over(model: ModelProto) -> ModelProto:
    """The model without what is of no use to others: the shapes of its weights, which their own entries tell (what changes
    weights, as ONNX Runtime's quantization does, would find the two at odds), and how torch came by each node, with the names
    of files of this machine; of which layer a node is stays (``SCOPES``)."""
    for node in model.graph.node:
        scopes = [entry for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(scopes)
    weights = {weight.name for weight in model.graph.initializer}
    values = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(values)
    return model


def distance(expected: Tensor, scores: Tensor) -> float:
    """How far scores are from those that are expected, as a share of the largest (of 1, if that is less)."""
    return float((scores - expected).abs().max() / expected.abs().max().clamp(min=1))


def check_scores(path: Path, expected: Tensor, scores: Tensor) -> None:
    """Refuses the file at ``path`` for its scores.

    Raises:
        ValueError: they are further from ``expected``, those of the network, than ``TOLERANCE``.
    """
    away = distance(expected, scores)
    if not away <= TOLERANCE:
        raise ValueError(f"{path.name} is off by {away:.1e} of the network's scores, expected at most {TOLERANCE:.0e}")


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Exporters warn and log much about themselves; what they wrote is checked anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
