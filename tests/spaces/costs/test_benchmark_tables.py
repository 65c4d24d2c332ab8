"""Tables of architectures: reading them, spelling as they do, and taking their costs apart."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import (
    TableColumns,
    additive_costs,
    arch_of_key,
    opaque_space,
    read_benchmark_table,
    restrict_costs,
    split_key,
    table_key,
)
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.space import canonical_arch

MACRO = TableColumns("arch", "mean_acc", "flops", "params")


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text)
    return path


def test_reads_architectures_as_strings_and_the_rest_as_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "net,top1,seconds,note\n0012,91,3,a\n0120,90.5,4,b\n")
    frame = read_benchmark_table(path, TableColumns("net", "top1", latency_ms="seconds"))
    assert frame.to_dict("list") == {"net": ["0012", "0120"], "top1": [91.0, 90.5], "seconds": [3.0, 4.0]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net,top1\nNA,0.5\n", "has no column 'accuracy'; its columns: net, top1"),
        ("net,accuracy\nab,0.5\nac,\n", "line 3: accuracy is '', expected a number"),
        ("net,accuracy\nab,0.5\nac,good\n", "line 3: accuracy is 'good', expected a number"),
        ("net,accuracy\nab,0.5\nab,0.6\n", "'ab' stands twice in net"),
    ],
)
def test_a_bad_table_is_told_apart(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        read_benchmark_table(path, TableColumns("net", "accuracy"))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "scale", "message"),
    [
        ("net,accuracy,macs\nab,0.5,1\nac,0.5,-1\n", None, "line 3: macs is '-1', expected a number from 0 on"),
        ("net,accuracy,macs\nab,0.5,inf\n", None, "line 2: macs is 'inf', expected a finite number from 0 on"),
        ("net,accuracy,macs\nab,nan,1\n", None, "line 2: accuracy is 'nan', expected a finite number"),
        (
            "net,accuracy,macs\nab,0.5,1\nac,88.5,1\n",
            1.0,
            r"line 3: accuracy is 88.5, expected an accuracy from 0 to 1: are these per cent\? Set accuracy_scale = 0.01",
        ),
        ("net,accuracy,macs\nab,-0.5,1\n", 1.0, "line 2: accuracy is -0.5, expected an accuracy from 0 to 1$"),
        (
            "net,accuracy,macs\nab,885,1\n",
            0.01,
            "line 2: accuracy is 885, times accuracy_scale = 0.01, expected .* = 0.0001",
        ),
        (
            "net,accuracy,macs\nab,0.5,1\nac,0.75,1\n",
            0.01,
            "line 3: accuracy is 0.75, the highest, and accuracy_scale = 0.01 makes it 0.75%: are these fractions",
        ),
        ("net;accuracy;macs\nab;0,5;1\n", None, "is it separated by ';'"),
        ("net,accuracy,macs\nab,0,5,1\n", None, "line 2: found 4 columns, expected the 3"),
    ],
)
def test_numbers_that_cannot_be_have_a_place(tmp_path: Path, text: str, scale: float | None, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        read_benchmark_table(path, TableColumns("net", "accuracy", "macs"), scale)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("low", "scale"), [(0.75, 1.0), (2.5, 0.01), (0.01, 1.0), (0.0, 0.01), (0.009, 100.0)])
def test_accuracies_that_may_be_meant_are_taken(tmp_path: Path, low: float, scale: float) -> None:
    path = written(tmp_path, f"net,accuracy\nab,{low}\nac,0\n")
    assert read_benchmark_table(path, TableColumns("net", "accuracy"), scale)["accuracy"].tolist() == [low, 0]


def test_a_table_reads_the_same_whatever_program_saved_it(tmp_path: Path) -> None:
    text = "net,top1,note\n0012,91,a\n0120,90.5,\n"
    columns = TableColumns("net", "top1")
    plain = read_benchmark_table(written(tmp_path, text), columns)
    saved = tmp_path / "saved.csv"
    spaced = text.replace("net,top1", " net , top1").replace("\n", "\r\n").encode("utf-8-sig")
    for data in (spaced, text.encode("utf-16"), text.replace("90.5,\n", "90.5\n,,\n").encode()):
        saved.write_bytes(data)
        pd.testing.assert_frame_equal(read_benchmark_table(saved, columns), plain)


def test_an_architecture_is_found_by_its_spelling() -> None:
    space = load_space("nas_bench_macro")
    for arch in (space.sample(Random(i)) for i in range(20)):
        for tokens, separator in (("indices", ""), ("operations", ",")):
            assert arch_of_key(table_key(arch, space, tokens, separator), space, space, tokens, separator) == arch
    assert arch_of_key("0000000", space, space, "indices", "") is None
    assert arch_of_key("00000009", space, space, "indices", "") is None


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no table .*none\.csv: expected a csv"):
        read_benchmark_table(tmp_path / "none.csv", MACRO)


def test_spelling_by_operations_and_by_indices() -> None:
    space = load_space("nas_bench_macro")
    genes = ["proj", "id", "mb_k5_e6_relu6", "id", "mb_k3_e3_relu6", "mb_k5_e6_relu6", "mb_k3_e3_relu6", "id"]
    arch = Architecture(tuple(genes))
    assert table_key(arch, space, "indices", "") == "00201210"
    assert table_key(arch, space, "operations", ",") == ",".join(genes)
    with pytest.raises(ValueError, match=r"cannot be 'mb_k7_e1'"):
        table_key(Architecture(("mb_k7_e1", *genes[1:])), space, "indices", "")


def test_a_space_read_off_a_table() -> None:
    space = opaque_space("sizes", ["16:8:id", "8:64:id", "8:8:no"], ":")
    assert [layer.candidates for layer in space.layers] == [("8", "16"), ("8", "64"), ("'id'", "no")]
    assert space.size == 8
    arch = Architecture(split_key("16:64:id", ":"))
    assert arch in space
    assert canonical_arch(arch, space) == arch
    assert table_key(arch, space, "operations", ":") == "16:64:id"
    assert opaque_space("sizes", ["8:8:no", "8:64:id", "16:8:id"], ":") == space


@pytest.mark.parametrize(
    ("keys", "separator", "message"),
    [
        ([], "", "has no rows"),
        (["012", "01"], "", "'01' has 2 tokens, and '012' has 3"),
        (["a,b", "a,"], ",", "the token ''"),
        (["a+b,c"], ",", r"the token 'a\+b'"),
        (["a|c"], "", r"the token '\|'"),
        (["a, c"], ",", "the token ' c'"),
    ],
)
def test_tokens_that_cannot_be_genes_are_refused(keys: list[str], separator: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        opaque_space("mine", keys, separator)


@given(st.lists(st.lists(st.integers(0, 10**8), min_size=1, max_size=4), min_size=1, max_size=4), st.integers(0, 10**9))
def test_costs_that_add_up_are_taken_apart_exactly(layers: list[list[int]], fixed: int) -> None:
    keys = [":".join(map(str, places)) for places in product(*(range(len(layer)) for layer in layers))]
    space = opaque_space("sums", keys, ":")
    archs = [Architecture(split_key(key, ":")) for key in keys]
    costs = [fixed + sum(layer[int(gene)] for layer, gene in zip(layers, arch.genes, strict=True)) for arch in archs]
    found = additive_costs(space, archs, costs, params=np.array(costs) / 7)
    assert found.is_exact
    assert found.table.count(archs)[:, 0].tolist() == costs
    assert found.table.count(archs)[:, 1] == pytest.approx(np.array(costs) / 7, abs=1e-3)
    assert found.table.bounds()[:, 0].tolist() == [min(costs), max(costs)]


def test_costs_that_do_not_add_up_say_by_how_much() -> None:
    keys = [f"{a}:{b}" for a in (1, 2, 3) for b in (1, 2, 3)]
    space = opaque_space("products", keys, ":")
    archs = [Architecture(split_key(key, ":")) for key in keys]
    products = np.array([int(a) * int(b) for a, b in (key.split(":") for key in keys)])
    found = additive_costs(space, archs, products)
    assert not found.is_exact
    assert found.error == pytest.approx(1 / 4)  # least squares gives 2a + 2b - 4: 8 for 9, where the mean is 4
    sums = found.table.fixed + sum(layer.cost_of("3") for layer in found.table.layers)
    assert sums[0] == pytest.approx(8.0)
    assert found.table.count(archs)[:, 0].tolist() == products.tolist()  # what stands in the table is known


def test_a_gene_without_an_architecture_has_no_cost() -> None:
    space = opaque_space("mine", ["ab", "bb"], "")
    with pytest.raises(ValueError, match=r"stage1\.layer1: no architecture of the table has 'b'"):
        additive_costs(space, [Architecture(("a", "b"))], [1.0])


def test_a_narrower_space_keeps_its_costs() -> None:
    keys = ["".join(genes) for genes in product("abc", repeat=3)]
    space = opaque_space("mine", keys, "")
    archs = [Architecture(tuple(key)) for key in keys]
    whole = additive_costs(space, archs, [100 + sum(map(ord, key)) for key in keys], latency_ms=np.arange(27)).table
    later = opaque_space("mine", [key for key in keys if "c" not in key], "")
    table = restrict_costs(whole, later)
    assert table.space == later
    assert table.bounds()[:, 0].tolist() == [100 + 3 * ord("a"), 100 + 3 * ord("b")]
    assert table.count(archs[:1])[0].tolist() == whole.count(archs[:1])[0].tolist()


def test_nas_bench_macro_comes_apart_into_its_operations_costs(data_dir: Path) -> None:
    frame = read_benchmark_table(data_dir / "nas" / "nas_bench_macro_cifar10.csv.gz", MACRO)
    assert len(frame) == 6561
    space = opaque_space("macro", frame["arch"], "")
    archs = [Architecture(split_key(text, "")) for text in frame["arch"]]
    found = additive_costs(space, archs, frame["flops"], frame["params"])
    assert found.error == 0
    counted = cost_table(load_space("nas_bench_macro"))
    for column in (0, 1):
        opaque = [layer.costs[:, column] - layer.costs[0, column] for layer in found.table.layers]
        known = [layer.costs[:, column] - layer.costs[0, column] for layer in counted.layers]
        assert [row.tolist() for row in opaque] == [row.tolist() for row in known]


def test_the_size_space_has_costs_that_do_not_add_up(data_dir: Path) -> None:
    frame = read_benchmark_table(
        data_dir / "nas" / "nats_sss_cifar10.csv.gz", TableColumns("channels", "acc_cifar10", "flops", "params")
    )
    space = opaque_space("sizes", frame["channels"], ":")
    assert space.size == len(frame) == 32768
    assert space.layers[0].candidates == ("8", "16", "24", "32", "40", "48", "56", "64")
    archs = [Architecture(split_key(text, ":")) for text in frame["channels"]]
    found = additive_costs(space, archs, frame["flops"])
    assert not found.is_exact
    assert np.corrcoef(found.table.count(archs)[:, 0], frame["flops"])[0, 1] > 0.95
