"""Settings: presets are valid, and a mistake is answered by file, key, what was found and what may stand there."""

from __future__ import annotations

import json
import re
from functools import reduce
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import PlainSerializer

from studies.config import (
    CHOICES,
    DATA,
    EVALUATORS,
    PRESETS,
    ConfigError,
    DataSection,
    EvaluatorSection,
    NseEvolution,
    OneShotSection,
    Section,
    StudyConfig,
    check_config,
    load_config,
    loading,
    presets,
    value_in_round,
)
from studies.config.loading import sections_of
from studies.config.renames import RENAMED, present_name

VALID = """
[space]
name = "digits"
[evaluator]
kind = "oneshot"
[evolution]
method = "fixed"
"""


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_and_short(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    load_config(name)
    assert capsys.readouterr().err == ""
    assert len((PRESETS / f"{name}.toml").read_text().splitlines()) < 25


def test_a_file_has_the_same_form_as_a_preset(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, VALID))
    assert (config.space.name, config.evaluator.kind, config.evolution.method) == ("digits", "oneshot", "fixed")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["evaluator.cells.window=0"], "evaluator.cells.window is 0: input should be greater than 0"),
        (["evaluator.cells.edge_ops=i4"], "evaluator.cells.edge_ops is 'i4'"),
        (["evolution.k=30"], "evolution.k is 30, more than evolution.population 16: the fittest k are taken from it"),
        (
            ["evaluator={ kind = 'oneshot' }"],
            "evolution.method 'autospace' needs evaluator.kind = 'oneshot' with evaluator.cells",
        ),
    ],
)
def test_cells_that_cannot_be_bred_are_told_beforehand(changes: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as told:
        load_config("autospace_digits", changes)
    assert expected in str(told.value)


def test_overrides_reach_any_key(tmp_path: Path) -> None:
    config = load_config("digits", ["search.evaluations=7", "data.path=some where", "limits.macs=[0, 5e5]", "seed=3"])
    assert config.search.evaluations == 7
    assert config.data.path == "some where"
    assert config.limits.macs == (0, 5e5)
    assert config.seed == 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("[search]\ntrails = 3", "unknown key 'search.trails' (found 3); allowed there: cost, evaluations, in_flight"),
        (
            "[search]\nevaluations = -3",
            "search.evaluations is -3: expected a whole number from 1 on, or a list of them: one per round",
        ),
        ('[data]\nname = "digit"', "data.name is 'digit'; allowed: arrays, cifar10, digits, fashion_mnist, images"),
        ("[colour]\nred = 1", "unknown key 'colour'"),
    ],
)
def test_a_mistake_is_answered_in_words(tmp_path: Path, change: str, expected: str) -> None:
    path = write(tmp_path, VALID + change)
    with pytest.raises(ConfigError) as told:
        load_config(path)
    assert str(told.value).startswith(f"{path}: {expected}")


NUMBERS = "expected a number from 0 on, or a list of them: one per round"
TRUTH = "expected a number, not true or false"
STRENGTHS = "expected four numbers from 0 on: brightness, contrast, saturation, and hue (at most 0.5)"
ENDS = "expected two numbers, [least, most]; inf is no limit"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("evaluator.epochs=-1", f"evaluator.epochs is -1: {NUMBERS}"),
        ("evaluator.epochs=[]", f"evaluator.epochs is []: {NUMBERS}"),
        ("evaluator.epochs=[3, -2]", f"evaluator.epochs is [3, -2]: {NUMBERS}"),
        ("evaluator.learning_rate=nan", f"evaluator.learning_rate is nan: {NUMBERS}"),
        ("deliver.epochs=inf", f"deliver.epochs is inf: {NUMBERS}"),
        (
            "evaluator.weight_decay=-1e-4",
            "evaluator.weight_decay is -0.0001: input should be greater than or equal to 0",
        ),
        ("evaluator.momentum=nan", "evaluator.momentum is nan: input should be a finite number"),
        ("search.time_limit_seconds=inf", "search.time_limit_seconds is inf: input should be a finite number"),
        ("limits.macs=[nan, 1]", f"limits.macs is [nan, 1]: {ENDS}"),
        ("limits.macs=[inf, inf]", f"limits.macs is [inf, inf]: {ENDS}"),
        ("limits.params=[1, 2, 3]", f"limits.params is [1, 2, 3]: {ENDS}"),
        ("limits.macs=[-5, 3]", "limits.macs is [-5, 3]: expected costs, which are numbers from 0 on; -inf or 0 is no"),
        ("limits.macs=[-inf, -3]", "limits.macs is [-inf, -3]: expected costs, which are numbers from 0 on"),
        ("seed=true", f"seed is True: {TRUTH}"),
        ("data.size=true", f"data.size is True: {TRUTH}"),
        ("data.jitter=[0.2, 0.2, 0.2]", f"data.jitter is [0.2, 0.2, 0.2]: {STRENGTHS}"),
        ("data.jitter=[0, 0, 0, 0.6]", f"data.jitter is [0, 0, 0, 0.6]: {STRENGTHS}"),
        ("deliver.jitter=0.4", f"deliver.jitter is 0.4: {STRENGTHS}"),
        ("data.size=[true, 8]", f"data.size is [True, 8]: {TRUTH}"),
        ("search.evaluations=true", f"search.evaluations is True: {TRUTH}"),
        ("search.time_limit_seconds=false", f"search.time_limit_seconds is False: {TRUTH}"),
        ("evaluator.epochs=[true, false]", f"evaluator.epochs is [True, False]: {TRUTH}"),
        ("ground_truth.sample=false", f"ground_truth.sample is False: {TRUTH}"),
        (
            "ground_truth.table={ path = 't.csv', accuracy_scale = true }",
            f"ground_truth.table.accuracy_scale is True: {TRUTH}",
        ),
        ("limits.macs=[false, 3]", f"limits.macs is [False, 3]: {TRUTH}"),
        ("limits.macs=[2, 1]", "limits.macs is [2, 1]: expected the least first, then the most"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(change: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"--set {change}: {expected}")):
        load_config("digits", [change])


def test_true_and_false_are_taken_where_they_are_meant() -> None:
    given = ["search.surrogate=false", "data.in_memory=true", "evaluator.zero_init=false", "control=true"]
    config = load_config("digits", given)
    assert (config.search.surrogate, config.data.in_memory, config.control) == (False, True, True)

    class Own(Section):
        either: bool | int = 0
        any: Any = None
        switches: tuple[bool, ...] = ()

    own = Own(either=True, any=True, switches=(True, False))
    assert (own.either, own.any, own.switches) == (True, True, (True, False))


@pytest.mark.parametrize("preset", presets())
@pytest.mark.parametrize("limit", ["[2e7, inf]", "[-inf, 5e9]", "[0, 1e300]"])
def test_what_is_accepted_is_read_back_as_it_was(preset: str, limit: str) -> None:
    """An open end of a limit is ``null`` in JSON, which knows no infinity."""
    config = load_config(preset, [f"limits.macs={limit}"])
    stored = json.loads(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    assert check_config(stored, "stored") == config
    assert check_config(json.loads(config.model_dump_json()), "stored") == config
    least, most = config.limits.given()["macs"]
    assert (least, most) == {"[2e7, inf]": (2e7, inf), "[-inf, 5e9]": (0, 5e9), "[0, 1e300]": (0, 1e300)}[limit]


def test_what_a_plugin_accepts_and_json_does_not_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strange(DataSection):
        tint: Annotated[complex, PlainSerializer(lambda value: value.real, when_used="json")] = 0j

    monkeypatch.setitem(DATA, "strange", Strange)
    assert load_config("digits", ["data={name='strange', tint=1}"]).data == Strange(name="strange", tint=1)
    with pytest.raises(ConfigError, match=r"data.tint is \(1\+2j\), which cannot be stored"):
        load_config("digits", ["data={name='strange', tint='1+2j'}"])


@pytest.mark.parametrize(
    ("change", "overrides", "expected"),
    [
        ("", ["search.trails=3"], ["--set search.trails=3: unknown key 'search.trails' (found 3)"]),
        ("", ["search={ trails = 3 }"], ["--set search={ trails = 3 }: unknown key 'search.trails' (found 3)"]),
        ("", ["colour.red=1"], ["--set colour.red=1: unknown key 'colour'"]),
        ("", ["seed=1", "evaluator.kind=guess"], ["--set evaluator.kind=guess: evaluator.kind is 'guess'; allowed: "]),
        ("[search]\nevaluations = -3", ["search.population=-4", "seed=1"], [
            "--set search.population=-4: search.population is -4: input should be greater than or equal to 2",
            "FILE: search.evaluations is -3: expected a whole number from 1 on, or a list of them: one per round",
        ]),
        ("[search]\nevaluations = -3", ["search.evaluations=-4"], ["--set search.evaluations=-4: search.evaluations is -4"]),
        ("", ["evolution.method=dna", "seed=1"], [
            "FILE with --set evolution.method=dna --set seed=1: evolution.method = 'dna' rates operations by block loss",
        ]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_after_where_it_was_written(
    tmp_path: Path, change: str, overrides: list[str], expected: list[str]
) -> None:
    path = write(tmp_path, VALID + change)
    with pytest.raises(ConfigError) as told:
        load_config(path, overrides)
    lines = str(told.value).splitlines()
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start.replace("FILE", path))


def test_pixels_are_one_number_or_height_and_width() -> None:
    def size(text: str) -> object:
        return load_config("digits", [f"data.size={text}"]).data.size

    assert (size("28"), size("[24, 32]"), size("[28, 28]")) == (28, (24, 32), 28)
    for wrong in ("0", "[24]", "[24, 0]", "wide"):
        with pytest.raises(
            ConfigError, match=r"data.size is .*: expected pixels from 1 on: one number, or \[height, w"
        ):
            size(wrong)


def test_a_wrong_kind_is_answered_with_the_kinds_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="evaluator.kind is 'onshot'; allowed: blockwise, cuts, oneshot, scratch, tabular"
    ):
        load_config(write(tmp_path, VALID.replace("oneshot", "onshot")))


def test_a_key_of_another_evaluator_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'evaluator.epochs' .*accuracy_column"):
        load_config(write(tmp_path, VALID.replace('"oneshot"', '"tabular"\npath = "t.csv"\nepochs = 3')))


def test_no_such_preset_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no such preset or file; presets: .*digits"):
        load_config("digit")


def test_no_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine.toml: cannot be read as TOML: .*line 1"):
        load_config(write(tmp_path, "= 3"))


@pytest.mark.parametrize("override", ["trials", "=3", "search.=3", "seed.x=1"])
def test_a_malformed_override_is_answered(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config("digits", ["seed=1", override])


def test_latency_as_a_goal_needs_a_latency_table(tmp_path: Path) -> None:
    text = VALID + "[limits]\nlatency_ms = [0, 5]\n"
    with pytest.raises(ConfigError, match="latency_ms is an objective or a limit: give a table as latency.path"):
        load_config(write(tmp_path, text))
    assert load_config(write(tmp_path, text + '[latency]\npath = "lut.csv"')).latency is not None


def test_dna_needs_blocks_and_a_teacher_that_has_learned(tmp_path: Path) -> None:
    blocks = VALID.replace("oneshot", "blockwise")
    with pytest.raises(ConfigError, match="it needs evaluator.kind = 'blockwise', found 'oneshot'"):
        load_config(write(tmp_path, VALID), ["evolution.method=dna"])
    with pytest.raises(ConfigError, match="evaluator.teacher.model needs weights that have learned something"):
        load_config(write(tmp_path, blocks), ["evaluator.teacher.model=resnet18"])
    with pytest.raises(ConfigError, match="search.objective is 'likelihood': blocks are not trained on classes"):
        load_config(write(tmp_path, blocks), ["search.objective=likelihood"])
    config = load_config(write(tmp_path, blocks), ["evolution.method=dna"])
    assert (config.measured, config.score) == ("exp(-block loss)", "exp(-block loss)")
    assert load_config(write(tmp_path, VALID), ["search.objective=likelihood"]).score == "likelihood"


def test_per_round_settings_repeat_their_last_entry() -> None:
    assert [value_in_round((120, 80, 40), n) for n in (1, 2, 3, 4)] == [120, 80, 40, 40]
    assert value_in_round(7, 5) == 7


def test_a_table_cannot_be_searched_by_likelihood(tmp_path: Path) -> None:
    text = VALID + '[search]\nobjective = "likelihood"\n'
    assert load_config(write(tmp_path, text)).search.objective == "likelihood"
    with pytest.raises(ConfigError, match="search.objective is 'likelihood': a table holds accuracies only"):
        load_config(write(tmp_path, text.replace('"oneshot"', '"tabular"\npath = "t.csv"')))


def every_section() -> list[type[Section]]:
    """The sections of a configuration, those in the registries, and those inside other sections."""
    found: list[type[Section]] = []
    waiting = [StudyConfig, *(section for _, known in CHOICES.values() for section in known.values())]
    while waiting:
        section = waiting.pop()
        if section not in found:
            found.append(section)
            waiting += [inner for field in section.model_fields.values() for inner in sections_of(field.annotation)]
    return found


@pytest.mark.parametrize("section", every_section(), ids=lambda section: section.__name__)
def test_every_key_is_explained_where_it_is_defined(section: type[Section]) -> None:
    explained = {name: len((field.description or "").split()) for name, field in section.model_fields.items()}
    assert {name: words for name, words in explained.items() if words < 2} == {}


# -- keys of the release before ---------------------------------------------------------------------------------------

OLD = [
    ("digits", "truth", "{ sample = 3 }"),
    ("digits", "truth.sample", "3"),
    ("digits", "search.trials", "7"),
    ("digits", "search.screen", "false"),
    ("digits", "search.seconds", "60"),
    ("digits", "search.convention", "torch"),
    ("digits", "data.held_out", "0.5"),
    ("digits", "data.limit", "100"),
    ("digits", "evaluator.batch_eval", "16"),
    ("digits", "evaluator.warmup", "0.5"),
    ("digits", "truth.warmup", "0.5"),
    ("digits", "ground_truth.warmup", "0.5"),
    ("digits", "deliver.warmup", "0.5"),
    ("dna_digits", "evaluator.batch_eval", "16"),
    ("dna_digits", "evaluator.held_out_batches", "3"),
    ("dna_digits", "evaluator.teacher.warmup", "0.5"),
    ("nse_digits", "evaluator.gates.every", "5"),
    ("autospace_digits", "evaluator.cells.warmup", "0.5"),
    ("autospace_digits", "evaluator.cells.rate", "0.25"),
    ("autospace_digits", "evaluator.cells.every", "5"),
    ("autospace_digits", "evaluator.cells.active", "7"),
    ("autospace_digits", "evaluator.cells.codes", "i3"),
]


@pytest.fixture
def unsaid() -> None:
    """As in a command that has just begun: no note has been printed."""
    loading._note.cache_clear()


def as_stored(config: StudyConfig, old: str) -> dict[str, Any]:
    """The settings as the release before stored them, as far as the key ``old`` goes."""
    data = config.model_dump(mode="json")
    here, there = old.split("."), present_name(old, lambda _: False).split(".")
    source = reduce(lambda found, part: found[part], there[:-1], data)
    target = reduce(lambda found, part: found.setdefault(part, {}), here[:-1], data)
    target[here[-1]] = source.pop(there[-1])
    if here[:-1] != there[:-1]:
        data[here[0]] |= data.pop(there[0])
    return data


def test_every_old_key_is_tried_below() -> None:
    assert set(RENAMED) <= {old for _, old, _ in OLD}


@pytest.mark.parametrize(("preset", "old", "value"), OLD)
def test_an_old_key_means_what_its_present_name_means(preset: str, old: str, value: str) -> None:
    new = present_name(old, lambda _: False)
    expected = load_config(preset, [f"{new}={value}"])
    assert expected != load_config(preset)
    assert load_config(preset, [f"{old}={value}"]) == expected
    assert check_config(as_stored(expected, old), "stored") == expected


def test_an_old_key_is_remarked_once(unsaid: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, VALID + "[search]\ntrials = 3\n[truth]\nsample = 2\nwarmup = 0\n")
    config = load_config(path)
    assert (config.search.evaluations, config.ground_truth.sample, config.ground_truth.warmup_fraction) == (3, 2, 0)
    load_config(path, ["search.trials=4", "search.screen=false"])
    assert capsys.readouterr().err.splitlines() == [
        "note: search.trials is now called search.evaluations",
        "note: truth is now called ground_truth",
        "note: ground_truth.warmup is now called ground_truth.warmup_fraction",
        "note: search.screen is now called search.surrogate",
    ]


def test_settings_that_were_stored_are_read_in_silence(unsaid: None, capsys: pytest.CaptureFixture[str]) -> None:
    check_config(as_stored(load_config("digits"), "search.trials"), "run 'old'")
    assert capsys.readouterr().err == ""


def test_a_key_under_both_names_is_an_error(tmp_path: Path) -> None:
    both = "search.trials is now called search.evaluations, and both are given: leave search.trials out"
    path = write(tmp_path, VALID + "[search]\ntrials = 3\nevaluations = 3\n")
    with pytest.raises(ConfigError, match=f"mine.toml: {both}"):
        load_config(path)
    with pytest.raises(ConfigError, match=f"--set: {both}"):
        load_config("digits", ["search.evaluations=3", "search.trials=3"])


def test_a_plugin_may_call_a_key_as_one_was_called_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(EvaluatorSection):
        kind: Literal["mine"]
        warmup: int = 3

    monkeypatch.setitem(EVALUATORS, "mine", Mine)
    data = {"space": {"name": "digits"}, "evolution": {"method": "fixed"}, "evaluator": {"kind": "mine", "warmup": 4}}
    config = check_config(data, "test")
    assert isinstance(config.evaluator, Mine)
    assert config.evaluator.warmup == 4


@pytest.mark.parametrize(
    ("name", "band", "target", "weight"),
    [
        ("nse_imagenet_27", 1e7, 3e8, 1e-5 * 300**2),
        ("nse_imagenet_second", 1e7, 3e8, 1e-5 * 300**2),
        ("nse_imagenet_gpu", 2.0, 66.0, 2e-4 * 66**2),
    ],
)
def test_the_presets_of_nse_have_the_released_numbers(name: str, band: float, target: float, weight: float) -> None:
    """``experiments/NSE`` and ``main.py`` of https://github.com/orashi/NSE_NAS."""
    config = load_config(name)
    evaluator, evolution = config.evaluator, config.evolution
    assert isinstance(evaluator, OneShotSection)
    assert isinstance(evolution, NseEvolution)
    assert evaluator.gates is not None
    least = config.limits.given()[config.search.cost][0]
    assert evolution.guard * least == pytest.approx(band, rel=1e-4)
    assert (evolution.samples, evolution.guard_samples) == (2000, 100)
    assert evaluator.gates.cost_target == target
    assert evaluator.gates.cost_weight == pytest.approx(weight)
    assert (evaluator.calibration_batches, evaluator.eval_batch_size) == (50, 1024)
    assert evaluator.warmup_fraction * 100 == pytest.approx(2)  # of 100 epochs
    assert evaluator.warmup_start * value_in_round(evaluator.learning_rate, 1) == pytest.approx(0.1)  # lr_warm
    assert config.data.jitter == (0.2, 0.2, 0.2, 0.1)
    assert config.deliver.add == (() if name == "nse_imagenet_gpu" else ("se", "swish"))
    assert not evaluator.zero_init
