"""``deliver.add``: squeeze-excitation and swish in the network that is delivered, and in all that it is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import evo
from evo.alone.additions import describe_additions
from evo.alone.candidates import Candidate, find_candidates
from evo.alone.selection import Criteria, Selected
from evo.console import Reporter
from evo.deliver.__main__ import main
from evo.deliver.against import compare_with_no_search
from evo.deliver.manifest import read_manifest, write_manifest
from evo.deliver.pipeline import deliver_run
from evo.deliver.session import training_settings
from evo.training.identity import identity
from spaces import load_network
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.networks.modules import SqueezeExcitation
from studies.config import DeliverSection, check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.trainings import trainings_of
from tests import example_run
from tests.evo.conftest import interrupted_at

QUICK = ["deliver.epochs=1", "data.max_images=120", "deliver.batch_size=16"]
WORK = [word for setting in QUICK for word in ("--set", setting)]
FREE = "id|mb_k3_e1_seh25_swish"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Store, StoredRun]]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        yield store, example_run.two_rounds(store)


def added(arch: str, *names: str) -> str:
    options = "".join({"se": "_seh25", "swish": "_swish"}[name] for name in names)
    return "|".join(op if op == "id" else op + options for op in arch.split("|"))


# -- the folder -------------------------------------------------------------------------------------------------------


def test_a_delivered_network_has_what_was_added_and_says_so(
    run: tuple[Store, StoredRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All forms of it: model.py, ONNX and torch.export are compared with it as they are written."""
    words = ["tiny", "--storage", run[0].url, "--out", str(tmp_path / "net"), *WORK]
    assert main([*words, "--arch", example_run.FREE, "--add", "se,swish"]) == 0
    shown = capsys.readouterr().out
    assert "se and swish added before the training; id stays, having no such form" in shown
    assert "  added     se and swish; as searched it is id|mb_k3_e1, with " in shown
    said, network = read_manifest(tmp_path / "net"), load_network(tmp_path / "net")
    cost = count_costs(example_run.SECOND, Architecture.parse(example_run.FREE))
    assert said["arch"] == FREE
    assert said["added"] == {
        "names": ["se", "swish"], "to": example_run.FREE, "macs": cost.macs, "params": cost.params
    }  # fmt: skip
    assert said["costs"]["params"] == sum(weight.numel() for weight in network.parameters())
    assert said["costs"]["params"] - cost.params == 2 * 8 * 2 + 8 + 2  # 8 channels, 2 of them squeezed, by hand
    assert said["costs"]["by_convention"]["torch"] - cost.macs == 2 * 8 * 2
    kinds = [type(part) for part in network.modules()]
    assert kinds.count(SqueezeExcitation) == 1
    assert not {torch.nn.ReLU, torch.nn.ReLU6} & set(kinds)
    card = (tmp_path / "net" / "README.md").read_text()
    assert "Added: se and swish; as searched it is `id|mb_k3_e1`, with" in card
    assert "silu" in (tmp_path / "net" / "model.py").read_text().lower()
    before = {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()}
    assert main([*words, "--arch", example_run.FREE, "--set", "deliver.add=['swish', 'se']"]) == 0  # the same wish
    assert "nothing to do" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (tmp_path / "net").iterdir()} == before
    assert main([*words, "--arch", example_run.FREE]) == 1
    assert "holds another network, with other arch, space, costs, training, added:" in capsys.readouterr().err


@pytest.mark.usefixtures("unexported")
def test_a_folder_from_before_there_were_such_settings_is_taken_on(
    run: tuple[Store, StoredRun], tmp_path: Path
) -> None:
    deliver_run("tiny", run[0].url, Criteria({}), tmp_path / "net", QUICK)
    said = json.loads((tmp_path / "net" / "architecture.json").read_text())
    assert "added" not in said
    assert said["training"]["settings"].pop("add") == []
    del said["training"]["settings"]["warmup_start"], said["training"]["settings"]["jitter"]
    del said["training"]["settings"]["annealing"]
    for later in ("labels", "jitter", "channels", "short_side", "cache"):
        del said["training"]["data"][later]
    write_manifest(tmp_path / "net", said)
    deliver_run("tiny", run[0].url, Criteria({}), tmp_path / "net", QUICK)
    assert json.loads((tmp_path / "net" / "architecture.json").read_text()) == said


@pytest.mark.usefixtures("unexported")
def test_python_adds_likewise_and_widths_are_chosen_before(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    store, _ = run
    quick = {"deliver.epochs": 1, "data.max_images": 120}
    wide = evo.load("tiny", store.url).deliver(
        tmp_path / "wide", scale_to="300k", add=["se"], set=quick, progress=False
    )
    assert wide.arch == added(example_run.DEAR, "se")
    said = wide.description
    assert said["added"]["macs"] == said["scale"]["macs"] <= 300_000
    assert said["costs"]["by_convention"]["torch"] > said["scale"]["macs"]
    assert said["costs"]["macs"] == said["scale"]["macs"]  # by the convention that counts no squeeze-excitation


# -- what it is compared with -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unexported")
def test_finalists_are_trained_as_they_would_be_delivered(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    store, stored = run
    said = deliver_run("tiny", store.url, Criteria({}, finalists=2), tmp_path / "net", [*QUICK, "deliver.add=['se']"])
    networks = said["finalists"]["networks"]
    assert [one["arch"] for one in networks] == [added(arch, "se") for arch in (example_run.DEAR, example_run.CHEAP)]
    assert [(row.arch, row.params) for row in trainings_of(store, stored)] == [
        (one["arch"], one["params"]) for one in networks
    ]
    assert said["arch"] == networks[said["finalists"]["delivered"]]["arch"]
    assert said["costs"]["params"] == networks[said["finalists"]["delivered"]]["params"]


def test_all_sides_of_a_comparison_are_given_the_same(run: tuple[Store, StoredRun]) -> None:
    store, stored = run
    settings, criteria = [*QUICK, "deliver.add=['se', 'swish']"], Criteria({}, seeds=1)
    found = compare_with_no_search("tiny", store.url, ["mobilenet_v2"], criteria, settings)
    plain = compare_with_no_search("tiny", store.url, ["mobilenet_v2"], criteria, QUICK)
    assert found.pick.arch == added(example_run.DEAR, "se", "swish")
    for arm, without in zip((found.pick, *found.baselines), (plain.pick, *plain.baselines), strict=True):
        assert arm.arch == added(str(without.arch), "se", "swish").replace("_relu6_seh25", "_seh25")
        assert arm.macs == without.macs  # squeeze-excitation is not counted, and widths are chosen without
        assert arm.params > without.params
    assert len({row.sha256 for row in trainings_of(store, stored)}) == 4


# -- limits -----------------------------------------------------------------------------------------------------------


def told(run: StoredRun, criteria: Criteria, *names: str, arch: str = example_run.CHEAP) -> list[str]:
    selected = Selected(Architecture.parse(arch), example_run.SECOND, 2, None)
    config = training_settings(run, [f"deliver.add={list(names)}"])
    return describe_additions(Candidate(selected, None), run, config, criteria)


def test_a_network_that_leaves_its_budget_is_told(run: tuple[Store, StoredRun]) -> None:
    """CHEAP has 8 hidden channels in each of its two layers; each is given 2 * 8 * 2 weights and 8 + 2 biases."""
    _, stored = run
    params = count_costs(example_run.SECOND, Architecture.parse(example_run.CHEAP)).params
    first, warning = told(stored, Criteria({"params": params}), "se")
    assert first == "se added before the training"
    assert warning == (
        f"warning: with se the network leaves its budget: it has {params + 84:,} parameters, the limit is {params:,}, and by "
        f"{params:,}, without them, it was picked; a lower limit leaves room for them"
    )
    assert told(stored, Criteria({"params": params + 84}), "se") == [first]
    assert told(stored, Criteria({"params": params - 1}), "se") == [
        first
    ]  # a network that was named, and never was within
    assert told(stored, Criteria({"params": params}), "swish") == ["swish added before the training"]
    assert told(stored, Criteria({"params": params})) == []


def test_the_runs_own_limits_and_its_way_to_count_hold_here_too(run: tuple[Store, StoredRun]) -> None:
    _, stored = run
    macs = count_costs(example_run.SECOND, Architecture.parse(example_run.CHEAP)).macs

    def counted(convention: str, most: float) -> StoredRun:
        more = {"search": {"macs_convention": convention}, "limits": {"macs": [0, most]}}
        return replace(stored, config=check_config(example_run.CONFIG | more, "test"))

    assert len(told(counted("macs", macs), Criteria({}), "se")) == 1
    (_, warning) = told(counted("torch", macs), Criteria({}), "se")
    assert f"it has {macs + 64:,} MACs, the limit is {macs:,}" in warning
    assert len(told(counted("torch", 10 * macs), Criteria({}, scale_to=macs), "se")) == 2


def test_a_latency_is_not_known_of_what_was_added(run: tuple[Store, StoredRun]) -> None:
    (_, line) = told(run[1], Criteria({"latency_ms": 3.0}), "se", "swish")
    assert line == ("the limit of latency was checked without se and swish; with them it is measured on this machine")


# -- the setting ------------------------------------------------------------------------------------------------------


def test_the_pick_is_that_of_the_search_whatever_is_added(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    store, stored = run
    assert [str(one.chosen.arch) for one in find_candidates(store, stored, Criteria({"macs": 39}))] == [
        example_run.CHEAP
    ]
    with pytest.raises(KeyboardInterrupt):
        deliver_run(
            "tiny", store.url, Criteria({"macs": 39}), tmp_path / "net", [*QUICK, "deliver.add=['se']"],
            Reporter(track=interrupted_at(1)),
        )  # fmt: skip
    assert read_manifest(tmp_path / "net")["arch"] == added(example_run.CHEAP, "se")


def test_its_order_and_repetitions_mean_nothing() -> None:
    one, other = DeliverSection(add=("swish", "se", "se")), DeliverSection(add=("se", "swish"))
    assert one == other
    assert identity("alone", 1, training=one) == identity("alone", 1, training=other)
    assert identity("alone", 1, training=one) != identity("alone", 1, training=DeliverSection())


@pytest.mark.parametrize("words", ["gelu", "se,gelu", ","])
def test_an_unknown_name_is_answered_with_the_known_ones(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tiny", "--add", words])
    assert "--add: expected names joined by commas, of se, swish, and found " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "answer"), [(["gelu"], "deliver.add.0 is 'gelu': input should be 'se' or 'swish'"), ("se", "deliver.add")]
)
def test_and_so_it_is_in_settings_and_in_python(
    given: list[str] | str, answer: str, run: tuple[Store, StoredRun], tmp_path: Path
) -> None:
    with pytest.raises(evo.EvoError, match=answer):
        evo.load("tiny", run[0].url).deliver(tmp_path / "net", add=given, progress=False)
    assert not (tmp_path / "net").exists()
