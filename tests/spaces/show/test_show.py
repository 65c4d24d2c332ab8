"""What a person is shown of a space or an architecture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from spaces.architecture import Architecture
from spaces.costs.memory import PRECISIONS
from spaces.costs.table import cost_table
from spaces.latency.__main__ import main as measure
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.library.nse import nse_architecture, nse_space
from spaces.show.__main__ import main
from spaces.show.drawing import NARROW, draw_architecture, draw_space
from spaces.show.overview import abbreviate_ops, make_overview

BEST = "proj|mb_k3_e3_relu6|mb_k5_e6_relu6|id|mb_k3_e3_relu6|mb_k5_e6_relu6|mb_k3_e3_relu6|id"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_a_space_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "pad_nas_large")
    assert lines[0] == "pad_nas_large: 22 layers, 1.5490e27 architectures; images 3 x 224 x 224, 1000 classes"
    cells = [line.split("  ") for line in lines]
    layer = next([cell.strip() for cell in line if cell] for line in cells if line[0] == "stage2.layer2")
    operations = "mb_k{3,5,7}_e{1,2,3,4,5,6}, id"
    assert layer == ["stage2.layer2", "24 x 56²", "24 x 56²", "0 - 43,803,648", "0 - 14,592", "7.3%", operations]
    assert "40,749,696 - 604,182,272" in next(line for line in lines if line.startswith("total"))


def test_an_architecture_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "nas_bench_macro", "--arch", BEST)
    assert lines[0] == "an architecture of nas_bench_macro; images 3 x 32 x 32, 10 classes"
    total = next(line for line in lines if line.startswith("total")).split()
    as_json = json.loads("\n".join(shown(capsys, "nas_bench_macro", "--arch", BEST, "--json")))
    assert [int(cell.replace(",", "")) for cell in total[1:]] == list(as_json["total"].values())
    assert sum(row["macs"] for row in as_json["rows"]) == as_json["total"]["macs"]
    assert sum(row["share"] for row in as_json["rows"]) == pytest.approx(1)
    assert [row["operations"] for row in as_json["rows"][1:-1]] == [[op] for op in BEST.split("|")]


def test_a_space_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    as_json = json.loads("\n".join(shown(capsys, "pad_nas_large", "--json")))
    assert as_json["architectures"] == 3 * 18**6 * 19**15
    assert as_json["total"] == {"macs": [40749696, 604182272], "params": [1792616, 5103080]}
    assert len(as_json["rows"]) == 24


def test_other_images_and_conventions(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "mobile_cifar", "--size", "64", "--classes", "7", "--channels", "1", "--convention", "dna")
    assert lines[0].endswith("images 1 x 64 x 64, 7 classes")
    assert any(line.startswith("MACs (dna): macs+se, twice every number") for line in lines)


def test_latency_is_one_more_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "lut.csv"
    assert measure(["--space", "digits", "--out", str(table), "--repeats", "2"]) == 0
    capsys.readouterr()
    as_json = json.loads("\n".join(shown(capsys, "digits", "--latency", str(table), "--json")))
    assert 0 < as_json["total"]["latency_ms"][0] < as_json["total"]["latency_ms"][1]
    assert shown(capsys, "digits", "--latency", str(table))[2].split()[3:6] == ["MACs", "params", "ms"]


def test_what_a_device_needs_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a space from the least to the most; of a network what its peak and its weights are."""
    space = load_space("nas_bench_macro")
    counted = cost_table(space, target=PRECISIONS["int8"])
    flash, memory = counted.count([Architecture.parse(BEST)])[0, 3:]
    line = shown(capsys, "nas_bench_macro", "--arch", BEST, "--target", "int8")[-1]
    assert re.findall(r"\d[\d,]*", line.split(":")[1]) == [f"{flash:,.0f}", f"{memory:,.0f}"]
    total = json.loads("\n".join(shown(capsys, "nas_bench_macro", "--target", "int8", "--json")))["total"]
    assert [total["flash_kb"], total["memory_kb"]] == counted.bounds()[:, 3:].T.tolist()


def test_parallel_branches_and_what_waits() -> None:
    space = nse_space("multi_mac", "NER", [1, 2, 2, 2, 2, 3], [16, 24, 40, 80, 96, 192, 320], k=5)
    row = make_overview(space).rows[1]
    assert row.ops[-1] == "skip"
    assert row.waiting == 22
    everything = nse_space("multi_mac", "NER", [1, 2, 2, 2, 2, 3], [16, 24, 40, 80, 96, 192, 320])
    arch = nse_architecture("multi_mac", [[], [0, 4], *([0] for _ in range(16))])
    assert [row.ops for row in make_overview(everything, arch).rows[1:3]] == [
        ("skip",),
        ("mb_k3_e1_g1x1", "mb_k3_e3_d2"),
    ]


@pytest.mark.parametrize("name", LIBRARY)
def test_every_space_can_be_drawn(name: str) -> None:
    space = load_space(name)
    root = ElementTree.fromstring(draw_space(make_overview(space), f"<{name} & co>"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == f"<{name} & co>"
    assert [text for text in texts if text in space.names] == list(space.names)


def test_a_drawing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "network.svg"
    shown(capsys, "nas_bench_macro", "--arch", BEST, "--out", str(path))
    boxes = [element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in boxes if text in BEST.split("|")] == BEST.split("|")


@pytest.mark.parametrize(
    ("ops", "short"),
    [
        (["mb_k3_e1", "mb_k5_e1", "mb_k3_e6", "mb_k5_e6", "id"], "mb_k{3,5}_e{1,6}, id"),
        (["mb_k3_e1", "mb_k5_e6"], "mb_k3_e1, mb_k5_e6"),
        (["conv_k3_e1", "conv_k3_e2", "proj"], "conv_k3_e{1,2}, proj"),
        ([], ""),
    ],
)
def test_operations_in_short(ops: list[str], short: str) -> None:
    assert abbreviate_ops(ops) == short


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "error: unknown space 'nope'; known: digits, "),
        (["digits", "--arch", "id|id"], "error: 'digits' has 7 layers, and 'id|id' has 2 genes"),
        (
            ["nas_bench_macro", "--arch", BEST.replace("proj", "mb_k9_e9")],
            "stage1.layer1 of 'nas_bench_macro' cannot be",
        ),
        (["digits", "--arch", "id||id"], "error: gene 2 of 'id||id' is empty"),
        (["digits", "--latency", "none.csv"], "error: no latency table none.csv"),
        (["none.json"], "error: no file none.json"),
        (
            ["digits", "--out", "no/such/folder/x.svg"],
            "cannot write no/such/folder/x.svg: No such file or directory; give",
        ),
        (["digits", "--out", __file__], "the file is there, and is nothing that this command has written"),
    ],
)
def test_what_cannot_be_shown_is_told_without_a_traceback(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_space_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.json"
    path.write_text(load_space("digits").to_json())
    assert shown(capsys, str(path)) == shown(capsys, "digits")
    assert main([str(path), "--size", "16"]) == 1
    assert "has its own images" in capsys.readouterr().err
    path.write_text('{"name": "mine"}')
    assert main([str(path)]) == 1
    assert "holds no search space" in capsys.readouterr().err


def test_the_overview_checks_the_architecture() -> None:
    with pytest.raises(ValueError, match="has 7 layers"):
        make_overview(load_space("digits"), Architecture(("id",)))


def test_a_portrait_names_every_operation_and_fits_a_phone() -> None:
    space, arch = load_space("nas_bench_macro"), Architecture.parse(BEST)
    told = make_overview(space, arch)
    root = ElementTree.fromstring(draw_architecture(told, "network <1>"))
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text in BEST.split("|")] == BEST.split("|")
    assert texts[0] == "network <1>"
    assert [name for name in texts if name in space.names] == list(space.names)
    assert texts[-1] is not None
    assert texts[-1].endswith("parameters")
    assert root.attrib["viewBox"].split()[2] == str(NARROW)
    ends = [
        float(rect.attrib["x"]) + float(rect.attrib["width"]) for rect in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert max(ends) <= NARROW
