"""What a full training has beside its schedule: averages, dropped paths, blended images, and all of it continues."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from evo.alone.images import with_augmentation
from evo.alone.recipe import ModelEMA, add_drop_path, mix_images, train_by_recipe
from evo.data.loading import load_dataset
from evo.training.loop import Schedule, train
from spaces.architecture import Architecture
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import DataSection, DeliverSection, load_config
from tests.evo.conftest import interrupted_at

SHORT = Schedule(epochs=3, batch_size=48, learning_rate=0.1, label_smoothing=0.1)
EVERYTHING = DeliverSection(mixup=0.5, cutmix=1.0, drop_path=0.4, ema=0.9)


def test_the_average_is_the_recurrence_by_hand() -> None:
    """With a decay of .5: 1/2 of each new value once (1 + t) / (10 + t) has passed one half, at t = 8."""
    model = nn.BatchNorm1d(1)
    average = ModelEMA(model, 0.5)
    expected = 0.0
    for step in range(12):
        nn.init.constant_(model.weight, float(step))
        model.num_batches_tracked.fill_(step)
        average(model, step)
        decay = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        expected = decay * expected + (1 - decay) * step
    assert float(average.state()["weight"]) == pytest.approx(expected)
    assert int(average.state()["num_batches_tracked"]) == 11
    assert set(average.state()) == set(model.state_dict())


def test_averages_of_all_tensors_at_once_are_those_one_by_one(space: SearchSpace) -> None:
    """To the bit, also where a file was read in between."""
    torch.manual_seed(0)
    network = Network(Architecture(("mb_k3_e1",) * 7), space)
    average, expected = ModelEMA(network, 0.9), dict[str, torch.Tensor]()
    for step in range(15):
        with torch.no_grad():
            for tensor in network.state_dict().values():
                tensor.add_(torch.randn(tensor.shape) if tensor.is_floating_point() else 1)
        average(network, step)
        for name, tensor in network.state_dict().items():
            share = 1 - min(0.9, (1 + step) / (10 + step))
            kept = expected.setdefault(name, tensor.clone())
            kept.lerp_(tensor, share) if tensor.is_floating_point() else kept.copy_(tensor)
        if step == 7:
            kept, average = average.state(), ModelEMA(network, 0.9)
            average.load(kept)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in average.state().items())
    assert list(average.state()) == list(expected)


def test_paths_are_dropped_more_often_the_deeper_and_only_beside_an_input(space: SearchSpace) -> None:
    torch.manual_seed(0)
    network = Network(Architecture(("mb_k3_e1",) * 7), space)
    add_drop_path(network, 0.7)
    ones = {}
    for i, cell in enumerate(network.layers):
        (op,) = cell.ops.values()
        op.forward = lambda x: torch.ones(len(x), 1, 1, 1)
        network.train()
        ones[i] = op(torch.zeros(4000, 1, 1, 1)).flatten()
        network.eval()
        assert torch.equal(op(torch.zeros(2, 1, 1, 1)).flatten(), torch.ones(2))
    residual = [layer.shape.is_residual for layer in space.layers]
    assert residual == [True, True, False, True, True, False, True]
    for i, values in ones.items():
        dropped = float((values == 0).double().mean())
        assert dropped == pytest.approx(0.1 * (i + 1) if residual[i] else 0.0, abs=0.03)
        assert float(values.mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], ("flip", "colour_jitter")),
        (["deliver.augment=['crop']"], ("crop",)),
        (["data.jitter=[0.2, 0.2, 0.2, 0.1]"], ("flip", "colour_jitter:0.2,0.2,0.2,0.1")),
        (["data.jitter=[0, 0, 0, 0.1]", "deliver.jitter=[0.4, 0.4, 0.4, 0]"], ("flip", "colour_jitter")),
        (
            ["deliver.augment=['colour_jitter']", "deliver.jitter=[0.06, 0.06, 0.06, 0]"],
            ("colour_jitter:0.06,0.06,0.06,0.0",),
        ),
    ],
)
def test_a_delivery_changes_colours_as_its_settings_say_else_as_those_of_the_data(
    settings: list[str], expected: tuple[str, ...], space: SearchSpace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = list[Schedule]()
    monkeypatch.setattr("evo.alone.recipe.train", lambda model, images, schedule, **_: seen.append(schedule))
    config = with_augmentation(
        load_config(
            "digits", ["data.augment=['flip', 'colour_jitter']", "deliver.warmup_start=0.5", "deliver.ema=0", *settings]
        )
    )
    network = Network(Architecture(("mb_k3_e1",) * 7), space)
    train_by_recipe(network, config, load_dataset(config.data).train, 10, 0, checkpoint=tmp_path / "progress")
    assert [(schedule.augment, schedule.warmup_start) for schedule in seen] == [(expected, 0.5)]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.5, 0.0), (0.0, 1.0), (0.5, 1.0)])
def test_labels_are_blended_as_the_images_are(mixup: float, cutmix: float) -> None:
    mix = mix_images(DeliverSection(mixup=mixup, cutmix=cutmix), classes=4)
    assert mix is not None
    labels = torch.arange(4)
    images = labels.view(4, 1, 1, 1).expand(4, 1, 8, 8).float()  # an image's mean says of whom it is made
    for seed in range(5):
        torch.manual_seed(seed)
        blended, shares = mix(images, labels)
        torch.testing.assert_close(shares.sum(1), torch.ones(4))
        torch.testing.assert_close(blended.mean(dim=(1, 2, 3)), shares @ labels.float())


def test_nothing_is_blended_where_nothing_is_asked_for() -> None:
    assert mix_images(DeliverSection(mixup=0, cutmix=0), classes=4) is None


@pytest.mark.parametrize("stop_at", [2, 7, 11])
def test_a_full_training_that_was_interrupted_ends_with_the_same_weights(
    space: SearchSpace, tmp_path: Path, stop_at: int
) -> None:
    images = load_dataset(DataSection(name="digits", max_images=240)).train

    def full(checkpoint: Path | None, stop: int | None = None, draws: int = 0) -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        network = Network(Architecture(("mb_k3_e3",) * 7), space)
        add_drop_path(network, EVERYTHING.drop_path)
        average = ModelEMA(network, EVERYTHING.ema)
        torch.rand(draws)  # whatever else has drawn from torch's generator must not matter
        mix, track = mix_images(EVERYTHING, 10), interrupted_at(stop)
        train(network, images, SHORT, seed=3, mix=mix, between=average, checkpoint=checkpoint, track=track)
        return average.state() | {f"last.{name}": tensor for name, tensor in network.state_dict().items()}

    whole = full(None)
    with pytest.raises(KeyboardInterrupt):
        full(tmp_path / "progress", stop_at)
    resumed = full(tmp_path / "progress", draws=7)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
