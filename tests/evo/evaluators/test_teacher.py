"""Teachers: which of their stages blocks imitate, what does not fit, and that nothing in them moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from evo.data.loading import load_dataset as load_images
from evo.evaluators import FitContext
from evo.evaluators.blockwise.stages import extract_features, stages_by_size
from evo.evaluators.blockwise.teacher import largest_architecture, prepare_teacher, teacher_stages
from spaces import torchvision_shim
from spaces.costs.table import cost_table
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, describe_network
from spaces.library.named_spaces import load_space
from spaces.networks.modules import Normalise
from spaces.networks.network import Network
from spaces.space import SearchSpace
from studies.config import ConfigError, StudyConfig, check_config
from studies.records import EvoError


def in_folder(folder: Path) -> FitContext:
    """A round that keeps its files in ``folder``; a teacher asks for no costs."""
    return FitContext(1, 0, cost_table(load_space("digits")), folder)


def study(space: str = "dna", **teacher: Any) -> StudyConfig:
    return check_config(
        {
            "space": {"name": space},
            "data": {"name": "digits", "max_images": 200},
            "evaluator": {"kind": "blockwise", "teacher": teacher},
            "evolution": {"method": "dna"},
        },
        "test",
    )


@pytest.fixture(scope="module")
def dna() -> SearchSpace:
    return load_space("dna", size=64)


def test_stages_are_chosen_by_their_sizes() -> None:
    """EfficientNet-B7's stages at 224 pixels; DNA's paper takes the second to the seventh."""
    known = {
        f"features.{i}": shape
        for i, shape in enumerate([(64, 112), (32, 112), (48, 56), (80, 28), (160, 14), (224, 14), (384, 7), (640, 7)])
    }
    assert stages_by_size(known, [56, 28, 14, 14, 7, 7]) == tuple(f"features.{i}" for i in range(2, 8))
    assert stages_by_size(known, [112, 56]) == ("features.1", "features.2")
    assert stages_by_size(known, [56, 28, 28]) == ("features.2",)


def test_a_model_of_torchvision_is_split_for_rectangles() -> None:
    found = teacher_stages(study(model="mobilenet_v2", weights="DEFAULT"), load_space("dna", size=(64, 96)))
    assert tuple(found.values()) == (
        (24, (16, 24)), (32, (8, 12)), (64, (4, 6)), (96, (4, 6)), (160, (2, 3)), (320, (2, 3)),
    )  # fmt: skip


def test_a_model_of_torchvision_is_split_without_its_head(dna: SearchSpace) -> None:
    """MobileNetV2's stages at a quarter of 256 pixels: widths of the paper's table 2, the last 1x1 to 1280 left out."""
    found = teacher_stages(study(model="mobilenet_v2", weights="DEFAULT"), dna)
    splits, shapes = tuple(found), tuple(found.values())
    assert splits == ("features.3", "features.6", "features.10", "features.13", "features.15", "features.17")
    assert shapes == ((24, 16), (32, 8), (64, 4), (96, 4), (160, 2), (320, 2))


def test_stages_give_what_the_model_gives_there(dna: SearchSpace, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torchvision_shim.torchvision.models.mobilenet_v2(weights=None).eval()
    save_file(model.state_dict(), str(tmp_path / "mine.safetensors"))
    config = study(model="mobilenet_v2", weights=str(tmp_path / "mine.safetensors"))
    teacher = replace(prepare_teacher(config, dna, in_folder(tmp_path)), mean=OURS[0], std=OURS[1])
    seen: list[Tensor] = []
    for name in ("features.3", "features.6"):
        model.get_submodule(name).register_forward_hook(lambda module, given, output: seen.append(output))
    image = torch.rand(2, 3, 64, 64)  # from 0 to 1; the model takes it by ImageNet's moments, we have it by the data's
    with torch.no_grad():
        model(by_moments(image, *IMAGENET))
        given = teacher.stages(0, 1)(by_moments(image, *OURS))
    for a, b in zip(given, seen, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


OURS = ((0.1, 0.2, 0.3), (0.5, 0.25, 0.125))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def by_moments(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    normalised: Tensor = torchvision_shim.transforms.Normalize(mean, std)(image)
    return normalised


def test_a_model_of_torchvision_is_given_images_by_its_own_moments(dna: SearchSpace, tmp_path: Path) -> None:
    """Those of the weights by name; the default ones' for a file; or those that are given. Ours has them in itself."""
    path = tmp_path / "mine.safetensors"
    save_file(torchvision_shim.torchvision.models.mobilenet_v2(weights=None).state_dict(), str(path))
    of_file = prepare_teacher(study(model="mobilenet_v2", weights=str(path)), dna, in_folder(tmp_path))
    assert of_file.normalised == IMAGENET
    given = prepare_teacher(
        study(model="mobilenet_v2", weights=str(path), mean=OURS[0], std=OURS[1]), dna, in_folder(tmp_path)
    )
    assert given.normalised == OURS
    assert given.identity != of_file.identity  # another teacher: its blocks are trained again
    same = replace(given, mean=OURS[0], std=OURS[1]).stages(0)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        direct = extract_features(given.network(), [given.splits[0]])(image)[0]
        torch.testing.assert_close(same(image)[0], direct)
    assert prepare_teacher(study("digits", epochs=1), load_space("digits"), in_folder(tmp_path)).normalised is None


def test_moments_of_other_images_are_told(dna: SearchSpace) -> None:
    with pytest.raises(
        EvoError, match="images of 3 channels are to be normalised for 'mobilenet_v2' by 1 means and 1 st"
    ):
        teacher_stages(study(model="mobilenet_v2", weights="DEFAULT", mean=(0.5,), std=(0.5,)), dna)


@pytest.mark.parametrize(
    "teacher", [{"mean": (0.5,), "std": (0.2,)}, {"model": "resnet18", "weights": "DEFAULT", "mean": (0.5,)}]
)
def test_moments_come_in_pairs_and_for_models_of_torchvision(teacher: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="mean and std are one number per channel each"):
        study(**teacher)


def test_the_tools_own_teacher_is_the_dearest_network_made_wider(tmp_path: Path) -> None:
    space = load_space("digits")
    config = study("digits", epochs=1, width=1.5)
    teacher = prepare_teacher(config, space, in_folder(tmp_path))
    assert teacher.splits == ("layers.1", "layers.4", "layers.6")
    assert teacher.shapes == ((16, 8), (24, 4), (48, 2))  # 1.5 times 8, 16, 32, in multiples of 8
    assert set(largest_architecture(space).genes) == {"mb_k5_e6"}
    assert prepare_teacher(config, space, in_folder(tmp_path)) == teacher
    assert [path.name for path in tmp_path.glob("*")] == [Path(teacher.weights).name]
    again = prepare_teacher(study("digits", weights=str(teacher.weights)), space, in_folder(tmp_path / "elsewhere"))
    assert (again.splits, again.shapes) == (teacher.splits, teacher.shapes)


def test_a_teacher_stays_as_it_is(tmp_path: Path) -> None:
    space, config = load_space("digits"), study("digits", epochs=1)
    stages = prepare_teacher(config, space, in_folder(tmp_path)).stages(0, 1)
    before = {name: tensor.clone() for name, tensor in stages.state_dict().items()}
    x = load_images(config.data).train.take(torch.arange(50))[0]
    first, again = stages(x)[1], stages(x[:10])[1]
    assert torch.allclose(first[:10], again, atol=1e-6)  # an image's target does not depend on its batch
    assert not any(module.training for module in stages.modules())
    assert not any(parameter.requires_grad for parameter in stages.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in stages.state_dict().items())
    assert any(isinstance(module, nn.BatchNorm2d) for module in stages.modules())


SPLITS = ["features.3", "features.6", "features.10", "features.13", "features.15", "features.17"]


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        ({"splits": SPLITS[:5]}, "6 blocks of 'dna', whose outputs have (pixels) stage1 16 x 16, stage2 8 x 8"),
        ({"splits": [*SPLITS[:5], "features.99"]}, "found features.3: 24 x 16 x 16"),
        ({"splits": [*SPLITS[:5], "features.99"]}, "features.99: no such stage"),
        ({"splits": [*SPLITS[:2], "features.7", "features.4", *SPLITS[4:]]}, "features.4: 32 x 8 x 8"),
        ({"splits": [*SPLITS[:5], "classifier"]}, "other stages: features.0: 32 x 32 x 32"),
        ({"model": "mobilenet_v7"}, "torchvision does not have; near it: mobilenet_v2"),
        ({"weights": "IMAGENET9"}, "no such file, and torchvision's for 'mobilenet_v2' are DEFAULT, IMAGENET1K_V1"),
    ],
)
def test_a_teacher_that_does_not_fit_is_answered(dna: SearchSpace, teacher: dict[str, Any], told: str) -> None:
    config = study(**{"model": "mobilenet_v2", "weights": "DEFAULT", **teacher})
    with pytest.raises(EvoError) as error:
        prepare_teacher(config, dna, in_folder(Path("nowhere")))
    assert told in str(error.value)


def test_images_of_other_channels_are_told() -> None:
    with pytest.raises(EvoError, match="takes images of 3 channels, and those of space 'dna' have 1"):
        teacher_stages(study(model="mobilenet_v2", weights="DEFAULT"), load_space("dna", size=64, channels=1))


def test_files_that_hold_no_teacher_are_told(dna: SearchSpace, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    other = str(tmp_path / "other.safetensors")
    with pytest.raises(EvoError, match="this tool has kept no teacher"):
        teacher_stages(study(weights=other), dna)
    with pytest.raises(EvoError, match="no such file, and no evaluator.teacher.model"):
        teacher_stages(study(weights="nothing.safetensors"), dna)
    with pytest.raises(EvoError, match="does not fit the model"):
        prepare_teacher(study(model="mobilenet_v2", weights=other), dna, in_folder(tmp_path)).network()
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(EvoError, match="this tool has kept no teacher"):
        teacher_stages(study(weights=str(tmp_path / "text.safetensors")), dna)


def test_a_delivered_network_teaches_on_normalised_images(tmp_path: Path) -> None:
    """It subtracts its own mean from images between 0 and 1, and these come normalised already."""
    space, config = load_space("digits"), study("digits", weights=str(tmp_path))
    torch.manual_seed(0)
    arch, images = largest_architecture(space), load_images(config.data)
    network = Network(arch, space, Normalise([0.3], [0.4])).eval()
    (tmp_path / DESCRIPTION).write_text(json.dumps(describe_network(arch, space, [0.3], [0.4])))
    save_file(network.state_dict(), str(tmp_path / WEIGHTS))
    teacher = prepare_teacher(config, space, in_folder(tmp_path / "run"))
    assert teacher.shapes == ((8, 8), (16, 4), (32, 2))
    normalised = images.validation.take(torch.arange(5))[0]
    plain = normalised * torch.tensor(images.std) + torch.tensor(images.mean)
    assert 0 <= float(plain.min()) < float(plain.max()) <= 1.001
    with torch.no_grad():
        expected = nn.Sequential(network.preprocessing, network.stem, *network.layers[:2])(plain)
        assert torch.allclose(teacher.stages(0)(normalised)[0], expected, atol=1e-5)
