"""What lies in a delivered folder: are its files those that were written, and are all forms the same network?"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evo.data.paths import file_hash
from evo.deliver.manifest import Description
from evo.deliver.measuring import image_size
from evo.deliver.model_card import files_of
from evo.deliver.seal import DIGEST, FILES, digest_of
from evo.round.new_run import library_versions
from evo.verify.finding import Finding
from spaces.errors import SpaceError
from spaces.export.exported import ExportedNetwork
from spaces.export.format_table import FORMATS
from spaces.export.formats import TOLERANCE, distance
from spaces.export.network_folder import DESCRIPTION, WEIGHTS
from spaces.files.weights import read_weights
from spaces.networks.network import Network
from spaces.size import both_sides
from studies.plugins import loaded_plugins

SHORT = 12
"""Characters of a sha256 that are shown."""


def check_files(folder: Path, said: Mapping[str, Any]) -> Iterator[Finding]:
    """Every file beside the sha256 that was noted down; the weights, beside their own, too.

    Args:
        said: what ``architecture.json`` says, as it is written.
    """
    known, broken = said.get(FILES), []
    if missing := [name for name in files_of(dict(said)) if not (folder / name).is_file()]:
        broken.append(f"{', '.join(missing)}: missing")
    if (problem := _weights_problem(folder / WEIGHTS)) is not None:
        broken.append(f"{WEIGHTS}: {problem}")
    if known is None:
        words = "this folder's version noted down the weights' sha256 alone, which they have"
        yield Finding("files", "differs" if broken else "same", "; ".join(broken) or words)
        return
    if said[DIGEST] != digest_of(dict(said)):
        broken.append(f"{DESCRIPTION}: it says something else than was written")
    for name, expected in known.items():
        if (folder / name).is_file() and (found := file_hash(folder / name)) != expected:
            broken.append(f"{name}: its sha256 should be {expected[:SHORT]} and is {found[:SHORT]}")
    words = f"{len(known) + 1} files have the sha256 that was noted down"
    yield Finding("files", "differs" if broken else "same", "; ".join(broken) or words)


def _weights_problem(path: Path) -> str | None:
    """What is wrong with the weights by their own digest; None: nothing, or they are missing."""
    if not path.is_file():
        return None
    try:
        read_weights(path)
    except SpaceError as error:
        return str(error)
    return None


def check_forms(folder: Path, description: Description, network: Network) -> Iterator[Finding]:
    """Every other form of the network on the same images: its scores are those of the weights."""
    channels, size = description["preprocessing"]["channels"], both_sides(image_size(description))
    images = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(images)
        for name, run in FORMS.items():
            if name in files_of(description) and (folder / name).is_file():
                most = _tolerance(name, description)
                yield _compared(name, expected, lambda run=run, path=folder / name: run(path, images), most)  # type: ignore[misc]


def _tolerance(file: str, description: Description) -> float:
    """How far a form's scores may be from the weights': as far as rounding takes them; in 8 bits three times as far as on the
    images of the delivery."""
    for name, form in FORMATS.items():
        if form.main == file and not form.exact:
            return TOLERANCE + 3 * float(description.get("forms", {}).get(name, {}).get("distance", 0.0))
    return TOLERANCE


def _compared(name: str, expected: Tensor, run: Callable[[], Tensor], most: float) -> Finding:
    try:
        scores = run()
    except ImportError as error:
        return Finding(name, "not checked", f"it cannot be run here: {error}")
    except Exception as error:  # whatever a file that has changed does when it is run
        return Finding(
            name, "differs", f"it cannot be run: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        )
    if scores.shape != expected.shape:
        return Finding(name, "differs", f"it gives {tuple(scores.shape)} scores, expected {tuple(expected.shape)}")
    away = distance(expected, scores)
    words = f"its scores are those of {WEIGHTS} to {away:.0e} of the largest"
    return Finding(name, "same" if away <= most else "differs", words)


def _run_source(path: Path, images: Tensor) -> Tensor:
    scores: Tensor = runpy.run_path(str(path))["load"](path.parent)(images)
    return scores


def _run_format(name: str, path: Path, images: Tensor) -> Tensor:
    if (reason := FORMATS[name].idle) is not None:
        raise ImportError(reason)
    scores: Tensor = ExportedNetwork(name, path)(images)
    return scores


FORMS: dict[str, Callable[[Path, Tensor], Tensor]] = {
    "model.py": _run_source,
    **{form.main: partial(_run_format, name) for name, form in FORMATS.items()},
}
"""Name -> (its file, images) -> scores."""


def check_code(description: Description) -> Iterator[Finding]:
    """The user's own code that the network rests on; and, as a remark, what it was made with, and by which seed."""
    loaded = {plugin.name: plugin.sha256 for plugin in loaded_plugins()}
    for name, expected in description.get("plugins", {}).items():
        if (found := loaded.get(name)) is None:
            yield Finding("code", "not checked", f"{name} was not given: --plugin {name}")
        elif found != expected:
            yield Finding("code", "differs", f"{name}: its sha256 should be {expected[:SHORT]} and is {found[:SHORT]}")
        else:
            yield Finding("code", "same", f"{name} has the sha256 that was noted down")
    then, now = description.get("versions", {}), library_versions()
    others = [
        f"{name} {version} (here {now.get(name, 'none')})" for name, version in then.items() if now.get(name) != version
    ]
    words = f"made with {', '.join(others)}" if others else "made with the versions that are here"
    yield Finding("versions", "same", f"{words}; seed {description['provenance']['seed']}")
