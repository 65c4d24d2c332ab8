"""Names of files that hold weights or progress: made of everything that the content depends on, and of nothing else.

A file that another run, another data set or another setting left behind has another name and is never taken for ours; nor is
one that another kind of device has computed, whose numbers differ. The name is explicit and versioned:
``identity("supernet", 1, space=..., settings=...)``. A new setting does not change the names of runs that leave it at its
default. ``tests/evo/training/test_identity.py`` holds golden values: a change of what a name is made of, or of a default, must
raise the version there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from evo.training.precision import resolve_precision
from spaces.architecture import Architecture
from spaces.layer import written_fields
from spaces.space import SearchSpace, canonical_arch, resolve_variants
from studies.config import Section


def identity(kind: str, version: int, **parts: object) -> str:
    """64 hexadecimal digits for everything that a file depends on.

    Args:
        kind: what the file holds, e.g. ``"supernet"``.
        version: of the meaning of ``parts`` and of the defaults in them.
        parts: settings sections, spaces, frozen dataclasses, mappings, sequences, strings and numbers. ``device`` is one of the
            configuration's words; what it means on this machine counts (``describe_device``). So does ``precision``, where it
            is not fp32.

    Raises:
        TypeError: a part is of another type, whose text may not be stable.
    """
    here = {"device": describe_device(str(parts["device"]))} if "device" in parts else {}
    return _digest(kind, version, _with_precision(parts) | here)


def network_sha256(arch: Architecture, space: SearchSpace) -> str:
    """sha256 of a network: of its operations and their shapes, stem and head; not of what else its space offers."""
    form = canonical_arch(arch, space)
    resolved = resolve_variants(arch, space)[1]
    rest = {one.name: getattr(resolved, one.name) for one in fields(resolved) if one.name not in ("name", "layers")}
    shapes = [layer.shape for layer in resolved.layers]
    return identity("network", 1, genes=form.genes, shapes=shapes, **rest)


def earlier_identity(kind: str, version: int, **parts: object) -> str | None:
    """What earlier versions called the same file, by the word for the device alone; None where that is ``identity``, and where
    they cannot have made it, as they knew fp32 only."""
    known = _with_precision(parts)
    if describe_device(word := str(parts["device"])) == word or "precision" in known:
        return None
    return _digest(kind, version, known)


def _with_precision(parts: Mapping[str, object]) -> dict[str, object]:
    """The parts with the precision that they mean on this machine; without, where that is fp32."""
    known = {name: part for name, part in parts.items() if name != "precision"}
    precision = resolve_precision(str(parts.get("precision", "fp32")), str(parts.get("device", "cpu")))
    return known if precision == "fp32" else {**known, "precision": precision}


def describe_device(word: str) -> str:
    """What results depend on where ``word`` of the configuration computes: the GPU and the versions of what drives it; on a CPU
    the word itself."""
    if word == "cpu" or not torch.cuda.is_available():
        return word
    name, driver = torch.cuda.get_device_name(), torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{name}, CUDA {torch.version.cuda}, cuDNN {driver}"


def _digest(kind: str, version: int, parts: Mapping[str, object]) -> str:
    content = {"kind": kind, "version": version, **{name: _to_json(part) for name, part in parts.items()}}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def weights_path(
    folder: Path,
    name: str,
    digest: str,
    legacy: str | None,
    *beside: str,
    begun: bool = False,
    earlier: str | None = None,
) -> Path:
    """``folder / name``, with ``{}`` in it replaced by the digest; where an earlier version's work lies there, that path.

    Args:
        legacy: the digest that release 0.1 gave it; None: it cannot have made this file.
        beside: other names with ``{}`` that earlier versions may have written before the file itself.
        begun: whether the run was begun by release 0.1, and goes on with its names.
        earlier: as ``earlier_identity`` gives it.
    """
    if legacy is not None and (begun or _has_work(folder, legacy, name, *beside)):
        return folder / name.format(legacy)
    if earlier is not None and _has_work(folder, short := f"v1-{earlier[:12]}", name, *beside):
        return folder / name.format(short)
    return folder / name.format(f"v1-{digest[:12]}")


def library_path(folder: Path, name: str, digest: str, earlier: str | None) -> Path:
    """``folder / name`` in the library of all runs, with ``{}`` in it replaced by the digest; where an earlier version's file
    lies there, that file's path."""
    if earlier is not None and (path := folder / name.format(earlier[:24])).exists():
        return path
    return folder / name.format(digest[:24])


def _has_work(folder: Path, digest: str, *names: str) -> bool:
    """Whether one of the files is there, or its progress."""
    paths = [folder / name.format(digest) for name in names]
    return any(path.exists() or path.with_suffix(".progress").exists() for path in paths)


def _to_json(part: object) -> Any:
    """A part as JSON knows it."""
    if isinstance(part, Section):
        return {
            name: _to_json(value)
            for name in sorted(type(part).model_fields)
            if name not in part.unrelated and (value := getattr(part, name)) != type(part).model_fields[name].default
        }
    if isinstance(part, SearchSpace):
        return json.loads(part.to_json())
    if is_dataclass(part) and not isinstance(part, type):
        return {name: _to_json(value) for name, value in written_fields(part).items()}
    if isinstance(part, Mapping):
        return {str(key): _to_json(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_to_json(value) for value in part]
    if isinstance(part, (set, frozenset)):
        return sorted(_to_json(value) for value in part)
    if part is None or isinstance(part, (str, int, float)):
        return part
    raise TypeError(f"cannot be part of an identity: {part!r}")
