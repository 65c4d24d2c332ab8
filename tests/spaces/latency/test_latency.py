"""Latency: measured on this machine, and read from published tables."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, cost_table, count_costs
from spaces.errors import SpaceError
from spaces.latency.__main__ import main
from spaces.latency.measure import load_latency_table, timed_parts
from spaces.latency.published import FBNET_OPS, FBNET_PLAN
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space, stage_layers
from spaces.library.nse import NSE_POOLS, nse_space
from spaces.space import SearchSpace

HEADER = "op,c_in,c_out,stride,size,median_ms,iqr_ms,repeats,device,batch,threads\n"


def tiny() -> SearchSpace:
    stem = Stem(4, stride=1, size=4, c_in=1)
    layers = (
        Layer(Shape(4, 4, 1, 4), ("mb_k3_e1", "id"), ("mb_k5_e1",)),
        Layer(Shape(4, 4, 1, 4), ("mb_k3_e1", "id")),
        Layer(Shape(4, 8, 2, 4), ("mb_k3_e1",), block="stage2"),
    )
    return SearchSpace("tiny", layers, stem, Head(0, 2))


def measure(folder: Path, *more: str) -> tuple[int, Path]:
    space = folder / "tiny.json"
    space.write_text(tiny().to_json())
    out = folder / "lut.csv"
    return main(["--space", str(space), "--out", str(out), "--repeats", "3", *more]), out


def test_each_operation_is_measured_once_per_shape() -> None:
    layer, change = Shape(4, 4, 1, 4), Shape(4, 8, 2, 4)
    assert list(timed_parts(tiny())) == [
        ("stem_k3_relu6", Shape(1, 4, 1, 4)),
        ("head_f0_relu6", Shape(8, 2, 1, 2)),
        ("mb_k3_e1", layer),
        ("mb_k5_e1", layer),
        ("mb_k3_e1", change),
    ]


def test_a_measured_table_prices_the_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out = measure(tmp_path)
    assert status == 0
    assert "5 parts measured now" in capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert out.read_text().startswith(HEADER)
    assert [row["device"] + row["batch"] + row["threads"] + row["repeats"] for row in rows] == ["cpu113"] * 5
    ms = {(row["op"], row["stride"]): float(row["median_ms"]) for row in rows}
    assert all(value > 0 for value in ms.values())
    cost = count_costs(tiny(), Architecture(("id", "mb_k3_e1", "mb_k3_e1")), latency=load_latency_table(out))
    expected = ms["stem_k3_relu6", "1"] + ms["head_f0_relu6", "1"] + ms["mb_k3_e1", "1"] + ms["mb_k3_e1", "2"]
    assert cost.latency_ms == pytest.approx(expected)


def test_rectangular_layers_are_measured_and_read_back(tmp_path: Path) -> None:
    out = tmp_path / "lut.csv"
    command = ["--space", "digits", "--size", "4x6", "--out", str(out), "--repeats", "2"]
    assert main(command) == 0
    assert {line["size"] for line in csv.DictReader(out.read_text().splitlines())} == {"4x6", "2x3", "1x2"}
    space = load_space("digits", size=(4, 6))
    assert cost_table(space, latency=load_latency_table(out)).bounds()[0][COLUMNS.index("latency_ms")] > 0
    with pytest.raises(ValueError, match="no entry for 'stem_k3_relu' from 1 to 8 channels at stride 1 and 6x4 pixels"):
        cost_table(load_space("digits", size=(6, 4)), latency=load_latency_table(out))


def test_a_stopped_measurement_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = measure(tmp_path)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:3]))
    capsys.readouterr()
    status, _ = measure(tmp_path)
    assert status == 0
    assert "3 parts measured now" in capsys.readouterr().out
    assert out.read_text().splitlines(keepends=True)[:3] == lines[:3]
    assert [line.split(",")[:5] for line in out.read_text().splitlines()] == [line.split(",")[:5] for line in lines]
    measure(tmp_path)
    assert "0 parts measured now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threads", "2"], "was measured with --threads 1, not 2: choose another file"),
        (["--batch", "8"], "was measured with --batch 1, not 8: choose another file"),
    ],
)
def test_one_file_has_one_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    measure(tmp_path)
    status, _ = measure(tmp_path, *options)
    assert status == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "nope", "--out", "x.csv"], "error: unknown space 'nope'; known: digits,"),
        (["--space", "none.json", "--out", "x.csv"], "error: no file none.json"),
        (
            ["--space", "digits", "--out", "x.csv", "--device", "toaster"],
            "error: torch cannot use the device 'toaster'",
        ),
        (["--space", "digits", "--out", "no/such/folder/x.csv"], "error: "),
    ],
)
def test_what_cannot_be_is_told_without_a_traceback(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--repeats", "2"]) == 1
    assert message in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    code = "import sys, spaces.latency, spaces.show; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_entry_names_operation_and_shape(tmp_path: Path) -> None:
    path = tmp_path / "lut.csv"
    path.write_text(HEADER + "mb_k3_e1,4,4,1,4,0.5,0.01,3,cpu,1,1\n")
    table = load_latency_table(path)
    assert table.operation("mb_k3_e1", Shape(4, 4, 1, 4)) == 0.5
    assert table.operation("id", Shape(4, 4, 1, 4)) == 0.0
    with pytest.raises(
        ValueError, match=r"lut\.csv has no entry for 'mb_k5_e1' from 4 to 8 channels at stride 2 and 4 p"
    ):
        table.operation("mb_k5_e1", Shape(4, 8, 2, 4))
    with pytest.raises(ValueError, match=r"no entry for 'stem_k3_relu6' from 1 to 4"):
        table.fixed(tiny())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no latency table"),
        ("a,b\n1,2\n", "its columns are a, b; expected, among others"),
        (
            HEADER + "mb_k3_e1,4,4,1,4,quick,0.01,3,cpu,1,1\n",
            "line 2: median_ms is 'quick', expected a number from 0 on",
        ),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "lut.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_latency_table(path)
    with pytest.raises(ValueError, match=r"no latency table .*none\.csv: measure one with"):
        load_latency_table(tmp_path / "none.csv")


BLOCKS = "type,input,output,expand,kernel,stride,se,mean_ms\n"
CONVOLUTIONS = "kind,size,c_in,c_out,kernel,stride,dilation,groups,latency\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "mb_k3_e1,4,4,1,4,inf,0.01,3,cpu,1,1\n",
            "line 2: median_ms is 'inf', expected a finite number from 0 on",
        ),
        (HEADER + "\nmb_k3_e1,4,4,1,4,-2,0.01,3,cpu,1,1\n", "line 3: median_ms is '-2', expected a number from 0 on"),
        (HEADER + "mb_k3_e1,4,x,1,4,2,0.01,3,cpu,1,1\n", "line 2: c_out is 'x', expected a whole number from 1 on"),
        (HEADER + "mb_k3_e1,4,4,1,4x,2,0.01,3,cpu,1,1\n", "line 2: size is '4x', expected pixels"),
        (HEADER + "mb_k3_e1,4,4,1,4,2\n", "line 2: found 6 columns, expected the 11"),
        (BLOCKS + "MBConv,4x4x4,4x4x4,1,3,1,0,nan\n", "line 2: mean_ms is 'nan', expected a finite number from 0 on"),
        (BLOCKS + "MBConv,4x4,4x4x4,1,3,1,0,1\nMBConv,4x?x4,4x4x4,1,3,1,0,1\n", "line 3: input is '4x.x4', expected"),
        (BLOCKS + "Block,4x4x4,4x4x4,1,3,1,0,1\n", "line 2: type is 'Block', expected one of expanded_conv, MBConv"),
        (CONVOLUTIONS + "conv,4,4,4,3,1,1,4,-0.5\n", "line 2: latency is '-0.5', expected a number from 0 on"),
        (CONVOLUTIONS + "conv,4,4,4,3x,1,1,4,0.5\n", "line 2: kernel is '3x', expected 7 or 1x7"),
    ],
)
def test_a_number_that_cannot_be_has_a_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "lut.csv"
    path.write_text(text)
    with pytest.raises(SpaceError, match=rf"lut\.csv, {message}"):
        load_latency_table(path)


@pytest.mark.parametrize("damage", [(0.5, float("nan")), (0.5, "fast"), (float("inf"), 0.1)])
def test_fbnets_numbers_are_finite(tmp_path: Path, damage: tuple[object, object]) -> None:
    base, first = damage
    deltas = [[0.1] * len(FBNET_OPS) for _ in range(22)]
    deltas[0][0] = first  # type: ignore[call-overload]
    path = tmp_path / "lut.json"
    path.write_text(json.dumps({"ops": list(FBNET_OPS), "devices": {"pi": {"base": base, "delta_vs_skip": deltas}}}))
    with pytest.raises(
        SpaceError, match=r"lut\.json cannot be read: (base|delta_vs_skip) of 'pi'.* expected a finite number"
    ):
        load_latency_table(path, "pi")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_that_a_spreadsheet_saved_is_read_and_continued(tmp_path: Path, encoding: str) -> None:
    _, out = measure(tmp_path)
    text = out.read_text()
    out.write_text(text.replace("op,c_in", "op, c_in ").replace("\n", "\r\n"), encoding=encoding)
    assert load_latency_table(out).entries.keys() == timed_parts(tiny()).keys()  # type: ignore[attr-defined]
    assert measure(tmp_path)[0] == 0


def mobile(widths: tuple[int, ...], ops: tuple[str, ...], first: tuple[str, ...], head: Head) -> SearchSpace:
    """A MobileNetV2-like space: stem, a layer without stride, then stages of two."""
    strides = (1, 2, 2, 2, 1, 2, 1)
    stem = Stem(widths[0])
    plan = [
        (c, 1 if i in (0, 6) else 2, stride) for i, (c, stride) in enumerate(zip(widths[1:], strides, strict=False))
    ]
    opening, *rest = stage_layers(stem, plan, first=ops, rest=(*ops, "id"))
    return SearchSpace("mobile", (Layer(opening.shape, first), *rest), stem, head)


def test_pixel_1_serves_the_space_of_proxylessnas(data_dir: Path) -> None:
    table = load_latency_table(data_dir / "nas" / "lut_proxyless_pixel1.csv.gz")
    assert table.operation("mb_k7_e6_relu6", Shape(24, 24, 1, 56)) == 15.03821
    assert table.operation("mb_k3_e1", Shape(32, 16, 1, 112)) == 4.03571
    ops = tuple(f"mb_k{k}_e{e}" for e in (3, 6) for k in (3, 5, 7))
    space = mobile((32, 16, 24, 40, 80, 96, 192, 320), ops, ("mb_k3_e1", "mb_k5_e1"), Head(1280, 1000))
    assert table.fixed(space) == pytest.approx(4.397038 + 6.284996 + 0.9348261)
    latency = cost_table(space, latency=table).bounds()[:, COLUMNS.index("latency_ms")]
    strided = (5.608821, 2.513664, 1.347353, 1.853972, 1.819314, 3.912773)
    assert latency[0] == pytest.approx(table.fixed(space) + 4.03571 + sum(strided))
    with pytest.raises(
        ValueError, match="no entry for 'mb_k3_e6_seh25' from 24 to 24 channels at stride 1 and 56 pixels"
    ):
        table.operation("mb_k3_e6_seh25", Shape(24, 24, 1, 56))
    with pytest.raises(ValueError, match="no entry for the stem from 3 to 16 channels at stride 2 and 224 pixels"):
        table.fixed(load_space("pad_nas_large"))


def test_i7_serves_bottlenecks_with_and_without_squeeze_excitation(data_dir: Path) -> None:
    table = load_latency_table(data_dir / "nas" / "lut_mbv3_i7_8700K_nsganetv2.csv.gz")
    assert table.operation("mb_k5_e4_seh25_swish", Shape(40, 40, 1, 28)) == 0.891362
    assert table.operation("mb_k3_e3", Shape(16, 24, 2, 100)) == 0.4878216
    with pytest.raises(ValueError, match="no entry for 'mb_k3_e3_d2'"):
        table.operation("mb_k3_e3_d2", Shape(16, 24, 2, 100))
    space = mobile((16, 16, 24), ("mb_k3_e3",), ("mb_k3_e1",), Head(1280, 1000))
    with pytest.raises(ValueError, match="no entry for the head from 24 to 1280 channels"):
        table.fixed(space)
    last = Layer(Shape(160, 160, 1, 7), ("mb_k3_e3_seh25", "id"))
    front = [Layer(Shape(16, 160, 16, 112), ("proj",))]
    ends_like_mobilenet_v3 = SearchSpace("v3", (*front, last), Stem(16), Head(1280, 1000))
    expected = 0.1828852 + 0.173893 + 0.2609482 + 0.02954292
    assert table.fixed(ends_like_mobilenet_v3) == pytest.approx(expected)


def test_nse_serves_all_pairs_of_its_gpu_space(data_dir: Path) -> None:
    table = load_latency_table(data_dir / "nas" / "nse_gpu_latency.csv")
    space = nse_space("multi_branch", "NR", [1, 3, 3, 7, 3], [16, 32, 64, 128, 256])
    served = [table.operation(op, layer.shape) for layer in space.layers for op in NSE_POOLS["multi_branch"]]
    assert len(served) == 399
    assert min(served) > 0
    assert table.operation("mb_k3_e3", Shape(16, 16, 1, 112)) == pytest.approx(1.109 + 4.1335 + 1.086 + 0.808)
    by_rows_then_columns = 0.6115 + 0.6265 + 0.376 + 0.288  # 1x1, 1x5 with a stride of 1x2, 5x1 with one of 2x1, 1x1
    assert table.operation("rec_k5_e1", Shape(16, 32, 2, 112)) == pytest.approx(by_rows_then_columns)
    assert table.fixed(space) == pytest.approx(0.681 + 0.429 + 0.2495 + 0.0)
    with pytest.raises(ValueError, match="no entry for conv .* of 'mb_k9_e1_g1x1' from 16 to 16 channels"):
        table.operation("mb_k9_e1_g1x1", Shape(16, 16, 1, 112))
    with pytest.raises(ValueError, match="no entry for squeeze-excitation"):
        table.operation("mb_k3_e3_seh25", Shape(16, 16, 1, 112))


def fbnet() -> SearchSpace:
    ops, stem = tuple(FBNET_OPS.values()), Stem(16)
    layers = stage_layers(stem, FBNET_PLAN, first=ops, rest=(*ops[:-1], "id"))
    first = Layer(layers[0].shape, (*ops[:-1], "id"))
    return SearchSpace("fbnet", (first, *layers[1:]), stem, Head(1504, 1000))


@pytest.mark.parametrize(("device", "most_off"), [("pixel3", 1e-4), ("raspi4", 1e-4), ("1080ti_1", 0.05)])
def test_fbnet_predicts_the_measurements_it_was_fitted_to(data_dir: Path, device: str, most_off: float) -> None:
    space = fbnet()
    table = cost_table(
        space, latency=load_latency_table(data_dir / "nas" / "fbnet_layer_op_lut_fitted.json.gz", device)
    )
    with gzip.open(data_dir / "nas" / "fbnet_latency_help.csv.gz", "rt", newline="") as file:
        measured = [row for row, _ in zip(csv.DictReader(file), range(200), strict=False)]
    digits = [
        [layer.candidates[int(digit)] for digit, layer in zip(row["arch"], space.layers, strict=True)]
        for row in measured
    ]
    predicted = table.count(Architecture(tuple(genes)) for genes in digits)[:, 2]
    off = [abs(p / float(row[f"lat_{device}"]) - 1) for p, row in zip(predicted, measured, strict=True)]
    assert sum(off) / len(off) < most_off


def test_fbnet_needs_a_device_and_its_own_layers(data_dir: Path) -> None:
    path = data_dir / "nas" / "fbnet_layer_op_lut_fitted.json.gz"
    with pytest.raises(ValueError, match="it has no device None; choose one of 1080ti_1, .*, titanxp_64"):
        load_latency_table(path)
    table = load_latency_table(path, "pixel3")
    with pytest.raises(ValueError, match="holds for FBNet's 22 layers, and 'digits' has others"):
        table.fixed(load_space("digits"))
    with pytest.raises(ValueError, match=r"\(pixel3\) has no entry for 'mb_k7_e6' from 24 to 24 channels"):
        table.operation("mb_k7_e6", Shape(24, 24, 1, 56))
