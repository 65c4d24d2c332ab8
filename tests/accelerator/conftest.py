"""Which device a test runs on: the pretended one, and a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.accelerator.backend import DEVICE
from tests.accelerator.steps import Device, Pretended, Real, forget


@pytest.fixture(params=["pretended", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    if request.param == "pretended":
        monkeypatch.setattr(
            "evo.data.loading._resolve_device", lambda word: DEVICE if word == "cuda" else torch.device("cpu")
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
