"""The other forms of a delivered network: written where the folder lacks them, checked, measured, listed in its README."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from evo.console import Track
from evo.deliver.forms import Measure, ask_for, lacking, measure_forms, write_or_leave_out
from evo.deliver.manifest import Description, read_manifest, write_manifest
from evo.deliver.measuring import image_size
from evo.deliver.model_card import files_of, made_forms, model_card, result_clause
from spaces.atomic_files import atomic_write, write_text
from spaces.export.device_formats import WRITERS
from spaces.export.format_table import FORMATS
from spaces.export.formats import export_program, write_onnx, write_preprocessing, write_program, write_source
from spaces.export.python_source import network_source
from spaces.networks.network import Network
from spaces.size import both_sides
from spaces.space import SearchSpace

CARD = "README.md"


Quantise = Callable[[Path, Path], Description]
"""(a network's ONNX file, where the file in 8 bits goes) -> what is noted down of it."""


def export_network(
    folder: Path,
    network: Network,
    formats: Sequence[str],
    measure: Measure,
    quantise: Quantise,
    threads: int,
    track: Track,
) -> bool:
    """Write the other forms of the network that the folder lacks; gives whether it lacked any.

    A form that comes to a folder that is finished is the only one that is written; the README lists it then.

    Args:
        formats: names of forms that the folder is to have, beside those that it has.
        measure: what is noted down of a form.
        quantise: writes the form in 8 bits.
    """
    if more := lacking(read_manifest(folder), formats):
        ask_for(folder, more)
    description = read_manifest(folder)
    missing = _missing(folder, description)
    if not missing:
        return False
    writers = writers_of(folder, description, network, quantise)
    with track("writing other forms", len(missing)) as advance:
        for name in missing:
            if name == CARD:
                measure_forms(folder, network, example_of(description), threads, measure)
                write_text(folder / CARD, model_card(read_manifest(folder)))
            else:
                writers[name](folder / name)
            advance(1)
    return True


def _missing(folder: Path, description: Description) -> list[str]:
    """The files that a folder lacks, in the order in which they are written; of a form with several the first, where any is
    missing. The README is the last, and is written again for every form."""
    forms = made_forms(description).values()
    first_of = {file: form.main for form in forms for file in form.files}
    missing = list(
        dict.fromkeys(first_of.get(name, name) for name in files_of(description) if not (folder / name).exists())
    )
    again = CARD not in missing and any(name in first_of for name in missing)
    return [*missing, *([CARD] if again else [])]


def example_of(description: Description) -> torch.Tensor:
    """Three random images of the size that the network takes, the same ones always."""
    size, channels = both_sides(image_size(description)), description["preprocessing"]["channels"]
    return torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(0))


def writers_of(
    folder: Path, description: Description, network: Network, quantise: Quantise
) -> dict[str, Callable[[Path], object]]:
    """File -> what writes it."""
    space, size = SearchSpace.from_json(json.dumps(description["space"])), both_sides(image_size(description))
    title = (
        f"The network that run {description['provenance']['run']!r} found: {result_clause(description)} on test images."
    )
    classes, example = description["classes"], example_of(description)
    program = cache(lambda: export_program(network, example))
    writers: dict[str, Callable[[Path], object]] = {
        "model.py": lambda path: write_source(
            network_source(network, space, description["arch"], title, classes), network, example, path
        ),
        "model.onnx": lambda path: write_onnx(program(), network, example, path, classes),
        "model.pt2": lambda path: write_program(program(), network, example, path, classes),
        FORMATS["int8"].main: lambda path: _write_int8(
            folder, path, lambda source: write_onnx(program(), network, example, source, classes), quantise
        ),
        "preprocess.py": lambda path: write_preprocessing(path, size, space.stem.c_in, description["resize"]),
    }
    for name in made_forms(description):
        if name in WRITERS:
            writers[FORMATS[name].main] = lambda _, name=name: write_or_leave_out(  # type: ignore[misc]
                folder, name, network, example, classes
            )
    return writers


def _write_int8(folder: Path, path: Path, write: Callable[[Path], object], quantise: Quantise) -> None:
    """The form in 8 bits, of ``model.onnx`` or of a file that is not kept; what became of it is noted down first."""
    source = folder / FORMATS["onnx"].main
    with TemporaryDirectory(prefix="onnx-") as spare:
        if not source.exists():
            source = Path(spare) / source.name
            write(source)
        made = Path(spare) / path.name
        write_manifest(folder, read_manifest(folder) | {"int8": quantise(source, made)})
        with atomic_write(path) as draft:
            shutil.copyfile(made, draft)
