"""All checks of a folder, in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from evo.console import SILENT, Reporter
from evo.data.fingerprint import forget_data
from evo.deliver.manifest import Description, read_manifest
from evo.deliver.seal import written
from evo.verify.behaviour import check_accuracy, check_images, check_latency
from evo.verify.files import check_code, check_files, check_forms
from evo.verify.finding import Finding, Verification
from evo.workers.executors import deterministic_torch
from spaces.errors import SpaceError
from spaces.export.network_folder import DESCRIPTION, load_network
from spaces.networks.network import Network
from studies.config import StudyConfig, config_from_mapping
from studies.plugins import load_plugins
from studies.records import EvoError

CHECKS = ("forms", "images", "latency")
"""What may be left out; files and code are always looked at."""


def verify_folder(
    folder: str | Path,
    overrides: Sequence[str] = (),
    skip: Collection[str] = (),
    plugins: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> Verification:
    """Hold a delivered network against what its folder says of it.

    Args:
        overrides: other settings of ``data``, ``device`` or ``threads``, e.g. ``data.path=photos``.
        skip: of ``CHECKS``.
        plugins: files and modules with operations that the network has.

    Raises:
        EvoError: the folder holds no delivered network, or a setting cannot be.
    """
    folder = Path(folder)
    if unknown := [name for name in skip if name not in CHECKS]:
        raise EvoError(f"skip: expected some of {', '.join(CHECKS)}, found {unknown[0]!r}")
    if not (folder / DESCRIPTION).is_file():
        raise EvoError(f"{folder} has no {DESCRIPTION}: expected the folder that python -m evo.deliver RUN made")
    load_plugins(plugins)
    description = read_manifest(folder)
    if missing := [name for name in NEEDED if name not in description]:
        raise EvoError(
            f"{folder} is not finished, or was changed: {DESCRIPTION} has no {', '.join(missing)}; "
            "the same python -m evo.deliver command finishes it"
        )
    config = settings_of(description, overrides)
    forget_data()
    with deterministic_torch(config.threads):
        findings = list(check_files(folder, written(folder)))
        findings += check_code(description)
        try:
            network = load_network(folder)
        except SpaceError as error:
            findings.append(Finding("network", "differs", str(error)))
        else:
            findings += _of_network(folder, description, config, network, skip, reporter)
    return Verification(folder, tuple(findings))


NEEDED = ("arch", "space", "preprocessing", "classes", "provenance", "training", "test", "latency")
"""What the description of a finished folder has at least."""


def settings_of(description: Description, overrides: Sequence[str]) -> StudyConfig:
    """The images of the delivery's training, how many are looked at together, and where; changed as ``overrides`` say.

    Raises:
        EvoError: a setting cannot be, or is none of data, device and threads.
    """
    for override in overrides:
        if override.split(".")[0].split("=")[0].strip() not in ("data", "device", "threads"):
            raise EvoError(f"--set {override!r}: expected a setting of data, device or threads")
    training = description["training"]
    known: dict[str, Any] = {"data": training["data"], "deliver": training["settings"], "threads": training["threads"]}
    return config_from_mapping({**UNUSED, **known, "device": "cpu"}, overrides)


UNUSED = {"space": {"name": "digits"}, "evaluator": {"kind": "scratch"}, "evolution": {"method": "fixed"}}
"""What settings have to say, and no check asks for."""


def _of_network(
    folder: Path,
    description: Description,
    config: StudyConfig,
    network: Network,
    skip: Collection[str],
    reporter: Reporter,
) -> Iterator[Finding]:
    steps: dict[str, Callable[[], Iterator[Finding]]] = {
        "forms": lambda: check_forms(folder, description, network),
        "images": lambda: _on_images(description, config, network),
        "latency": lambda: iter([check_latency(description, network)]),
    }
    wanted = [step for name, step in steps.items() if name not in skip]
    with reporter.track(f"verifying {folder}", len(wanted)) as advance:
        for step in wanted:
            yield from step()
            advance(1)


def _on_images(description: Description, config: StudyConfig, network: Network) -> Iterator[Finding]:
    found = list(check_images(description, config))
    yield from found
    if found and (found[0].status != "not checked" or "data_sha256" not in description):
        yield check_accuracy(description, config, network, known_images=found[0].status == "same")
