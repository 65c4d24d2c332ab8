"""``evo.proxies``: what is drawn, trained, recorded, found again, compared and said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

import evo
from evo.alone.images import with_augmentation
from evo.alone.trainer import Trainer
from evo.console import Advance, Reporter, Track
from evo.data.loading import load_dataset
from evo.evaluators.standalone import ScratchJudge
from evo.proxies.__main__ import main
from evo.proxies.experiment import measure_proxies, plan_experiment, smoothly, trainer_of
from evo.proxies.networks import POOL, draw_networks, spread_places
from evo.proxies.options import ProxyOptions
from evo.proxies.proxy import Proxy
from evo.proxies.recipe import PLAIN, full_recipe
from evo.proxies.result import Measured, ProxiesResult, Setting
from evo.round.new_run import prepared_space
from evo.seeds import derive_seed
from spaces.costs.table import CostTable, cost_table
from spaces.export.baselines import Contender
from spaces.space import SearchSpace, canonical_arch
from studies.config import DeliverSection, StudyConfig, Training, load_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.trainings import trainings_of
from studies.records import Evaluation, EvoError
from tests.evo.conftest import interrupted_at

DATA = ("data.max_images=120",)
DELIVERED = (*DATA, "evaluator.epochs=1", "deliver.epochs=4", "deliver.batch_size=32", "ground_truth.sample=0")
ALONE = (
    *DATA,
    "ground_truth.sample=0",
    "evaluator={kind='scratch',epochs=[2,4],batch_size=32,learning_rate=[0.1,0.05]}",
)
HALVES = (Proxy(epochs=0.5), Proxy(images=0.5), Proxy(epochs=0.5, channels=0.5))
ASKED = ProxyOptions(networks=5, proxies=HALVES)


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/evo.db"


def begin(folder: Path, overrides: tuple[str, ...] = DELIVERED, preset: str = "digits", name: str = "tiny") -> str:
    """A run without rounds; its database."""
    config = load_config(preset, overrides)
    with open_store(url(folder)) as store:
        store.create_run(name, config, prepared_space(config), max_cost=1e6, versions={"evo": "0.2.0"})
    return url(folder)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str, int]]:
    """Trainings are made up, and remembered: (name, seed, network, steps). Their accuracy depends on network and name."""
    asked: list[tuple[str, int, str, int]] = []

    def accuracy(
        trainer: Trainer, contender: Contender, seed: int, progress: Path, advance: Advance
    ) -> tuple[float, float]:
        asked.append((contender.name, seed, str(contender.arch), trainer.steps))
        advance(trainer.steps)
        return 0.5 + len(str(contender.arch)) % 17 / 100 + len(contender.name) % 3 / 1000, 0.5

    monkeypatch.setattr(Trainer, "_accuracy", accuracy)
    return asked


# -- networks ---------------------------------------------------------------------------------------------------------


def test_networks_are_spread_over_macs_and_more_of_them_have_the_same_among_them(
    space: SearchSpace, table: CostTable
) -> None:
    config = load_config("digits")
    few, many = (draw_networks(config, table, number) for number in (8, 20))
    assert set(few) < set(many)
    assert len({canonical_arch(arch, space) for arch in many}) == 20
    macs = table.count(few)[:, 0]
    least, most = table.bounds()[:, 0]
    quarters = Counter(((macs - least) / (most - least) * 4).astype(int).clip(0, 3).tolist())
    assert sorted(quarters.values()) == [2, 2, 2, 2]
    assert list(macs) == sorted(macs)
    assert few == draw_networks(config, table, 8)
    assert few != draw_networks(config.model_copy(update={"seed": 1}), table, 8)


def test_places_are_all_different_and_the_first_ones_far_apart() -> None:
    places = list(spread_places(Random(0)))
    assert sorted(places) == list(range(POOL))
    first = sorted(places[:8])
    assert all(b - a == POOL // 8 for a, b in pairwise(first))


def test_networks_stay_within_the_limits_of_the_run(table: CostTable) -> None:
    config = load_config("digits", ["limits.macs=[60e3, 90e3]", "limits.params=[0, 9000]"])
    counted = table.count(draw_networks(config, table, 10))
    assert ((counted[:, 0] >= 60e3) & (counted[:, 0] <= 90e3) & (counted[:, 1] <= 9000)).all()


# -- what a proxy costs, and that it is what a search would do ---------------------------------------------------------


def test_half_the_epochs_cost_half_and_so_do_half_the_images(tmp_path: Path, trained: list[Any]) -> None:
    found = measure_proxies("tiny", begin(tmp_path), ASKED)
    shares = {one.name: found.macs_share(one) for one in found.proxies}
    train = found.truth[0].images
    steps = {"in full": train // 32 * 4, "epochs 1/2": train // 32 * 2, "images 1/2": round(train / 2) // 32 * 4}
    assert shares["epochs 1/2"] == 0.5
    assert shares["images 1/2"] == steps["images 1/2"] / steps["in full"]
    slim = next(one for one in found.proxies if "channels" in one.name)
    assert shares[slim.name] == pytest.approx(0.5 * sum(slim.macs) / sum(found.truth[0].macs))
    assert found.truth[0].training_macs == 3 * 32 * steps["in full"] * sum(found.truth[0].macs)
    assert {name.partition(": ")[2]: count for name, _, _, count in trained}["epochs 1/2"] == steps["epochs 1/2"]


def setting_of(store: Store, run: StoredRun, overrides: tuple[str, ...] = ()) -> Trainer:
    config = full_recipe(run, with_augmentation(run.config), overrides)
    return Trainer.of(store, run, config, load_dataset(config.data, config.device))


def test_a_proxy_trains_just_as_the_evaluator_does_with_the_settings_of_that_name(tmp_path: Path) -> None:
    """Bit for bit, given one seed: a second way to the same number, through the evaluator ``scratch``."""
    everything = Proxy(epochs=0.5, images=0.5, pixels=0.75, channels=0.5)
    with open_store(begin(tmp_path, ALONE)) as store:
        run = store.run("tiny")
        trainer = setting_of(store, run)
        plan = plan_experiment(trainer, ProxyOptions(networks=3, proxies=(everything,)))
        arch, seed = plan.archs[1], derive_seed(0, "scratch", str(canonical_arch(plan.archs[1], run.space)))
        for made, changed in ((plan.full, {}), (plan.proxies[0], {"epochs": 2, "resolution": 0.75, "width": 0.5})):
            mine = trainer_of(trainer, made)
            section = run.config.evaluator.model_copy(update=changed)
            images = made.images if made.proxy else None
            table = cost_table(run.space)
            judge = ScratchJudge(section, run.config.data, "auto", 0, run.space, table, round=2, most_images=images)
            (answer,) = judge([arch])
            ours = mine._accuracy(made.networks[1], seed, tmp_path / "x.progress", lambda n: None)
            assert ours == (answer.accuracy, answer.nll)
            assert judge.epochs == made.epochs


def test_what_a_delivery_has_beside_its_schedule_is_no_part_of_the_full_training_of_scratch(tmp_path: Path) -> None:
    """The search trains without: its trainings and those made here would be of other networks, or of other images."""
    more = ("deliver.add=['se']", "deliver.jitter=[0.1, 0, 0, 0]", "deliver.mixup=0.5", "deliver.ema=0.9")
    with open_store(begin(tmp_path, (*ALONE, *more))) as store:
        with_more = setting_of(store, store.run("tiny")).config.deliver
    with open_store(begin(tmp_path, ALONE, name="plain")) as store:
        assert with_more == setting_of(store, store.run("plain")).config.deliver
    assert set(DeliverSection.model_fields) == {*Training.model_fields, "augment", *PLAIN}


def test_what_is_added_to_networks_counts(tmp_path: Path, trained: list[Any]) -> None:
    storage = begin(tmp_path, (*DELIVERED, "search.macs_convention=macs+se"))
    plain, added = (measure_proxies("tiny", storage, ASKED, overrides) for overrides in ((), ("deliver.add=['se']",)))
    assert all("_seh25" in network for _, _, network, _ in trained[-1:])
    with open_store(storage) as store:
        recorded = {one.macs for one in trainings_of(store, store.run("tiny")) if "_seh25" in one.arch}
    assert recorded == {macs for one in (*added.truth, *added.proxies) for macs in one.macs}
    assert min(added.truth[0].macs) > min(plain.truth[0].macs)


def test_a_proxy_has_seeds_of_its_own(tmp_path: Path, trained: list[tuple[str, int, str, int]]) -> None:
    """With those of the full training it would agree with its luck, too."""
    measure_proxies("tiny", begin(tmp_path), ProxyOptions(networks=3, seeds=2, proxies=HALVES))
    seeds = {name: {seed for other, seed, *_ in trained if other == name} for name, *_ in trained}
    full = seeds.pop("proxies: in full")
    assert len(full) == 2
    assert all(not full & other for other in seeds.values())


# -- recorded, and found again ------------------------------------------------------------------------------------------


def test_nothing_is_trained_twice_and_more_of_anything_trains_only_what_is_new(
    tmp_path: Path, trained: list[Any]
) -> None:
    storage = begin(tmp_path)
    first = measure_proxies("tiny", storage, ASKED)
    assert len(trained) == 5 * 4
    assert measure_proxies("tiny", storage, ASKED) == first
    assert len(trained) == 5 * 4
    more = ProxyOptions(networks=6, seeds=2, proxies=(*HALVES, Proxy(epochs=0.25)))
    measure_proxies("tiny", storage, more)
    assert len(trained) == len(set(trained)) == 6 * 6
    with open_store(storage) as store:
        rows = trainings_of(store, store.run("tiny"))
        assert len(rows) == 6 * 6
        assert {row.name for row in rows} >= {
            "proxies: in full",
            "proxy: epochs 1/2",
            "proxy: epochs 1/2, channels 1/2",
        }


def test_fewer_images_are_another_training(tmp_path: Path, trained: list[Any]) -> None:
    with open_store(begin(tmp_path)) as store:
        trainer = setting_of(store, store.run("tiny"))
        plan = plan_experiment(trainer, ASKED)
        whole, fewer = (trainer_of(trainer, plan.proxies[place]) for place in (0, 1))
        assert fewer.most_images == round(len(trainer.images.train) / 2)
        assert whole.most_images is None
        one = plan.full.networks[0]
        assert len({t.identity(one, 0) for t in (trainer, whole, fewer)}) == 3


def test_what_was_trained_before_ctrl_c_is_kept(tmp_path: Path, trained: list[Any]) -> None:
    storage = begin(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        measure_proxies("tiny", storage, ASKED, reporter=Reporter(track=interrupted_after(6)))
    assert len(trained) == 6
    measure_proxies("tiny", storage, ASKED)
    assert len(set(trained)) == 5 * 4
    assert len(trained) == 5 * 4 + 1, "the one that was interrupted before it was recorded goes on"


def interrupted_after(calls: int) -> Track:
    """Presses Ctrl-C when progress has been shown so often."""

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        with interrupted_at(calls)(label, total) as advance:
            yield lambda n: advance(1)

    return track


def test_progress_is_shown_in_whole_parts_that_add_up() -> None:
    shown: list[int] = []
    forward = smoothly(shown.append, 1000 / 7.7)
    for _ in range(77):
        forward(0.1)
    assert sum(shown) == 1000
    assert all(isinstance(part, int) and part > 0 for part in shown)


# -- what the search has trained ---------------------------------------------------------------------------------------


def test_what_the_search_trained_in_full_is_the_first_full_training(tmp_path: Path, trained: list[Any]) -> None:
    """In rounds that train as the last one does: those of a cheaper round, stopped and failed ones do not count."""
    storage, judge = begin(tmp_path, ALONE), "scratch:4ep:lr0.05"
    with open_store(storage) as store:
        run = store.run("tiny")
        archs = draw_networks(run.config, cost_table(run.space), 5)
        answers = [
            Evaluation(archs[0], judge, 0.91, 0, 0, seconds=2.0),
            Evaluation(archs[1], "scratch:2ep", 0.92, 0, 0),
            Evaluation(archs[2], judge, 0.93, 0, 0, pruned=True),
            Evaluation(archs[3], f"{judge}:60images", 0.94, 0, 0),
        ]
        store.record_evaluations(run, run.space, answers)
    said: list[str] = []
    found = measure_proxies(
        "tiny", storage, ProxyOptions(networks=5, seeds=2, proxies=HALVES), reporter=Reporter(said.append)
    )
    assert found.truth[0].accuracies[0] == 0.91
    assert 0.91 not in found.truth[1].accuracies
    assert not {0.92, 0.93, 0.94} & set(found.truth[0].accuracies)
    assert len(trained) == 5 * 5 - 1
    assert found.setting.by_search == 1
    assert "full trainings that the search has made already: 1 of 5" in said
    assert found.truth[0].epochs == 4, "as in the last rounds"


def test_a_trained_network_stands_for_a_drawn_one_of_about_its_macs(table: CostTable, space: SearchSpace) -> None:
    config = load_config("digits")
    drawn = draw_networks(config, table, 5)
    macs = table.count(drawn)[:, 0]
    near, far = draw_networks(config.model_copy(update={"seed": 9}), table, 64), draw_networks(config, table, 1)
    chosen = draw_networks(config, table, 5, near)
    forms = {canonical_arch(arch, space) for arch in near}
    assert sum(canonical_arch(arch, space) in forms for arch in chosen) == 5
    assert (abs(table.count(chosen)[:, 0] / macs - 1) <= 0.16).all()
    assert draw_networks(config, table, 5, far) == drawn


# -- what is said -------------------------------------------------------------------------------------------------------


SETTING = Setting("tiny", "digits", 50, 0, (), "scratch", None, "macs", 0)


def measured(name: str, share: float, values: list[float], seconds: float = 10.0, **others: Any) -> Measured:
    given: Mapping[str, Any] = {"epochs": 4, "images": 100, "pixels": 1.0, "channels": 1.0}
    networks = len(values)
    diverged = tuple(value == 0 for value in values)
    macs = tuple(1000.0 + i for i in range(networks))
    return Measured(
        name, **{**given, **others}, macs=macs, accuracies=tuple(values), diverged=diverged, seconds=seconds,
        training_macs=share * 1e9,
    )  # fmt: skip


ORDER = [0.1 + (7 * i % 40) / 50 for i in range(40)]
FULL = measured("in full", 1.0, ORDER)
HALF = measured("epochs 1/2", 0.5, [value * 0.9 for value in ORDER], 5.0, epochs=2)
SLIM = measured("channels 1/4", 0.1, [value * 0.8 for value in ORDER], 9.0, channels=0.25)
NETWORKS = tuple(f"mb_k3_e{i + 1}" for i in range(40))


def result(*proxies: Measured, truth: tuple[Measured, ...] = (FULL,), **setting: Any) -> ProxiesResult:
    return ProxiesResult(Setting(**{**asdict(SETTING), **setting}), NETWORKS, truth, proxies)


def test_the_recommendation_names_the_settings_and_what_time_it_takes() -> None:
    found = result(HALF, SLIM)
    assert found.recommended == SLIM
    said = str(found)
    assert "Take channels 1/4: it costs 10.0% of the MACs" in said
    assert "A search judges so with --set evaluator.width=0.25." in said
    assert "It takes 90% of the seconds" in said
    timed = result(HALF, SLIM, by="seconds")
    assert timed.recommended == HALF
    assert "it costs 50.0% of the seconds" in str(timed)
    assert "--set evaluator.epochs=2." in str(timed)
    assert "--set evaluator" not in str(result(HALF, SLIM, evaluator="oneshot"))


def test_the_tau_of_macs_stands_beside_every_proxy_and_the_cheapest_comes_first() -> None:
    found = result(HALF, SLIM, truth=(FULL, measured("in full", 1.0, ORDER[::-1])))
    tau = f"{found.ranking.of_macs.tau:.2f}"
    rows = [line for line in str(found).splitlines() if "%" in line and "  " in line]
    assert [row.split("  ")[0] for row in rows] == ["channels 1/4", "epochs 1/2", "in full, once more", "MACs, counted"]
    assert all(tau in row for row in rows)
    assert list(found.table()["proxy"]) == ["channels 1/4", "epochs 1/2"]
    assert list(found.table()["macs_share"]) == [0.1, 0.5]
    assert "<td>channels 1/4</td>" in found._repr_html_()


def test_trainings_that_diverge_are_told_and_those_in_full_left_out() -> None:
    lost = measured("in full", 1.0, [0.0, *ORDER[1:]])
    weak = measured("images 1/4", 0.25, [*ORDER[:-1], 0.0])
    found = result(HALF, weak, truth=(lost,))
    assert found.ranking.networks == 39
    assert "1 of 40 networks are left out: their full training diverged." in found.sentences()
    assert "1 of 40 trainings by images 1/4 diverged, and count as accuracy 0." in found.sentences()
    with pytest.raises(EvoError, match=r"the full training of 38 of 40 networks diverged: expected at least 3"):
        result(HALF, truth=(measured("in full", 1.0, [0.5, 0.6] + [0.0] * 38),))
    with pytest.raises(EvoError, match="all 40 networks have the same accuracy after full training"):
        result(HALF, truth=(measured("in full", 1.0, [0.5] * 40),))


# -- the command --------------------------------------------------------------------------------------------------------


def test_networks_are_really_trained_by_the_command_which_prints_words_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = begin(tmp_path, (*DELIVERED, "deliver.batch_size=16"))
    words = ["tiny", "--networks", "4", "--proxy", "e=1/4,c=1/2", "--storage", storage]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "run tiny: 4 networks in full, once, and by 1 proxy" in said
    assert "each trained in full once, and by 1 proxy" in said
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"][0] in said
    assert len(found["networks"]) == len(found["truth"][0]["accuracies"]) == 4
    assert found["table"][0]["tau_macs"] == found["macs"]["tau"]
    assert found["truth"][0]["seconds"] > 0
    ours = evo.load("tiny", storage).proxies("e=1/4,c=1/2", networks=4, progress=False)
    assert json.loads(json.dumps(ours.to_dict())) == found


@pytest.mark.parametrize(
    ("overrides", "preset", "words", "message"),
    [
        (DELIVERED, "digits", ["--proxy", "z=1"], "'z=1' is no share"),
        (DELIVERED, "digits", ["--proxy", "p=1/2"], "would leave 1 pixel"),
        (DELIVERED, "digits", ["--trust", "2"], "trust is 2.0: expected a tau"),
        (
            DELIVERED,
            "digits",
            ["--set", "search.evaluations=3"],
            "those of deliver and data, device, precision and threads",
        ),
        (ALONE, "digits", ["--set", "deliver.epochs=3"], "its own trainings are the truth here"),
        (("space.name=digits", "limits.macs=[19000, 19500]", *DELIVERED), "digits", [], "1 network within the limits"),
    ],
)
def test_mistakes_are_explained(
    overrides: tuple[str, ...],
    preset: str,
    words: list[str],
    message: str,
    tmp_path: Path,
    trained: list[Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tiny", *words, "--storage", begin(tmp_path, overrides, preset)]) == 1
    assert message in capsys.readouterr().err
    assert not trained


def changed(config: StudyConfig, **others: Any) -> StudyConfig:
    return config.model_copy(update=others)


def test_runs_that_have_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    with open_store(begin(tmp_path)) as store:
        run, digits = store.run("tiny"), load_config("digits")
        unlabelled = changed(digits, data=digits.data.model_copy(update={"labels": False}))
        for config, message in (
            (load_config("macro"), "'tabular', which trains nothing"),
            (load_config("pretrained"), "begin with trained weights"),
            (unlabelled, "have no labels"),
        ):
            with pytest.raises(EvoError, match=message):
                full_recipe(run, config)


def test_torchrun_and_options_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, message in (
        ({"networks": 2}, "networks is 2: expected a whole number from 3"),
        ({"seeds": 0}, "seeds is 0: expected a whole number from 1"),
        ({"by": "hours"}, "expected 'macs' or 'seconds'"),
    ):
        with pytest.raises(EvoError, match=message):
            ProxyOptions(**wrong)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EvoError, match="torchrun has started several processes"):
        measure_proxies("tiny", "sqlite:///none.db")
