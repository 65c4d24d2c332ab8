"""The training loop learns, can be interrupted at any step, and says so when it diverges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from evo.console import Advance
from evo.data.augmentation import AUGMENTATIONS, augmentation, spelled, turn_hue
from evo.data.loading import load_dataset
from evo.data.source import ImageSet
from evo.evaluators.oneshot.paths import fair_paths, uniform_paths
from evo.training.checkpoints import previous_path
from evo.training.loop import Schedule, train
from spaces.architecture import Architecture
from spaces.networks.network import Network
from spaces.networks.supernet import Supernet, inherit_weights
from spaces.space import SearchSpace
from studies.config import DataSection
from studies.records import EvoError
from tests.evo.conftest import interrupted_at

DIGITS = DataSection(name="digits", max_images=240)
SHORT = Schedule(epochs=3, batch_size=48, learning_rate=0.1, augment=("crop", "cutout"))


def supernet(space: SearchSpace, seed: int = 0) -> Supernet:
    torch.manual_seed(seed)
    return Supernet(space)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


@pytest.fixture(scope="module")
def whole(space: SearchSpace) -> Supernet:
    """Trained without an interruption."""
    whole = supernet(space)
    train(whole, load_dataset(DIGITS).train, SHORT, seed=3, paths=uniform_paths(space))
    return whole


def test_a_network_learns_the_digits(space: SearchSpace) -> None:
    images = load_dataset(DataSection(name="digits"))
    torch.manual_seed(0)
    network = Network(Architecture(tuple(layer.genes[-2] for layer in space.layers)), space)
    train(network, images.train, Schedule(epochs=3, batch_size=64, learning_rate=0.1), seed=0)
    network.eval()
    with torch.inference_mode():
        right = (network(images.validation.x).argmax(1) == images.validation.y).double().mean()
    assert right > 0.8


def test_the_seed_decides(space: SearchSpace, whole: Supernet) -> None:
    again = supernet(space)
    train(again, load_dataset(DIGITS).train, SHORT, seed=3, paths=uniform_paths(space))
    assert same(whole, again)


@pytest.mark.parametrize("stop_at", [1, 4, 7, 11])
def test_training_that_was_interrupted_ends_with_the_same_weights(
    space: SearchSpace, whole: Supernet, tmp_path: Path, stop_at: int
) -> None:
    images, checkpoint = load_dataset(DIGITS).train, tmp_path / "progress"
    with pytest.raises(KeyboardInterrupt):
        train(
            supernet(space),
            images,
            SHORT,
            seed=3,
            paths=uniform_paths(space),
            checkpoint=checkpoint,
            track=interrupted_at(stop_at),
        )
    resumed = supernet(space, seed=99)  # its fresh weights must not matter once an epoch was kept
    if not checkpoint.exists():
        resumed = supernet(space)
    train(resumed, images, SHORT, seed=3, paths=uniform_paths(space), checkpoint=checkpoint)
    assert same(whole, resumed)


@pytest.mark.parametrize(("damaged", "repeated"), [(1, 1), (2, 2)])
def test_damaged_progress_is_told_of_and_costs_only_what_it_held(
    space: SearchSpace,
    whole: Supernet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damaged: int,
    repeated: int,
) -> None:
    """Of the newest file one epoch is done again; where that of the epoch before is damaged too, all of them."""
    images, checkpoint = load_dataset(DIGITS).train, tmp_path / "progress"
    train(supernet(space), images, SHORT, seed=3, paths=uniform_paths(space), checkpoint=checkpoint, until=2)
    for path in (checkpoint, previous_path(checkpoint))[:damaged]:
        path.write_bytes(path.read_bytes()[:-40])
    resumed, steps = supernet(space), list[int]()

    @contextmanager
    def count(label: str, total: int) -> Iterator[Advance]:
        yield steps.append

    train(resumed, images, SHORT, seed=3, paths=uniform_paths(space), checkpoint=checkpoint, track=count)
    assert same(whole, resumed)
    assert len(steps) - 1 == (1 + repeated) * (len(images) // SHORT.batch_size)
    assert capsys.readouterr().err.count("is damaged") == damaged
    assert len(list(tmp_path.glob("*.damaged"))) == damaged


def test_divergence_is_told_and_keeps_the_last_good_epoch(space: SearchSpace, tmp_path: Path) -> None:
    wild = Schedule(epochs=3, batch_size=64, learning_rate=1e18, warmup_fraction=0)
    with pytest.raises(EvoError, match=r"the loss is (nan|inf) after epoch . of 3; lower learning_rate"):
        train(
            supernet(space),
            load_dataset(DIGITS).train,
            wild,
            seed=0,
            paths=uniform_paths(space),
            checkpoint=tmp_path / "progress",
        )


def test_idle_operations_do_not_move(space: SearchSpace) -> None:
    """Neither momentum nor weight decay touches an operation that no path has used."""
    net = supernet(space)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    only = Architecture(tuple(layer.genes[0] for layer in space.layers))
    train(net, load_dataset(DIGITS).train, SHORT, seed=0, paths=lambda rng: ((only,),))
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    used = {f"layers.{i}.ops.{gene}." for i, gene in enumerate(only.genes)}
    assert moved
    assert all(name.startswith(("stem", "head")) or any(name.startswith(u) for u in used) for name in moved)


def test_warm_up_rises_and_the_cosine_falls_to_zero() -> None:
    schedule = Schedule(epochs=1, batch_size=1, learning_rate=0.4, warmup_fraction=0.1)
    rates = [schedule.learning_rate_at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == pytest.approx(0.4)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[55] == pytest.approx(0.2)
    assert rates[99] < 0.001


def test_warm_up_may_begin_at_a_share_of_the_rate() -> None:
    """NSE's begins at 0.1 of 0.4; from the warm-up's end on nothing is different."""
    usual = Schedule(epochs=1, batch_size=1, learning_rate=0.4, warmup_fraction=0.1)
    started = replace(usual, warmup_start=0.25)
    rates = [started.learning_rate_at(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 + 0.3 * step / 10 for step in range(1, 11)])
    assert rates[10:] == [usual.learning_rate_at(step, 100) for step in range(10, 100)]


def test_the_rate_may_fall_along_a_line() -> None:
    """PAD-NAS's does; the warm-up is the same."""
    usual = Schedule(epochs=1, batch_size=1, learning_rate=0.5, warmup_fraction=0.1)
    line = replace(usual, annealing="linear")
    rates = [line.learning_rate_at(step, 100) for step in range(100)]
    assert rates[:10] == [usual.learning_rate_at(step, 100) for step in range(10)]
    assert rates[10:] == pytest.approx([0.5 * (100 - step) / 90 for step in range(10, 100)])


def test_warm_up_that_begins_at_zero_is_bit_for_bit_what_it_was() -> None:
    for rate, fraction, steps in ((0.1, 0.05, 97), (0.4, 0.02, 1234), (0.03, 0.3, 61)):
        schedule = Schedule(epochs=1, batch_size=1, learning_rate=rate, warmup_fraction=fraction)
        for step in range(int(fraction * steps)):
            assert schedule.learning_rate_at(step, steps) == rate * (step + 1) / (fraction * steps)


def test_fair_sampling_runs_every_gene_of_the_widest_layers_once(space: SearchSpace) -> None:
    from random import Random

    paths = [path[0] for path in fair_paths(space)(Random(0))]
    widest = max(layer.size for layer in space.layers)
    assert len(paths) == widest
    for i, layer in enumerate(space.layers):
        counts = [sum(path.genes[i] == gene for path in paths) for gene in layer.genes]
        assert max(counts) - min(counts) <= 1


def test_a_smaller_supernet_inherits_bit_for_bit(space: SearchSpace) -> None:
    parent = supernet(space, seed=1)
    from dataclasses import replace

    smaller = space.replace_layers(replace(layer, candidates=layer.candidates[:3]) for layer in space.layers)
    child = supernet(smaller, seed=2)
    assert inherit_weights(child, parent.state_dict()) == []
    theirs = parent.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in child.state_dict().items())


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmentation_keeps_shape_and_follows_its_generator(name: str) -> None:
    x = load_dataset(DIGITS).train.x[:16]
    first, again = (AUGMENTATIONS[name](x, torch.Generator().manual_seed(5)) for _ in range(2))
    other = AUGMENTATIONS[name](x, torch.Generator().manual_seed(6))
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_crop_moves_images_by_at_most_an_eighth() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).expand(200, 1, 8, 8)
    moved = AUGMENTATIONS["crop"](x, torch.Generator().manual_seed(0))
    corners = set(moved[:, 0, 3, 3].tolist())  # row 3, column 3 is 27; one up, down, left, right at most
    assert corners <= {27.0 + 8 * row + column for row in (-1, 0, 1) for column in (-1, 0, 1)}
    assert len(corners) == 9


def test_crop_and_cutout_know_height_from_width() -> None:
    pixels = torch.arange(16 * 32.0).view(1, 1, 16, 32).expand(400, 1, 16, 32)
    moved = AUGMENTATIONS["crop"](pixels, torch.Generator().manual_seed(0))[:, 0, 8, 16] - (8 * 32 + 16)
    assert set(moved.tolist()) == {32.0 * row + column for row in range(-2, 3) for column in range(-4, 5)}
    blank = AUGMENTATIONS["cutout"](torch.ones(400, 1, 16, 32), torch.Generator().manual_seed(0))[:, 0] == 0
    assert set(blank.sum(dim=(1, 2)).tolist()) == {16}  # a square of 4 x 4, a quarter of the shorter side
    assert blank.any(dim=0).all()


def test_augmentation_keeps_the_shape_of_rectangles() -> None:
    x = torch.randn(8, 3, 12, 20)
    for augment in AUGMENTATIONS.values():
        assert augment(x, torch.Generator().manual_seed(0)).shape == x.shape


def test_a_resized_crop_stretches_a_part_of_the_image() -> None:
    """On an image whose values are its columns, a part is a straight line less steep, inside the image."""
    columns = torch.arange(16.0).expand(100, 1, 16, 16)
    parts = AUGMENTATIONS["resized_crop"](columns, torch.Generator().manual_seed(0))[:, 0, :, 1:-1]  # edges reflect
    steps = parts.diff(dim=2)
    assert parts.min() >= 0
    assert parts.max() <= 15
    assert torch.allclose(parts, parts[:, :1], atol=1e-4)
    assert steps.mean(dim=(1, 2)).min() > 0.4  # a quarter of the area, at 3 to 4
    assert steps.mean(dim=(1, 2)).max() < 1.001


def test_colour_jitter_changes_brightness_contrast_and_saturation_a_little() -> None:
    x = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    changed = AUGMENTATIONS["colour_jitter"](x, torch.Generator().manual_seed(0))
    shift = changed.mean(dim=(1, 2, 3)) - x.mean(dim=(1, 2, 3))
    assert 0.3 < shift.abs().max() <= 0.4
    grey, before = changed.mean(dim=1).std(dim=(1, 2)), x.mean(dim=1).std(dim=(1, 2))  # saturation leaves it alone
    assert 0.6 <= (grey / before).min() < 0.7
    assert 1.3 < (grey / before).max() <= 1.4


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_jitter_that_is_not_set_is_bit_for_bit_what_it_was(channels: int) -> None:
    x = torch.randn(20, channels, 8, 8, generator=torch.Generator().manual_seed(1))
    drawn = 0.8 * torch.rand((3, 20, 1, 1, 1), generator=torch.Generator().manual_seed(0)) - 0.4
    mean, grey = x.mean(dim=(1, 2, 3), keepdim=True), x.mean(dim=1, keepdim=True)
    before = x + drawn[0] + drawn[1] * (x - mean) + drawn[2] * (x - grey)
    (name,) = spelled(["colour_jitter"], DataSection().jitter)
    assert name == "colour_jitter"
    assert torch.equal(augmentation(name)(x, torch.Generator().manual_seed(0)), before)


def test_colours_are_changed_as_far_as_is_said() -> None:
    """Brightness alone moves means, hue alone turns colours and leaves grey and distances from it; grey images have no hue."""
    x = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def changed(jitter: tuple[float, ...], x: torch.Tensor = x) -> torch.Tensor:
        names = spelled(["flip", "colour_jitter"], jitter)
        assert names[0] == "flip"
        return augmentation(names[1])(x, torch.Generator().manual_seed(0))

    shift = changed((0.1, 0, 0, 0)) - x
    assert 0.08 < shift.abs().max() <= 0.1
    assert torch.allclose(shift, shift.mean(dim=(1, 2, 3), keepdim=True), atol=1e-6)
    turned, grey = changed((0, 0, 0, 0.1)), x.mean(dim=1, keepdim=True)
    assert torch.allclose(turned.mean(dim=1, keepdim=True), grey, atol=1e-6)
    before, after = x - grey, turned - grey
    assert torch.allclose(after.norm(dim=1), before.norm(dim=1), atol=1e-5)
    cosines = nn.functional.cosine_similarity(after, before, dim=1)
    assert 0.80 < cosines.min() < 0.83  # the cosine of a tenth of a circle is 0.81
    assert torch.equal(changed((0, 0, 0, 0.1), x[:, :1]), x[:, :1])


def test_a_third_of_the_circle_turns_red_to_green() -> None:
    red, green = torch.eye(3)[:2, :, None, None]
    assert torch.allclose(turn_hue(red[None], torch.tensor(2 * torch.pi / 3)), green[None], atol=1e-6)


def test_the_three_parts_of_a_data_set_share_no_image_and_hold_all_classes() -> None:
    images = load_dataset(DataSection(name="digits", validation_fraction=0.3))
    total = len(images.train) + len(images.validation) + len(images.test)
    assert total == 1797
    assert [len(part) for part in (images.train, images.validation, images.test)] == [1049, 449, 299]
    for part in (images.train, images.validation):
        counts = torch.bincount(part.y)
        assert len(counts) == 10
        assert counts.min() > 0.8 * counts.max()
    assert abs(float(images.train.x.mean())) < 1e-3
    assert isinstance(images.train, ImageSet)


def test_what_images_were_normalised_by_is_known() -> None:
    from sklearn.datasets import load_digits

    images = load_dataset(DataSection(name="digits"))
    assert isinstance(images.test, ImageSet)
    values = images.test.x * images.std[0] + images.mean[0]
    pictures = torch.tensor(load_digits().images[5::6]).float() / 16
    torch.testing.assert_close(values[:, 0], pictures, atol=1 / 255, rtol=0)  # they are kept in 256 steps


def test_pieces_of_a_batch_add_up_to_its_gradient(space: SearchSpace) -> None:
    """Without batch normalisation, a step in pieces is the step of the whole batch, but for the order of additions."""

    def trained(accumulate: int) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        train(network, load_dataset(DIGITS).train, replace(SHORT, augment=(), accumulate=accumulate), seed=3)
        return network

    whole, cut, pairs = trained(1), trained(5), trained(1000)  # more pieces than images: two images each
    for mine, fives, twos in zip(whole.parameters(), cut.parameters(), pairs.parameters(), strict=True):
        assert torch.allclose(mine, fives, atol=1e-5)
        assert torch.allclose(mine, twos, atol=1e-5)
    assert not same(whole, cut)


def test_normalisation_sees_the_pieces(space: SearchSpace) -> None:
    """Running statistics after a step are those of pieces, one after the other."""
    images = load_dataset(DIGITS).train.first(48)
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(1, affine=False)
    network = nn.Sequential(norm, nn.Flatten(), nn.Linear(64, 10))
    seen: list[int] = []
    norm.register_forward_hook(lambda module, given, output: seen.append(len(given[0])))
    train(network, images, replace(SHORT, augment=(), epochs=1, accumulate=3), seed=3)
    assert seen == [16, 16, 16]
    assert norm.num_batches_tracked == 3


def test_no_piece_is_a_single_image_which_normalisation_refuses() -> None:
    """Batches of 48 and fewer images, an odd number among them, cut into as many pieces as there are."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    seen: list[int] = []
    network.register_forward_hook(lambda module, given, output: seen.append(len(given[0])))
    for images in (48, 47):
        few = load_dataset(DIGITS).train.first(images)
        train(network, few, replace(SHORT, augment=(), epochs=1, batch_size=images, accumulate=1000), seed=3)
    assert seen == [2] * 24 + [3] + [2] * 22


def test_every_path_of_a_step_sees_every_piece(space: SearchSpace) -> None:
    calls: list[tuple[int, str]] = []
    model = supernet(space)
    model.register_forward_hook(lambda module, given, output: calls.append((len(given[0]), str(given[1]))))
    images = load_dataset(DIGITS).train.first(48)
    train(model, images, replace(SHORT, augment=(), epochs=1, accumulate=2), seed=3, paths=fair_paths(space))
    paths = [path for _, path in calls[: len(calls) // 2]]
    assert calls == [(24, path) for _ in range(2) for path in paths]
    assert len(set(paths)) > 1
