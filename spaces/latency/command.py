"""Timing on a device of the user's, by any command: ssh, adb, a vendor's profiler. What is timed goes there as an ONNX file."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.size import both_sides

if TYPE_CHECKING:
    from torch import nn

FILE = "{onnx}"
"""What stands for the file in a command."""

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\d)")

SHOWN = 300
"""Characters of a command's last words that an error tells."""


class MeasurementError(SpaceError):
    """A command has failed, or has said no number."""


@dataclass(frozen=True)
class DeviceCommand:
    """Runs ``command`` several times for a file, and takes the last number that it prints for milliseconds.

    Attributes:
        command: its words, ``{onnx}`` where the file's name belongs. It is split as a shell would split it, and no shell is
            started: for pipes and several steps write a script.
        runs: how often it is run; the median counts.
        timeout: seconds after which a run has failed.
    """

    command: str
    runs: int = 3
    timeout: float = 600.0

    def __post_init__(self) -> None:
        if FILE not in self.command:
            raise SpaceError(
                f"the command {self.command!r} does not say where the file's name belongs: expected {FILE} in it"
            )
        try:
            shlex.split(self.command)
        except ValueError as error:
            raise SpaceError(f"the command {self.command!r} cannot be split into words: {error}") from None

    def __call__(self, module: nn.Module, shape: Shape) -> tuple[float, float]:
        """Median and interquartile range of the runs, in milliseconds.

        Args:
            module: in evaluation mode, on the CPU; one image of ``shape`` passes it.

        Raises:
            MeasurementError: the command is missing, has failed, has taken too long, or has printed no number.
        """
        import torch

        from spaces.export.formats import write_static_onnx

        with TemporaryDirectory(prefix="latency-") as folder:
            path = Path(folder) / "network.onnx"
            write_static_onnx(module, torch.rand(1, shape.c_in, *both_sides(shape.size)), path)
            times = [self._run(path) for _ in range(self.runs)]
        if len(times) == 1:
            return times[0], 0.0
        first, median, third = quantiles(times, n=4, method="inclusive")
        return median, third - first

    def _run(self, path: Path) -> float:
        words = [word.replace(FILE, str(path)) for word in shlex.split(self.command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=self.timeout, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            raise MeasurementError(f"there is no program {words[0]!r}: {self.command}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MeasurementError(f"{self.command}: {error}") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing")[-SHOWN:]
            raise MeasurementError(f"{self.command} ended with status {done.returncode}: {said}")
        return last_number(done.stdout, self.command)


def last_number(text: str, command: str) -> float:
    """The last number in what a command has printed.

    Raises:
        MeasurementError: there is none, or it is no time.
    """
    found = NUMBER.findall(text)
    if not found or not float(found[-1]) > 0:
        raise MeasurementError(
            f"{command}: expected a number of milliseconds above 0 at the end of its output, found {text.strip()[-SHOWN:]!r}"
        )
    return float(found[-1])
