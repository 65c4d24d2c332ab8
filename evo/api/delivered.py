"""A trained network in a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.deliver.model_card import (
    accuracy_sentence,
    device_rows,
    latency_sentence,
    measured_words,
    noun_of,
    terminal_summary,
)
from evo.html import block, calls, heading, table
from studies.records import EvoError

if TYPE_CHECKING:
    from spaces.networks.network import Network


@dataclass(frozen=True)
class Delivered:
    """A network that was picked from a run's front and trained from scratch.

    Attributes:
        folder: holds ``model.safetensors``, ``architecture.json``, ``model.py``, ``model.onnx``, ``model.pt2``,
            ``preprocess.py`` and ``README.md``, or other forms, as ``deliver.formats`` says.
        description: everything that is known of the network: what ``architecture.json`` says.
    """

    folder: Path
    description: dict[str, Any] = field(repr=False)

    @property
    def arch(self) -> str:
        """The architecture, an operation per layer."""
        return str(self.description["arch"])

    @property
    def accuracy(self) -> float:
        """The fraction of the test images whose class the network gives; no choice was made by these images.

        Raises:
            EvoError: the images have no labels; ``agreement`` is known instead.
        """
        return self._measured("accuracy")

    @property
    def agreement(self) -> float:
        """The fraction of the test images, which have no labels, to which the network gives the class that its teacher gives:
        the whole network from which it was cut, or the one that its blocks have imitated.

        Raises:
            EvoError: the images have labels; ``accuracy`` is known instead.
        """
        return self._measured("agreement")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy or agreement, for as many test images as there were."""
        test = self.description["test"]
        return float(test["low"]), float(test["high"])

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, by the run's convention."""
        return int(self.description["costs"]["macs"])

    @property
    def params(self) -> int:
        """How many parameters the network has."""
        return int(self.description["costs"]["params"])

    @property
    def latency_ms(self) -> float:
        """Milliseconds for one image, measured where the network was made."""
        return float(self.description["latency"]["ms"])

    @property
    def flash_kb(self) -> float | None:
        """KB of weights on the run's device; None: the run has none."""
        return self._on_device("flash_kb")

    @property
    def memory_kb(self) -> float | None:
        """KB of activations that are live at one time there, at most; None: the run has no device."""
        return self._on_device("memory_kb")

    def _on_device(self, name: str) -> float | None:
        return float(self.description["costs"][name]) if name in self.description["costs"] else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's scores."""
        return tuple(self.description["classes"])

    def network(self) -> Network:
        """The trained network, in evaluation mode, on the CPU.

        Returns:
            A ``torch.nn.Module`` from images, floats from 0 to 1 of shape ``(n, channels, height, width)``, to scores
            ``(n, classes)``.

        Raises:
            ValueError: files of the folder are missing or damaged.
        """
        from spaces.export.network_folder import load_network

        return load_network(self.folder)

    def _measured(self, noun: str) -> float:
        if noun != (known := noun_of(self.description)):
            raise EvoError(
                f"the images of {self.folder} were measured for {known}, and {noun} is not known: expected .{known}"
            )
        return float(self.description["test"][noun])

    def __str__(self) -> str:
        return terminal_summary(self.description, str(self.folder))

    def _repr_html_(self) -> str:
        rows = [
            (f"{measured_words(self.description)} on test images", accuracy_sentence(self.description)),
            ("MACs", f"{self.macs:,}"),
            ("parameters", f"{self.params:,}"),
            *device_rows(self.description),
            ("latency", latency_sentence(self.description)),
            ("architecture", self.arch),
        ]
        title = heading("Delivered network", f"in {self.folder}")
        return block(title, table((), rows), calls("delivered.network()", "delivered.description"))
