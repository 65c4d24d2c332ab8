"""The forms of a delivered network beside its weights: which the folder has, which it lacks and why, what each does.

``architecture.json`` names them (``formats``, where they are not the default ones), says why one was left out (``left_out``, by
its first file), and what was measured of each (``forms``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from evo.deliver.manifest import Description, read_manifest, write_manifest
from evo.deliver.model_card import formats_of
from spaces.export.device_formats import WRITERS, write_device_format
from spaces.export.exported import ExportedNetwork
from spaces.export.format_table import FORMATS, Format, in_order
from spaces.export.formats import distance

Measure = Callable[[nn.Module], Description]
"""What a form does here: its latency, its result on the test images."""


def lacking(description: Description, wanted: Sequence[str]) -> list[str]:
    """Forms of ``wanted`` that a folder was never asked for, or that were left out for a reason that holds no longer."""
    known, reasons = formats_of(description), description.get("left_out", {})
    return [name for name in wanted if name not in known or _may_be_tried(name, reasons.get(FORMATS[name].main))]


def _may_be_tried(name: str, reason: str | None) -> bool:
    """Whether a form that was left out may be made now: its converter was installed since, or is another version."""
    form = FORMATS[name]
    return reason is not None and form.missing is None and not reason.startswith(_cannot_write(form))


def _cannot_write(form: Format) -> str:
    return f"{form.converter.installed} cannot write it: "


def ask_for(folder: Path, names: Sequence[str]) -> None:
    """Note down that the folder is to have further forms; its README is written anew after that."""
    description = read_manifest(folder)
    (folder / "README.md").unlink(missing_ok=True)
    mains = {FORMATS[name].main for name in names}
    left_out = {file: reason for file, reason in description.get("left_out", {}).items() if file not in mains}
    rest = {key: value for key, value in description.items() if key != "left_out"}
    formats = {"formats": list(in_order([*formats_of(description), *names]))}
    write_manifest(folder, rest | formats | ({"left_out": left_out} if left_out else {}))


def write_or_leave_out(folder: Path, name: str, network: nn.Module, example: Tensor, classes: Sequence[str]) -> None:
    """Write a form that needs a package of its own, or note down why it cannot be made here."""
    assert name in WRITERS
    form = FORMATS[name]
    reason = form.missing
    if reason is None:
        try:
            write_device_format(name, network, example, folder, classes)
        except Exception as error:  # whatever a converter raises: the network is delivered without it
            words = (str(error).strip().splitlines() or [type(error).__name__])[0]
            reason = _cannot_write(form) + words
    if reason is not None:
        description = read_manifest(folder)
        write_manifest(folder, description | {"left_out": description.get("left_out", {}) | {form.main: reason}})


def measure_forms(folder: Path, network: nn.Module, example: Tensor, threads: int, measure: Measure) -> None:
    """Note down of each form, once, what it does here."""
    description = read_manifest(folder)
    for name in formats_of(description):
        known = description.get("forms", {})
        if name not in known and FORMATS[name].main not in description.get("left_out", {}):
            description |= {"forms": known | {name: _measured(folder, name, network, example, threads, measure)}}
            write_manifest(folder, description)


def _measured(
    folder: Path, name: str, network: nn.Module, example: Tensor, threads: int, measure: Measure
) -> Description:
    form = FORMATS[name]
    said: Description = {"bytes": sum((folder / file).stat().st_size for file in form.files)}
    if form.idle is not None:
        return said | {"not_run": form.idle}
    try:
        exported = ExportedNetwork(name, folder / form.main, threads)
        with torch.no_grad():
            away = distance(network(example), exported(example))
        return said | {"runtime": form.runtime.installed, "distance": away, **measure(exported)}
    except Exception as error:  # it is what a runtime does with what it has read
        return said | {"not_run": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
