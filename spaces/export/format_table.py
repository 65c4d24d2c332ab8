"""The forms in which a network is given away beside its weights: their files, and the packages that make and run them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec


@dataclass(frozen=True)
class Package:
    """An installed package, or one that may be.

    Attributes:
        module: what is imported.
        pip: what pip calls it.
    """

    module: str
    pip: str

    @property
    def is_here(self) -> bool:
        """Whether it is installed."""
        return find_spec(self.module) is not None

    @property
    def installed(self) -> str:
        """Its name and version, as they are here."""
        try:
            return f"{self.pip} {version(self.pip)}"
        except PackageNotFoundError:
            return self.pip


@dataclass(frozen=True)
class Format:
    """One form of a network.

    Attributes:
        files: below the delivered folder. The first has its place last: where it is, all are.
        converter: makes it.
        runtime: runs it.
        use: how it is used, for the README.
        takes_any_number: whether it takes any number of images; else one at a time.
        platform: the only one on which it runs, as ``sys.platform`` says it; None: all.
        exact: whether its scores are the network's, but for rounding in 32 bits.
    """

    files: tuple[str, ...]
    converter: Package
    runtime: Package
    use: str
    takes_any_number: bool = False
    platform: str | None = None
    exact: bool = True

    @property
    def main(self) -> str:
        """The file that a program opens, or the first one of its folder."""
        return self.files[0]

    @property
    def missing(self) -> str | None:
        """Why it cannot be made here; None: it can be tried."""
        if self.converter.is_here:
            return None
        return f"{self.converter.pip} is not installed: pip install {self.converter.pip}"

    @property
    def idle(self) -> str | None:
        """Why it cannot be run here; None: it can be tried."""
        if self.platform is not None and sys.platform != self.platform:
            return f"it runs on {PLATFORMS[self.platform]} only"
        if self.runtime.is_here:
            return None
        return f"{self.runtime.pip} is not installed: pip install {self.runtime.pip}"


PLATFORMS = {"darwin": "Apple's systems"}

TORCH, ONNXRUNTIME, OPENVINO = (
    Package("torch", "torch"),
    Package("onnxruntime", "onnxruntime"),
    Package("openvino", "openvino"),
)
LITERT_TORCH, LITERT = Package("litert_torch", "litert-torch"), Package("ai_edge_litert", "ai-edge-litert")
EXECUTORCH, COREMLTOOLS = Package("executorch", "executorch"), Package("coremltools", "coremltools")

CORE_ML = "model.mlpackage"

FORMATS: dict[str, Format] = {
    "onnx": Format(
        ("model.onnx",),
        Package("onnx", "onnx"),
        ONNXRUNTIME,
        '`onnxruntime.InferenceSession("model.onnx").run(None, {"images": images})[0]`',
        takes_any_number=True,
    ),
    "pt2": Format(
        ("model.pt2",), TORCH, TORCH, '`torch.export.load("model.pt2").module()(images)`', takes_any_number=True
    ),
    "openvino": Format(
        ("model.xml", "model.bin"),
        OPENVINO,
        OPENVINO,
        '`openvino.Core().compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([images])[0]`; some '
        "processors compute in bf16 unless they are told so",
        takes_any_number=True,
    ),
    "litert": Format(
        ("model.tflite",),
        LITERT_TORCH,
        LITERT,
        "LiteRT, formerly TensorFlow Lite, for one image at a time: `ai_edge_litert.interpreter.Interpreter`",
    ),
    "executorch": Format(
        ("model.pte",),
        EXECUTORCH,
        EXECUTORCH,
        'ExecuTorch with XNNPACK, for one image at a time: `Runtime.get().load_program("model.pte").load_method("forward")`',
    ),
    "coreml": Format(
        (
            f"{CORE_ML}/Manifest.json",
            f"{CORE_ML}/Data/com.apple.CoreML/model.mlmodel",
            f"{CORE_ML}/Data/com.apple.CoreML/weights/weight.bin",
        ),
        COREMLTOOLS,
        COREMLTOOLS,
        f'Core ML, for one image at a time: `coremltools.models.MLModel("{CORE_ML}").predict({{"images": images}})`',
        platform="darwin",
    ),
    "int8": Format(
        ("model.int8.onnx",),
        ONNXRUNTIME,
        ONNXRUNTIME,
        'the same in 8 bits: `onnxruntime.InferenceSession("model.int8.onnx").run(None, {"images": images})[0]`',
        takes_any_number=True,
        exact=False,
    ),
}
"""Every form by the name that the setting ``deliver.formats`` has for it."""

DEFAULT_FORMATS = ("onnx", "pt2")
"""Those of a folder that does not name its own."""


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Names of forms, each once, in the table's order."""
    return tuple(name for name in FORMATS if name in names)
