"""torchvision, importable beside a CPU-only torch: ``from spaces import torchvision_shim as vision``, then
``vision.torchvision``.

It is imported when it is first asked for: that takes a second, and few commands need it.

torchvision's Linux wheel holds its compiled operators for a CUDA torch. Beside a CPU-only one they do not load, and the
import ends with "operator torchvision::nms does not exist", though nothing here ever runs them (they serve object
detection). Declaring their signatures is enough for the import to pass; calling one still fails.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

torchvision: ModuleType
transforms: ModuleType
feature_extraction: ModuleType

_MODULES = {
    "torchvision": "torchvision",
    "transforms": "torchvision.transforms.v2",
    "feature_extraction": "torchvision.models.feature_extraction",
}

_DECLARED: list[torch.library.Library] = []  # declarations last as long as the object that made them


def _declare_detection_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(signature)  # type: ignore[no-untyped-call]
    _DECLARED.append(library)


def _import_torchvision() -> ModuleType:
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # halves of the failed import
    _declare_detection_operators()
    return importlib.import_module("torchvision")


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _import_torchvision()
    return importlib.import_module(_MODULES[name])
