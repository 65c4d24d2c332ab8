"""The outputs of a network's blocks are drawn towards those of its teacher's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from evo.alone.features import FeatureLoss, Hint, block_distance, feature_loss, find_hints
from evo.alone.recipe import train_by_recipe
from evo.alone.selection import Criteria
from evo.alone.teacher import Teacher, find_teacher
from evo.alone.trainer import Trainer
from evo.console import Reporter
from evo.data.loading import load_dataset
from evo.data.source import Images
from evo.deliver.__main__ import main
from evo.deliver.against import compare_with_no_search
from evo.deliver.manifest import read_manifest
from evo.deliver.pipeline import deliver_network
from evo.deliver.session import training_settings
from evo.round.algorithm import run_round
from evo.round.context import RunContext, run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from spaces import load_network
from spaces.architecture import Architecture
from spaces.export.baselines import contender
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import StudyConfig, check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.trainings import trainings_of
from studies.records import EvoError
from tests import example_run
from tests.evo.conftest import interrupted_at
from tests.evo.evaluators.cut_examples import MADE, network_folder, settings

STEM = Stem(8, 1, c_in=1, size=8)
ARCH = Architecture(("mb_k3_e1",) * 3)


def space_of(size: int = 8, names: tuple[str, ...] = ("one", "one", "two"), c_out: int = 16) -> SearchSpace:
    """Two layers of 8 channels, and one that halves the pixels."""
    shapes = (Shape(8, 8, 1, size), Shape(8, 8, 1, size), Shape(8, c_out, 2, size))
    layers = (Layer(shape, ("mb_k3_e1",), block=name) for shape, name in zip(shapes, names, strict=True))
    return SearchSpace("features", tuple(layers), replace(STEM, size=size), Head(0, 10))


def made_folder(folder: Path, space: SearchSpace) -> Path:
    """A folder as ``evo.deliver`` makes them."""
    described = describe_network(ARCH, space, [0.7], [0.2])
    folder.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps(described))
    torch.manual_seed(1)
    save_file(build_described(described).state_dict(), folder / WEIGHTS)
    return folder


def asked(teacher: object, **deliver: object) -> StudyConfig:
    known = {"epochs": 1, "batch_size": 16, "teacher": str(teacher), "teacher_features": 0.5} | deliver
    data = {"name": "digits", "max_images": 120}
    return check_config(example_run.CONFIG | {"data": data, "deliver": known}, "test")


def found(config: StudyConfig) -> tuple[Teacher, Images]:
    images = load_dataset(config.data, "cpu")
    teacher = find_teacher(config, None, images)
    assert teacher is not None
    return teacher, images


def loss_of(network: Network, space: SearchSpace, teacher: Teacher, config: StudyConfig) -> FeatureLoss:
    loss = feature_loss(network, contender("mine", ARCH, space), teacher, config.deliver)
    assert loss is not None
    return loss


# -- the term ---------------------------------------------------------------------------------------------------------


def by_layer(network: Network, x: Tensor) -> list[Tensor]:
    """What each layer gives, layer by layer, in double precision."""
    outputs = [network.stem(x)]
    for layer in network.layers:
        outputs.append(layer(outputs[-1]))
    return [output.detach().double() for output in outputs[1:]]


def distance(student: Tensor, teacher: Tensor) -> float:
    """By hand: the mean square of differences, and that of deviations from the mean of all numbers of the batch."""
    deviations = (teacher - teacher.sum() / teacher.numel()).pow(2).sum() / (teacher.numel() - 1)
    return float((student - teacher).pow(2).sum() / student.numel() / deviations)


def test_the_loss_is_the_one_by_hand() -> None:
    """Of the last layer of each block; scores and targets stay those of cross-entropy."""
    torch.manual_seed(0)
    student, teacher = Network(ARCH, space_of()).train(), Network(ARCH, space_of()).eval()
    x, targets = torch.randn(6, 1, 8, 8), torch.randn(6, 10).softmax(1)
    hints = find_hints(space_of(), space_of())
    assert hints == (Hint("one", 1, 1), Hint("two", 2, 2))
    ours, theirs = by_layer(student, x), by_layer(teacher, x)
    expected = (distance(ours[1], theirs[1]) + distance(ours[2], theirs[2])) / 2
    with FeatureLoss(hints, student.layers, teacher.layers, 0.3) as loss:
        for _ in range(2):  # nothing is left of the first time
            with torch.no_grad():
                teacher(x)
            scores = student(x)
            by_scores = -(targets * scores.log_softmax(1)).sum(1).mean()
            assert loss(scores, targets).item() == pytest.approx(by_scores.item() + 0.3 * expected, rel=1e-5)
            assert not loss.outputs
    assert expected > 0.1


def test_the_same_maps_are_at_no_distance_and_scale_plays_no_part() -> None:
    torch.manual_seed(0)
    teacher = Network(ARCH, space_of()).eval()
    same = by_layer(teacher, torch.randn(4, 1, 8, 8))[1]
    other = same + torch.randn_like(same)
    assert float(block_distance(same, same)) == 0
    torch.testing.assert_close(block_distance(other, same), block_distance(1000 * other, 1000 * same))


def test_gradients_reach_the_student_only(tmp_path: Path) -> None:
    config = asked(made_folder(tmp_path / "teacher", space_of()))
    teacher, images = found(config)
    network, x = Network(ARCH, space_of()), images.train.take(torch.arange(16))[0]
    with loss_of(network, space_of(), teacher, config) as loss:
        teacher(x)
        network(x)
        loss.distance().backward()
    assert all(weight.grad is None for weight in teacher.module.parameters())
    assert all(weight.grad is None for weight in network.head.parameters())
    inside = [weight.grad for part in (network.stem, network.layers) for weight in part.parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in inside)
    assert sum(float(grad.abs().sum()) for grad in inside if grad is not None) > 0


def test_maps_of_a_teacher_of_larger_images_are_averaged(tmp_path: Path) -> None:
    """By hand: means of two by two pixels."""
    config = asked(made_folder(tmp_path / "teacher", space_of(16)))
    teacher, images = found(config)
    network, x = Network(ARCH, space_of()).eval(), images.train.take(torch.arange(16))[0]
    with loss_of(network, space_of(), teacher, config) as loss, torch.no_grad():
        teacher(x)
        network(x)
        term = float(loss.distance())
    larger = F.interpolate(x, (16, 16), mode="bilinear", antialias=True)
    theirs = [output.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5)) for output in of_teacher(teacher, larger)]
    ours = by_layer(network, x)
    assert term == pytest.approx((distance(ours[1], theirs[1]) + distance(ours[2], theirs[2])) / 2, rel=1e-4)


def of_teacher(teacher: Teacher, x: Tensor) -> list[Tensor]:
    """As ``by_layer``, of images of the teacher's size."""
    network = list(teacher.module.children())[1]
    assert isinstance(network, Network)
    return by_layer(network, network.preprocessing(x))


# -- which blocks -----------------------------------------------------------------------------------------------------


def test_blocks_that_do_not_fit_are_left_out() -> None:
    mine, one, two = space_of(), Hint("one", 1, 1), Hint("two", 2, 2)
    for teacher, expected in (
        (space_of(16), (one, two)),
        (space_of(c_out=24), (one,)),
        (space_of(names=("one", "one", "three")), (one,)),
        (space_of(names=("none", "one", "two")), (one, two)),
        (space_of(names=("one", "two", "two")), (Hint("one", 1, 0), two)),
        (space_of(names=("two", "two", "one")), ()),  # other channels both times
        (space_of(4), ()),  # fewer pixels: there is nothing to average
    ):
        assert find_hints(mine, teacher) == expected


# -- a training -------------------------------------------------------------------------------------------------------


def test_the_teacher_sees_once_the_very_images_that_the_student_sees(tmp_path: Path) -> None:
    """Changed and blended at random, in evaluation mode; afterwards both networks are as they were."""
    config = asked(made_folder(tmp_path / "teacher", space_of()), mixup=0.5, augment=["crop"])
    teacher, images = found(config)
    network, seen = Network(ARCH, space_of()), dict[str, list[Tensor]](student=[], teacher=[])
    network.register_forward_pre_hook(lambda _, given: seen["student"].append(given[0].clone()))
    teacher.module.register_forward_pre_hook(lambda _, given: seen["teacher"].append(given[0].clone()))
    before = {name: tensor.clone() for name, tensor in teacher.module.state_dict().items()}
    features = loss_of(network, space_of(), teacher, config)
    progress = tmp_path / "progress"
    train_by_recipe(network, config, images.train, 10, 3, teacher=teacher, features=features, checkpoint=progress)
    assert len(seen["student"]) == 6  # 96 images
    assert all(torch.equal(*pair) for pair in zip(seen["student"], seen["teacher"], strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.module.state_dict().items())
    assert not teacher.module.training
    assert not any(layer._forward_hooks for layers in (network.layers, teacher.layers) for layer in layers)


def test_an_interrupted_training_watches_nothing_any_more(tmp_path: Path) -> None:
    config = asked(made_folder(tmp_path / "teacher", space_of()))
    teacher, images = found(config)
    network = Network(ARCH, space_of())
    features = loss_of(network, space_of(), teacher, config)
    with pytest.raises(KeyboardInterrupt):
        train_by_recipe(
            network, config, images.train, 10, 3, teacher=teacher, features=features,
            checkpoint=tmp_path / "progress", track=interrupted_at(3),
        )  # fmt: skip
    assert not any(layer._forward_hooks for layers in (network.layers, teacher.layers) for layer in layers)
    assert not features.outputs


# -- a delivered cut --------------------------------------------------------------------------------------------------

STAGED = MADE.replace_layers(replace(layer, block=f"stage{n}") for n, layer in enumerate(MADE.layers, start=1))
CUT = Architecture(("mb_k3_h8", "mb_k3_e2_se25_swish", "conv_k3_h16"))
TRAINING = {"learning_rate": 0.03, "epochs": 6, "teacher": "whole"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunContext]:
    """A finished round of cuts of a network of three blocks."""
    folder, network = tmp_path_factory.mktemp("searched"), network_folder(tmp_path_factory, STAGED)
    config = settings(network, search={"evaluations": 2, "population": 2}, deliver=TRAINING)
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        shared = run_context(begin_run(store, "cuts", config), store, folder / "files", map_inline)
        run_round(shared, 1)
        yield shared


def with_features(config: StudyConfig, weight: float) -> StudyConfig:
    return config.model_copy(update={"deliver": config.deliver.model_copy(update={"teacher_features": weight})})


def delivered(searched: RunContext, folder: Path, weight: float, stops: tuple[int, ...] = ()) -> Path:
    given = (searched.store, searched.run, with_features(searched.config, weight), Criteria({}, arch=CUT), folder)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            deliver_network(*given, Reporter(track=interrupted_at(stop)))
    deliver_network(*given)
    return folder


def apart_on_new_images(searched: RunContext, folder: Path) -> float:
    """How far the blocks of a delivered cut are from those of the whole network, on test images, in evaluation mode."""
    images = load_dataset(searched.config.data, "cpu")
    teacher = Trainer.of(searched.store, searched.run, searched.config, images).teacher
    assert teacher is not None
    x = images.test.take(torch.arange(200))[0]
    pairs = zip(by_layer(load_network(folder), x), of_teacher(teacher, x), strict=True)
    return sum(distance(*pair) for pair in pairs) / 3


@pytest.mark.usefixtures("unexported")
def test_a_delivered_cut_comes_closer_to_the_whole_network_inside(searched: RunContext, tmp_path: Path) -> None:
    folders = {weight: delivered(searched, tmp_path / str(weight), weight) for weight in (0.0, 1.0)}
    far, near = (apart_on_new_images(searched, folder) for folder in folders.values())
    assert near < 0.8 * far
    assert read_manifest(folders[1.0])["training"]["settings"]["teacher_features"] == 1.0
    said = [(folder / "README.md").read_text() for folder in folders.values()]
    assert ["the outputs of its blocks are imitated with weight 1" in text for text in said] == [False, True]


@pytest.mark.usefixtures("unexported")
def test_a_delivery_that_was_interrupted_ends_with_the_same_bits(searched: RunContext, tmp_path: Path) -> None:
    whole = delivered(searched, tmp_path / "whole", 0.5)
    rough = delivered(searched, tmp_path / "rough", 0.5, (3, 20, 41))  # of 72 steps, 12 an epoch
    assert (whole / WEIGHTS).read_bytes() == (rough / WEIGHTS).read_bytes()
    plain = load_file(delivered(searched, tmp_path / "plain", 0.0) / WEIGHTS)
    assert any(not torch.equal(tensor, plain[name]) for name, tensor in load_file(whole / WEIGHTS).items())


# -- it counts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[Store, StoredRun]]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        yield store, example_run.two_rounds(store)


QUICK = ("deliver.epochs=1", "data.max_images=120", "deliver.batch_size=16")


def trainer_of(store: Store, run: StoredRun, *more: str) -> Trainer:
    config = training_settings(run, [*QUICK, *more])
    return Trainer.of(store, run, config, load_dataset(config.data, config.device))


def test_a_training_is_found_by_the_weight_and_by_the_blocks(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    """Names of blocks play a part as far as they say which layers are compared, and no other."""
    names = {"here": ("stage1", "stage1", "stage2"), "there": ("a", "stage1", "stage2"), "first": ("stage1", "b", "c")}
    folders = {name: made_folder(tmp_path / name, space_of(names=blocks)) for name, blocks in names.items()}
    mine = contender("mine", Architecture.parse(example_run.DEAR), example_run.SECOND)

    def identity(name: str, *more: str) -> str:
        return trainer_of(*run, f"deliver.teacher={folders[name]}", *more).identity(mine, 0)

    weights = [f"deliver.teacher_features={weight}" for weight in (0, 0.5, 1)]
    assert len({identity("here", weight) for weight in weights}) == 3
    assert identity("here", weights[0]) == identity("here") == identity("first")
    assert identity("here", weights[1]) == identity("there", weights[1])
    assert identity("here", weights[1]) != identity("first", weights[1])


def test_it_costs_what_a_teacher_costs(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    names = ("stage1", "stage1", "stage2")
    teacher = f"deliver.teacher={made_folder(tmp_path / 'teacher', space_of(names=names))}"
    mine = contender("mine", Architecture.parse(example_run.DEAR), example_run.SECOND)
    both = [trainer_of(*run, teacher, f"deliver.teacher_features={weight}") for weight in (0, 1)]
    trained = [trainer.train(mine, 0, lambda steps: None) for trainer in both]
    assert trained[0].training_macs == trained[1].training_macs
    assert trained[0].nll != trained[1].nll


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deliver", "said"),
    [
        (
            {"teacher_features": 0.5},
            "deliver.teacher_features is 0.5, and there is no deliver.teacher whose blocks could be imitated: expected",
        ),
        ({"teacher": "folder", "teacher_features": -1}, "deliver.teacher_features is -1"),
    ],
)
def test_settings_that_do_not_fit(deliver: dict[str, object], said: str) -> None:
    with pytest.raises(EvoError, match=said):
        check_config(example_run.CONFIG | {"deliver": deliver}, "test")


def test_a_teacher_none_of_whose_blocks_fits_is_told_before_anything_is_trained(
    run: tuple[Store, StoredRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, row = run
    monkeypatch.setattr("evo.alone.trainer.train_by_recipe", None)  # so nothing can be trained
    monkeypatch.setattr("evo.deliver.pipeline.train_by_recipe", None)
    folder = made_folder(tmp_path / "teacher", space_of())
    more = [*QUICK, f"deliver.teacher={folder}", "deliver.teacher_features=0.5"]
    words = ["tiny", "--storage", store.url, "--out", str(tmp_path / "new")]
    words += [word for setting in more for word in ("--set", setting)]
    for finalists in ("1", "2"):
        assert main([*words, "--finalists", finalists]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "deliver.teacher_features is 0.5: expected a block that both networks have" in said
        assert "found stage1 (8 x 8 x 8), stage2 (16 x 4 x 4) in" in said
        assert f"one (8 x 8 x 8), two (16 x 4 x 4) in the teacher '{folder}'" in said
        assert "give another deliver.teacher, or leave deliver.teacher_features out" in said
    assert not (tmp_path / "new").exists()
    assert trainings_of(store, row) == []


def test_a_comparison_with_networks_that_do_not_fit_is_refused(run: tuple[Store, StoredRun], tmp_path: Path) -> None:
    """Their blocks are called otherwise, so they could not be trained alike."""
    store, row = run
    folder = made_folder(tmp_path / "teacher", space_of(names=("stage1", "stage1", "stage2"), c_out=24))
    more = [*QUICK, f"deliver.teacher={folder}", "deliver.teacher_features=0.5"]
    with pytest.raises(EvoError, match="deliver.teacher_features is 0.5: expected a block that both networks have"):
        compare_with_no_search(row.name, store.url, ["mobilenet_v2"], Criteria({}), more)
    assert trainings_of(store, row) == []
