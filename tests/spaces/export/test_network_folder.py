"""A delivered network: read back, as a file that needs only torch, and for other programs, it gives the same scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from zipfile import ZipFile

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import spaces.export.network_folder
from spaces import load_network
from spaces.architecture import Architecture
from spaces.export.formats import export_program, write_onnx, write_program, write_source
from spaces.export.network_folder import build_described, describe_network
from spaces.export.python_source import check_exportable, module_expression, network_source
from spaces.export.scaling import scale_widths
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.networks.modules import Normalise
from spaces.networks.network import Network
from spaces.space import SearchSpace

WIDE, NARROW = Shape(8, 8, 1, 6), Shape(8, 16, 2, 6)
OPS = (
    "mb_k3_e1", "mb_k5_e6_se25_swish", "conv_k3_e2_relu6", "dual_k3_e1", "rec_k5_e2", "mb_k3_e2_d2_g2x2_seh25",
    "cell:e2_3_ipg_p5i",
)  # fmt: skip
EVERYTHING = SearchSpace(
    "everything",
    (
        Layer(WIDE, OPS, branches=7, skippable=True),
        Layer(WIDE, OPS, branches=7, skippable=True),
        Layer(NARROW, (*OPS, "proj"), block="stage2", branches=8),
        Layer(Shape(16, 16, 1, 3), ("id", *OPS), block="stage2", branches=2),
    ),
    Stem(8, 2, c_in=3, size=12),
    Head(24, 5, norm=False),
    merge="mean",
)
CLASSES = ('a "quoted" class', "naïve", "back\\slash", "{braces}", "4")
ALL = Architecture(("+".join(OPS), "skip", "+".join((*OPS, "proj")), "id"))


def delivered(folder: Path, space: SearchSpace, arch: Architecture) -> Network:
    """A folder with a network whose weights and statistics are drawn, and that network."""
    folder.mkdir()
    torch.manual_seed(0)
    channels = space.stem.c_in
    description = describe_network(arch, space, [0.3] * channels, [0.6] * channels) | {"classes": CLASSES}
    network = build_described(description)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.get_buffer("running_mean"), 0.0, 0.1)
            nn.init.uniform_(part.get_buffer("running_var"), 0.5, 1.5)
    (folder / "architecture.json").write_text(json.dumps(description))
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "model.py").write_text(network_source(network, space, str(arch), "a test", CLASSES), encoding="utf-8")
    return network.eval()


def images_of(space: SearchSpace) -> Tensor:
    return torch.rand(3, space.stem.c_in, space.stem.size, space.stem.size, generator=torch.Generator().manual_seed(1))


LIBRARY = ("digits", "nas_bench_macro", "pad_nas_large", "dna", "nse_72", "nse_gpu", "efficientnet_b0")

ALONE = """
import importlib.util, json, pathlib, sys
import torch
torch.set_num_threads(1)
for folder in pathlib.Path.cwd().iterdir():
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with torch.no_grad():
        torch.save(module.load(folder)(torch.load(folder / "images.pt")), folder / "scores.pt")
    description = json.loads((folder / "architecture.json").read_text())
    assert list(module.load(folder).classes) == list(module.CLASSES) == description["classes"]
    assert module.ARCHITECTURE == description["arch"]
assert not {"spaces", "evo", "safetensors"} & sys.modules.keys()
"""


def test_model_py_alone_gives_the_same_scores_bit_for_bit(tmp_path: Path) -> None:
    """In an interpreter that sees neither this project nor its environment; spaces are narrow and small, to be quick."""
    cases = {name: scale_widths(load_space(name, size=16), 0.25) for name in LIBRARY} | {"everything": EVERYTHING}
    expected = {}
    for name, space in cases.items():
        arch = ALL if name == "everything" else space.sample(Random(2))
        network = delivered(tmp_path / name, space, arch)
        torch.save(images_of(space), tmp_path / name / "images.pt")
        with torch.no_grad():
            expected[name] = network(images_of(space))
    done = subprocess.run([sys.executable, "-I", "-c", ALONE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, scores in expected.items():
        assert torch.equal(torch.load(tmp_path / name / "scores.pt"), scores), name


def test_a_folder_is_read_back_with_its_stages_by_name(tmp_path: Path) -> None:
    network = delivered(tmp_path / "net", EVERYTHING, ALL)
    again = load_network(tmp_path / "net")
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(images_of(EVERYTHING)), network(images_of(EVERYTHING)))
    assert [name for name, _ in again.layers.named_children()] == ["0", "1", "2", "3"]
    assert again.classes == CLASSES


def test_a_folder_that_names_no_classes_is_read_all_the_same(tmp_path: Path) -> None:
    delivered(tmp_path / "net", EVERYTHING, ALL)
    path = tmp_path / "net" / "architecture.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "classes"}))
    assert load_network(tmp_path / "net").classes == ()


def contents(path: Path) -> list[bytes]:
    """What an archive holds."""
    with ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_the_exports_give_the_same_scores_for_any_number_of_images(tmp_path: Path) -> None:
    import onnxruntime
    from onnxruntime import quantization

    some = (OPS[1], OPS[4], OPS[5])  # of every kind of step one; exporting more takes seconds
    once = Architecture(("skip", "+".join(some), "proj", "id"))
    network, images = delivered(tmp_path / "net", EVERYTHING, once), images_of(EVERYTHING)
    program = export_program(network, images)
    write_program(program, network, images, tmp_path / "model.pt2", CLASSES)
    write_onnx(program, network, images, tmp_path / "model.onnx", CLASSES)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [value.shape for value in session.get_inputs()] == [["n", 3, 12, 12]]
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(CLASSES)
    quantization.quantize_dynamic(tmp_path / "model.onnx", tmp_path / "small.onnx")
    for folder in (Path(spaces.__file__).parent, Path(torch.__file__).parent):
        for content in (*contents(tmp_path / "model.pt2"), (tmp_path / "model.onnx").read_bytes()):
            assert str(folder).encode() not in content  # nothing tells where it was made
    beside = {"classes": ""}
    module = torch.export.load(tmp_path / "model.pt2", extra_files=beside).module()
    assert json.loads(beside["classes"]) == list(CLASSES)
    more = torch.cat((images, images.flip(0), images.flip(3)))
    with torch.no_grad():
        for batch in (more, more[:1]):
            torch.testing.assert_close(module(batch), network(batch), atol=1e-4, rtol=0)
            (scores,) = session.run(None, {"images": batch.numpy()})
            torch.testing.assert_close(torch.from_numpy(scores), network(batch), atol=1e-4, rtol=0)
    other = delivered(tmp_path / "other", EVERYTHING, Architecture(("skip", "skip", "proj", "id")))
    with pytest.raises(ValueError, match=r"model.pt2 is off by .* of the network's scores, expected at most 1e-04"):
        write_program(program, other, images, tmp_path / "model.pt2", CLASSES)


def test_preprocessing_is_the_subtraction_and_division_of_the_search(tmp_path: Path) -> None:
    arch = Architecture(("skip", "skip", "proj", "id"))
    inside = Network(arch, EVERYTHING, Normalise([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])).eval()
    outside = Network(arch, EVERYTHING).eval()
    outside.load_state_dict({k: v for k, v in inside.state_dict().items() if not k.startswith("preprocessing")})
    images = images_of(EVERYTHING)
    mean, std = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1), torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    with torch.no_grad():
        assert torch.equal(inside(images), outside((images - mean) / std))


def test_only_one_architecture_is_left_in_what_a_folder_describes() -> None:
    space = EVERYTHING.restrict_to(ALL)
    assert ALL in space
    assert [layer.candidates for layer in space.layers] == [OPS, (), (*OPS, "proj"), ("id",)]
    with pytest.raises(ValueError, match="cannot be 'mb_k7_e1'"):
        EVERYTHING.restrict_to(Architecture(("mb_k7_e1", "skip", "proj", "id")))


def test_a_folder_without_a_network_is_answered(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no architecture.json and no model.safetensors: expected the folder that"):
        load_network(tmp_path)
    delivered(tmp_path / "net", EVERYTHING, ALL)
    save_file({"stem": torch.zeros(1)}, tmp_path / "net" / "model.safetensors")
    with pytest.raises(ValueError, match="holds no network that can be loaded: Error.s. in loading state_dict"):
        load_network(tmp_path / "net")
    for text in ("{}", "0", "[]", '{"plugins": 3}'):
        (tmp_path / "net" / "architecture.json").write_text(text)
        with pytest.raises(ValueError, match="holds no network that can be loaded"):
            spaces.export.network_folder.load_network(tmp_path / "net")


def test_source_that_gives_other_scores_is_not_kept(tmp_path: Path) -> None:
    network = delivered(tmp_path / "net", EVERYTHING, ALL)
    path, images = tmp_path / "net" / "model.py", images_of(EVERYTHING)
    text = path.read_text().replace(" / len(terms)", "")
    path.unlink()
    with pytest.raises(ValueError, match=r"model.py is off by .* of the network's scores"):
        write_source(text, network, images, path)
    assert not path.exists()


def test_a_module_that_nobody_wrote_is_answered() -> None:
    class Novel(nn.Module):
        pass

    with pytest.raises(
        ValueError, match=r"Novel cannot be written into model.py: enter it in spaces.export.python_source.WRITERS"
    ):
        module_expression(nn.Sequential(Novel()))


def test_a_network_is_asked_whether_it_can_be_written_before_it_is_trained() -> None:
    class Novel(nn.Module):
        pass

    network = Network(ALL, EVERYTHING)
    assert check_exportable(network) == ""
    network.layers[2].ops["novel"] = Novel()  # type: ignore[index,union-attr]
    assert check_exportable(network).startswith("Novel cannot be written into model.py")
