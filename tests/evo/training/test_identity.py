"""Names of weight and progress files: golden values, so that no release orphans anybody's work by accident."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from evo.evaluators import FitContext
from evo.evaluators.registry import EVALUATORS
from evo.round.new_run import library_versions
from evo.training.identity import describe_device, earlier_identity, identity, library_path, weights_path
from evo.training.legacy_names import legacy_digest
from spaces.costs.table import cost_table
from spaces.library import named_spaces
from spaces.space import canonical_arch
from studies import config
from studies.config import (
    CHOICES,
    CellsSection,
    DataSection,
    DeliverSection,
    GatesSection,
    GroundTruthSection,
    OneShotSection,
    Section,
    TeacherSection,
)

EARLIER_CELLS = config.load_config(
    "autospace_digits",
    [f"evaluator.cells.{setting}" for setting in ("score=weights", "epochs=16", "networks=4", "cost_target=2e5")],
)
"""The preset as it was when these values were computed."""


def test_golden_values_of_identities() -> None:
    """Who changes one of these, orphans the weights of every run that is under way: raise a version on purpose instead."""
    study = config.load_config("digits")
    space = named_spaces.load_space("digits", channels=1, size=8, classes=10)
    assert identity("supernet", 1, seed=3, parent=None)[:12] == "d8372b008e87"
    assert identity("supernet", 1, space=space)[:12] == "1593a07d3f46"
    assert identity("supernet", 1, settings=study.evaluator, data=study.data)[:12] == "3208acb74fef"
    assert identity("alone", 1, training=study.deliver, seed=3)[:12] == "e4476dd19643"
    assert identity("block", 1, settings=config.load_config("dna_digits").evaluator)[:12] == "95f84f40e5c5"
    assert identity("supernet", 1, settings=EARLIER_CELLS.evaluator)[:12] == "497a341137e6"


SETTINGS: list[type[Section]] = [
    *(section for _, known in CHOICES.values() for section in known.values()),
    CellsSection, DeliverSection, GatesSection, TeacherSection, GroundTruthSection,
]  # fmt: skip

DEFAULTS: dict[str, dict[str, str]] = {
    "AutoSpaceEvolution": {"k": "6", "population": "24", "references": "3"},
    "BlockwiseSection": {
        "epochs": "20.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "(0.002, 0.005)",
        "decay": "0.9",
        "weight_decay": "0.0001",
        "zero_init": "True",
        "in_step": "False",
        "candidates": "5000",
        "calibration_batches": "4",
        "validation_batches": "None",
        "eval_batch_size": "512",
        "prefix_memory_mb": "512",
    },
    "CellsSection": {
        "epochs": "20.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "0.1",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.0",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "steps": "16",
        "parallel_cells": "4",
        "children": "0.5",
        "tournament": "3",
        "crossover": "0.25",
        "window": "2",
        "update_every": "2",
        "alpha_learning_rate": "0.05",
        "score": "'weights'",
        "networks": "4",
        "last_networks": "24",
        "measured_images": "128",
        "fitness_momentum": "0.5",
        "cost_target": "None",
        "cost_weight": "1.0",
        "reference_weight": "1.0",
        "reference_half_life": "10.0",
        "nodes": "4",
        "edge_ops": "'ip35'",
        "expansions": "(1, 3, 6)",
        "activation": "'relu'",
    },
    "PoolSection": {
        "epochs": "5",
        "batch_size": "64",
        "learning_rate": "0.005",
        "decay": "0.9",
    },
    "JointSection": {
        "epochs": "2",
        "cuts": "2",
        "learning_rate": "0.01",
    },
    "CutsSection": {
        "epochs": "5.0",
        "batch_size": "32",
        "accumulate": "1",
        "learning_rate": "0.03",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.1",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "shares": "(0.75, 0.5, 0.25)",
        "calibration_batches": "2",
        "eval_batch_size": "256",
        "importance": "'scale'",
        "resolutions": "()",
        "widths": "()",
        "pool": "None",
        "refit": "False",
        "channel_images": "512",
        "loss": "'likelihood'",
        "loss_images": "None",
        "joint": "None",
    },
    "DataSection": {
        "name": "'digits'",
        "size": "None",
        "max_images": "None",
        "validation_fraction": "0.2",
        "augment": "()",
        "jitter": "(0.4, 0.4, 0.4, 0.0)",
        "short_side": "None",
        "in_memory": "None",
        "labels": "None",
        "channels": "None",
    },
    "DnaEvolution": {"keep": "None"},
    "FixedEvolution": {},
    "GatesSection": {
        "update_every": "2",
        "learning_rate": "0.005",
        "cost_target": "None",
        "cost_weight": "0.9",
        "drop_below": "-2.0",
    },
    "NseEvolution": {
        "k": "5",
        "branches": "None",
        "samples": "48",
        "guard_samples": "4",
        "guard": "0.05",
        "continue_from": "None",
    },
    "OneShotSection": {
        "epochs": "20.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "0.1",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.0",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "sampling": "'uniform'",
        "gates": "None",
        "cells": "None",
        "inherit": "True",
        "zero_init": "True",
        "calibration_batches": "4",
        "eval_batch_size": "512",
        "prefix_memory_mb": "512",
    },
    "EvidenceEvolution": {
        "confidence": "0.75",
        "margin": "0.0",
        "regions": "3",
        "k": "None",
        "make": "None",
        "zoom": "False",
    },
    "PadNasEvolution": {"rank": "10", "share": "0.01"},
    "ScratchSection": {
        "epochs": "20.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "0.1",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.0",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "rungs": "()",
        "images": "None",
        "resolution": "1.0",
        "width": "1.0",
    },
    "TabularSection": {
        "kind": "'tabular'",
        "arch_column": "'arch'",
        "tokens": "'operations'",
        "separator": "''",
        "accuracy_column": "'accuracy'",
        "accuracy_scale": "1.0",
        "macs_column": "None",
        "params_column": "None",
        "latency_column": "None",
    },
    "DeliverSection": {
        "epochs": "60.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "0.1",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.1",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "mixup": "0.2",
        "cutmix": "0.0",
        "drop_path": "0.0",
        "ema": "0.99",
        "augment": "None",
        "jitter": "None",
        "add": "()",
        "teacher_share": "0.5",
        "teacher_features": "0.0",
    },
    "TeacherSection": {
        "epochs": "20.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "0.1",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.0",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "model": "None",
        "weights": "None",
        "splits": "()",
        "width": "2.0",
        "mean": "()",
        "std": "()",
    },
    "GroundTruthSection": {
        "epochs": "20.0",
        "batch_size": "64",
        "accumulate": "1",
        "learning_rate": "0.1",
        "momentum": "0.9",
        "weight_decay": "4e-05",
        "label_smoothing": "0.0",
        "warmup_fraction": "0.05",
        "warmup_start": "0.0",
        "annealing": "'cosine'",
        "sample": "0",
        "use": "'report'",
        "table": "None",
    },
}


@pytest.mark.parametrize("section", sorted(set(SETTINGS), key=lambda section: section.__name__))
def test_a_default_that_changes_needs_a_new_version(section: type[Section]) -> None:
    """A setting at its default is in no name, so its default may not change its meaning in silence: raise the version of
    the identities that the section is part of, then change the value here. A new setting is added here, and that is all."""
    found = {
        name: repr(field.default)
        for name, field in section.model_fields.items()
        if not field.is_required() and name not in section.unrelated and not isinstance(field.default, Section)
    }
    assert found == DEFAULTS[section.__name__]


def test_a_setting_at_its_default_is_in_no_name() -> None:
    given = OneShotSection(kind="oneshot", epochs=20.0, zero_init=True)
    assert identity("supernet", 1, settings=given) == identity("supernet", 1, settings=OneShotSection(kind="oneshot"))
    other = OneShotSection(kind="oneshot", zero_init=False)
    assert identity("supernet", 1, settings=other) != identity("supernet", 1, settings=given)


def test_what_changes_no_result_is_in_no_name() -> None:
    here, there = DataSection(path="here", workers=1), DataSection(path="there", workers=8)
    assert identity("supernet", 1, data=here) == identity("supernet", 1, data=there)
    slow = OneShotSection(kind="oneshot", timeout=3.0)
    assert identity("supernet", 1, settings=slow) == identity("supernet", 1, settings=OneShotSection(kind="oneshot"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "supernet"}, {"kind": "block"}),
        ({"version": 1}, {"version": 2}),
        ({"seed": 1}, {"seed": 2}),
        ({"sources": {"data": "a"}}, {"sources": {"data": "b"}}),
        ({"inherited": [["id"], []]}, {"inherited": [[], ["id"]]}),
    ],
)
def test_everything_counts(one: dict[str, object], other: dict[str, object]) -> None:
    names = [identity(**{"kind": "supernet", "version": 1} | parts) for parts in (one, other)]  # type: ignore[arg-type]
    assert names[0] != names[1]


def on_a_gpu(patch: pytest.MonkeyPatch, name: str = "NVIDIA H100") -> None:
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "get_device_name", lambda: name)
    patch.setattr(torch.version, "cuda", "12.8")
    patch.setattr(torch.backends.cudnn, "version", lambda: 91002)


def test_where_it_is_computed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` is one thing on a CPU and another on a GPU; on a CPU names are as they were."""
    words: tuple[str, ...] = ("auto", "cpu", "cuda")
    before = {word: identity("supernet", 1, device=word) for word in words}
    assert {earlier_identity("supernet", 1, device=word) for word in words} == {None}
    on_a_gpu(monkeypatch)
    assert describe_device("auto") == "NVIDIA H100, CUDA 12.8, cuDNN 91002"
    there = {word: identity("supernet", 1, device=word) for word in words}
    assert there["auto"] == there["cuda"] != before["auto"]
    assert there["cpu"] == before["cpu"]
    assert earlier_identity("supernet", 1, device="auto") == before["auto"]
    assert earlier_identity("supernet", 1, device="cpu") is None
    assert library_versions()["gpu"] == describe_device("auto")
    on_a_gpu(monkeypatch, "NVIDIA T4")
    assert identity("supernet", 1, device="auto") not in {*before.values(), *there.values()}


def test_work_that_an_earlier_version_began_on_a_gpu_goes_on(tmp_path: Path) -> None:
    new, old = "a" * 64, "b" * 64
    name = "round-01.supernet-{}.safetensors"
    beside = name.replace("supernet", "cells")

    def path() -> str:
        return weights_path(tmp_path, name, new, None, beside, earlier=old).name

    assert path() == f"round-01.supernet-v1-{new[:12]}.safetensors"
    (tmp_path / f"round-01.cells-v1-{old[:12]}.progress").touch()
    assert path() == f"round-01.supernet-v1-{old[:12]}.safetensors"
    shared = "block-1-v2-{}.safetensors"
    assert library_path(tmp_path, shared, new, old).name == f"block-1-v2-{new[:24]}.safetensors"
    (tmp_path / f"block-1-v2-{old[:24]}.safetensors").touch()
    assert library_path(tmp_path, shared, new, old).name == f"block-1-v2-{old[:24]}.safetensors"
    assert library_path(tmp_path, shared, new, None).name == f"block-1-v2-{new[:24]}.safetensors"


def test_what_has_no_stable_text_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be part of an identity"):
        identity("supernet", 1, what=object())


# -- release 0.1 ------------------------------------------------------------------------------------------------------


def test_the_names_of_release_0_1_are_known() -> None:
    """The values were computed by release 0.1 itself: ``sha256(repr(parts))``."""
    digits, nse = config.load_config("digits"), config.load_config("nse_digits")
    dna, autospace = config.load_config("dna_digits"), EARLIER_CELLS
    assert legacy_digest(digits.evaluator, digits.data, digits.device) == "62f2ca71574f"
    assert legacy_digest(nse.evaluator) == "1e23f4163778"
    assert legacy_digest(autospace.evaluator) == "b8d2f770684b"
    assert legacy_digest(dna.evaluator) == "47ae8e28425a"
    assert legacy_digest(dna.evaluator.teacher) == "79d100a97b57"  # type: ignore[attr-defined]
    assert legacy_digest(digits.ground_truth) == "01f2d4a0c433"
    assert legacy_digest("a", [["x"]], None, 1.5, (1,), digits.data) == "2764c8163fd6"


def test_a_setting_that_release_0_1_did_not_have_has_no_old_name() -> None:
    class Later(OneShotSection):
        colour: str = "red"

    Later.__name__ = "OneShotSection"
    assert legacy_digest(Later(kind="oneshot")) == legacy_digest(OneShotSection(kind="oneshot"))
    assert legacy_digest(Later(kind="oneshot", colour="blue")) is None


def test_files_of_release_0_1_are_found(tmp_path: Path) -> None:
    name = "block-1.{}.safetensors"
    new = tmp_path / "block-1.v1-0123456789ab.safetensors"
    assert weights_path(tmp_path, name, "0123456789abcdef", "feedfeedfeed") == new
    (tmp_path / "block-1.feedfeedfeed.progress").touch()
    assert (
        weights_path(tmp_path, name, "0123456789abcdef", "feedfeedfeed")
        == tmp_path / "block-1.feedfeedfeed.safetensors"
    )
    assert weights_path(tmp_path, name, "0123456789abcdef", None) == new


@pytest.mark.parametrize("kind", ["oneshot", "scratch"])
def test_a_run_that_begins_now_takes_no_file_whose_name_does_not_tell_its_data(tmp_path: Path, kind: str) -> None:
    """Names of release 0.1 hold no fingerprint: only a run that it began, on data that have not changed, may take them."""
    space = named_spaces.load_space("digits")
    table, arch = cost_table(space), space.sample(Random(0))
    study = config.load_config(
        "digits", [f"evaluator={{kind='{kind}'}}", "evolution.method=fixed", "ground_truth.sample=0"]
    )

    def path(legacy: bool, data: str = "a") -> Path:
        context = FitContext(1, 7, table, tmp_path, sources={"data": data}, legacy=legacy)
        evaluator: Any = EVALUATORS[kind](study, space)
        if kind == "oneshot":
            return Path(evaluator._weights_path(space, context))
        judge: Any = replace(evaluator, rungs=(0.5,)).fit(space, context)
        return Path(judge._progress_path(arch, 10))

    (tmp_path / "rungs").mkdir()
    today = path(False)
    assert today.name.startswith(("v1-", "round-01.supernet-v1-"))
    assert path(False, "b") != today
    assert path(True) == today  # there is no other
    if kind == "oneshot":
        before = legacy_digest(space.to_json(), (study.evaluator, study.data, "auto", "macs"), 7, None, None)
        old = today.with_name(f"round-01.supernet-{before}.safetensors")
    else:
        form = str(canonical_arch(arch, space))
        before = legacy_digest(form, space.to_json(), study.evaluator, study.data, "auto", study.seed, digits=16)
        old = today.with_name(f"{before}-0010.progress")
    old.touch()
    assert path(False) == today
    assert path(True) == old
