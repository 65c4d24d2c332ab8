"""The quick half of ``make accelerator``, in a process of its own: torch counts devices once, and its threads forbid a fork."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_nothing_waits_for_a_device_or_mixes_two() -> None:
    quick = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/accelerator"]
    found = subprocess.run(quick, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "passed" in found.stdout
