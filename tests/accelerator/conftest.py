"""Which device a test runs on: the pretended one, and a GPU where there is one. And what it runs there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from studies.config import DataSection, load_config
from tests.accelerator.backend import DEVICE, why_not
from tests.accelerator.judges import SPACE, judged
from tests.accelerator.steps import Device, Pretended, Real, Watch, forget

HERE = Path(__file__).resolve().parent

SMALL = ("data.max_images=200", "evaluator.batch_size=32", "evaluator.eval_batch_size=40", "evaluator.epochs=1")


@pytest.fixture(params=["pretended", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    if request.param == "pretended":
        if reason := why_not():
            pytest.skip(reason)
        for module in ("evo.data.loading", "evo.data.inspection", "evo.memory.counting", "evo.memory.machine"):
            monkeypatch.setattr(
                f"{module}.resolve_device", lambda word: DEVICE if word == "cuda" else torch.device("cpu")
            )
        yield Pretended()
    elif not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch finds none")
    else:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        yield Real()
        torch.use_deterministic_algorithms(False)
    forget()


@pytest.fixture
def fitted(device: Device, tmp_path: Path) -> Callable[..., Watch]:
    """What is seen of a preset's evaluator, in a small space, with other settings."""
    file = tmp_path / "space.json"
    file.write_text(SPACE.to_json())

    def compare(name: str, *overrides: str) -> Watch:
        given = [*SMALL, f"space.path='{file}'", *overrides]
        return device.compare(judged(lambda word: load_config(name, [*given, f"device={word}"]), tmp_path))

    return compare


@pytest.fixture
def pictures(tmp_path: Path) -> DataSection:
    for i in range(24):
        folder = tmp_path / "pictures" / f"class {i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (10, 12, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    augment = ("resized_crop", "flip", "cutout")
    return DataSection(
        name="images", path=str(tmp_path / "pictures"), size=8, in_memory=False, workers=0, augment=augment
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These tests have a process to themselves (``tests/test_accelerator.py``), which is asked for nothing else."""
    asked = [(config.invocation_params.dir / word.partition("::")[0]).resolve() for word in config.args]
    return None if all(path.is_relative_to(HERE) for path in asked) else True
