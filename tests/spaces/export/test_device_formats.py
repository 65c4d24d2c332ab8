"""A network as devices run it: OpenVINO, LiteRT, ExecuTorch, Core ML. What runs here gives the network's scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.export import device_formats
from spaces.export.device_formats import WRITERS, write_device_format
from spaces.export.exported import OPENERS, ExportedNetwork
from spaces.export.format_table import FORMATS, in_order
from spaces.export.formats import distance
from spaces.networks.network import Network
from studies.config import DeliverSection
from tests.spaces.export.test_network_folder import CLASSES, EVERYTHING, OPS, delivered, images_of

ARCH = Architecture(("skip", "+".join((OPS[1], OPS[4], OPS[5])), "proj", "id"))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return delivered(tmp_path_factory.mktemp("net") / "net", EVERYTHING, ARCH)


def written(name: str, network: Network, folder: Path) -> Path:
    """The folder in which a form lies; skipped where nothing makes it."""
    pytest.importorskip(FORMATS[name].converter.module)
    write_device_format(name, network, images_of(EVERYTHING), folder, CLASSES)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(FORMATS[name].files)
    return folder


def test_openvino_gives_the_scores_of_any_number_of_images_and_names_the_classes(
    network: Network, tmp_path: Path
) -> None:
    core = pytest.importorskip("openvino").Core()
    model = core.read_model(written("openvino", network, tmp_path) / "model.xml")
    assert json.loads(model.get_rt_info(["classes"]).astype(str)) == list(CLASSES)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = torch.cat([images_of(EVERYTHING)] * 2)
    with torch.no_grad():
        for batch in (images, images[:1]):
            scores = torch.from_numpy(compiled([batch.numpy()])[0])
            torch.testing.assert_close(scores, network(batch), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["litert", "executorch"])
def test_a_file_for_one_image_at_a_time_gives_the_scores(name: str, network: Network, tmp_path: Path) -> None:
    exported = ExportedNetwork(name, written(name, network, tmp_path) / FORMATS[name].main)
    images = images_of(EVERYTHING).flip(3)  # not those that it was made and checked with
    with torch.no_grad():
        assert distance(network(images), exported(images)) < 1e-4
        assert distance(network(images), exported(images.flip(0))) > 1e-4


def test_a_core_ml_package_takes_the_images_and_names_the_classes(network: Network, tmp_path: Path) -> None:
    coremltools = pytest.importorskip("coremltools")
    path = written("coreml", network, tmp_path) / "model.mlpackage"
    said = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec().description
    ((given,), (scores,)) = said.input, said.output
    assert (given.name, list(given.type.multiArrayType.shape), scores.name) == ("images", [1, 3, 12, 12], "scores")
    assert json.loads(said.metadata.userDefined["classes"]) == list(CLASSES)


def test_a_file_with_other_scores_is_not_kept(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    other = delivered(tmp_path / "other", EVERYTHING, Architecture(("skip", "skip", "proj", "id")))
    write = WRITERS["openvino"]
    monkeypatch.setitem(WRITERS, "openvino", lambda _, *given: write(other, *given))
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"model.xml is off by .* of the network's scores, expected at most 1e-04"):
        write_device_format("openvino", network, images_of(EVERYTHING), tmp_path / "out", CLASSES)
    assert not list((tmp_path / "out").iterdir())


def test_a_form_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(network: nn.Module, example: Tensor, draft: Path, classes: object) -> None:
        (draft / "model.bin").touch()
        raise RuntimeError("no space")

    monkeypatch.setitem(device_formats.WRITERS, "openvino", write)
    with pytest.raises(RuntimeError, match="no space"):
        write_device_format("openvino", nn.Identity(), torch.zeros(2, 1, 1, 1), tmp_path, ())
    assert not list(tmp_path.iterdir())


def test_every_form_can_be_asked_for_and_opened() -> None:
    names = tuple(FORMATS)
    assert tuple(OPENERS) == names == ("onnx", "pt2", *WRITERS, "int8")
    assert DeliverSection(formats=names[::-1] + names).formats == names == in_order(names[::-1])  # type: ignore[arg-type]
    assert len({file for form in FORMATS.values() for file in form.files}) == sum(
        len(f.files) for f in FORMATS.values()
    )
