"""What a user may hand in, damaged in every way: it is accepted, or answered with what, where and what to do.

    python -m tests.fuzz --inputs 100000

Every target reads one kind of input through the function that the commands read it with. Inputs are valid ones after some
edits (pieces cut out, doubled, moved, replaced by what breaks parsers), or text of any kind. A fault is any exception that
the commands do not catch, an answer that does not name the file it is about, or one that tells a password.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import traceback
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace

import optuna
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from evo.evaluators import FitContext
from evo.evaluators.tabular import table_costs, tabular
from evo.round.new_run import first_space
from spaces import shell
from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import TableColumns, additive_costs, read_benchmark_table
from spaces.costs.table import CostTable, cost_table
from spaces.errors import SpaceError, UserError
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network, load_network
from spaces.files.text import read_text
from spaces.latency import measure
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.named_spaces import load_space
from spaces.networks.build import build_operation
from spaces.operations import cells
from spaces.operations.grammar import count_operation
from spaces.space import SearchSpace, canonical_arch
from studies import config
from studies.database.store import open_store
from studies.database.trials import distributions
from studies.database.urls import files_folder, require_existing
from studies.run_names import check_name, file_stem, run_folder
from tests.fuzz_data import read_arrays_case, read_folder_case
from tests.fuzz_databases import read_database, statements
from tests.spaces.library import autospace_files

PASSWORD = "hunter2"
SECRET = re.compile(rf"(postgresql|mysql)[\w+]*://me:{PASSWORD}@(?!.*{PASSWORD})")
FILE = "handed-in"
NUMBERS = count()
SPITEFUL = (
    "", " ", "\0", "\n", '"', "'", "\\", "|", "||", "+", ":", ",", "[", "]", "{", "}", "=", ".", "-", "-1", "0", "1e999",
    "nan", "inf", "-inf", "99999999999999999999", "1e-320", "0x10", "null", "true", "None", "é", "\u202e", "𝔘", "\ud7ff",
    "%s", "{0}", "../../etc/passwd", "<script>alert(1)</script>", "'; DROP TABLE runs; --", "[" * 200, "{" * 200, "id",
    "skip", "mb_k3_e6", "cell:e1_3", "_k", "_se", "_d0", "a" * 500,
)  # fmt: skip

Edit = tuple[float, int, str]
"""Where (as a share of the whole), how many characters go, and what stands there instead."""


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        read: reads it as the commands do.
        samples: inputs that are accepted, in a fixed order.
        file: whether it is a file, which an answer must name; ``read`` is then given its path.
        weight: its share of all inputs, to what others have; less for what takes longer.
        made: whether an input is made of a number, by ``read``; it is then checked that what is accepted is what was meant.
        encodings: how files are saved; which, depends on the text.
    """

    read: Callable[[str], object]
    samples: Callable[[], list[str]]
    file: bool = False
    weight: float = 1.0
    made: bool = False
    encodings: tuple[str, ...] = ("utf-8",)


SPREADSHEETS = ("utf-8", "utf-8-sig", "utf-16")
"""How programs save tables."""

# -- what reads -------------------------------------------------------------------------------------------------------

SHAPE = Shape(16, 24, 2, 8)
COUNT = 12
"""So many samples of a kind that is drawn."""


def read_architecture(text: str) -> object:
    space = load_space("digits")
    return canonical_arch(space.check(Architecture.parse(text)), space)


def architectures() -> list[str]:
    rng = Random(0)
    space = load_space("digits")
    return [str(space.sample(rng)) for _ in range(COUNT)]


def read_operation(text: str) -> object:
    found = count_operation(text, SHAPE)
    if found.macs < 1e9:  # weights that nobody fills take no room
        with torch.device("meta"):
            build_operation(text, SHAPE)
    return found


def operations() -> list[str]:
    named = ("mobile_28", "nse_gpu", "dna", "pad_nas_large")
    known = {op for name in named for layer in load_space(name).layers for op in layer.candidates + layer.pending}
    read = {
        "fused_k3_e4_swish",
        "fused_k5_e1",
        "basic_k3_h8_sc",
        "conv_k3_e2_sc",
        "mb_k5_h16_hse8_hswish",
        "mb_k3_e3_seh25",
    }
    return sorted((known | read) - {"id", "skip"})


def read_cell(text: str) -> object:
    return cells.mutate(cells.canonical_cell(cells.parse_cell(text)), ALPHABET, Random(0))


ALPHABET = cells.Alphabet(nodes=4, codes="i357p", expansions=(1, 3, 6))


def genomes() -> list[str]:
    rng = Random(0)
    return [str(cells.random_cell(ALPHABET, rng)) for _ in range(COUNT)]


def autospaces() -> list[str]:
    """Spaces of cells in the form in which AutoSpace's authors released theirs."""
    rng, alphabet = Random(0), cells.Alphabet(4, "357", (3, 6))
    drawn = [[autospace_files.Motif.of(cells.random_cell(alphabet, rng)) for _ in range(2)] for _ in range(2)]
    return [autospace_files.write_space(drawn)]


def read_table(path: str) -> object:
    """A table, and what is told of all that stands in it: accuracies are fractions, costs are costs."""
    section = {"kind": "tabular", "path": path, "separator": "|", "accuracy_column": "top1", "accuracy_scale": 0.01}
    if "flops" in read_text(Path(path)):
        section["macs_column"] = "flops"
    settings = {"space": {"name": "table"}, "evaluator": section, "evolution": {"method": "fixed"}}
    checked = config.check_config(settings, "fuzz")
    space = first_space(checked)
    evaluator = tabular(checked, space)
    costs = table_costs(evaluator.section, space) if "macs_column" in section else cost_table_of_nothing(space)
    judge = evaluator.fit(space, FitContext(1, 0, costs, Path()))
    known = judge.measurable()
    answers = judge(list(space.enumerate() if known is None else known))
    assert answers, "a table without architectures"
    assert all(not e.failed and 0 <= e.accuracy <= 1 and 0 <= e.macs < math.inf for e in answers), (
        "no accuracy, no cost"
    )
    return answers


def cost_table_of_nothing(space: SearchSpace) -> CostTable:
    """Costs for a table that has none."""
    archs = [
        Architecture(tuple(layer.candidates[i % len(layer.candidates)] for layer in space.layers)) for i in range(40)
    ]
    return additive_costs(space, archs, [0.0] * len(archs)).table


def tables() -> list[str]:
    rows = [f"{a}|{b},{50 + i}.5" for i, (a, b) in enumerate((a, b) for a in ("x", "y", "z") for b in ("p", "q"))]
    return ["\n".join(["arch,top1", *rows]), "\n".join(["arch,top1,flops", *(f"{row},{7 * len(row)}" for row in rows)])]


def read_latency(path: str) -> object:
    """A table of latencies: every number in it is a time."""
    model = measure.load_latency_table(path)
    times = [*getattr(model, "entries", {}).values(), *getattr(model, "blocks", {}).values()]
    assert all(0 <= time < math.inf for time in times), "no time"
    return [model.operation(op, Shape(4, 4, 1, 4)) for op in ("mb_k3_e1", "id")]


def latency_tables() -> list[str]:
    head = "op,c_in,c_out,stride,size,median_ms,iqr_ms,repeats,device,batch,threads"
    blocks = "type,input,output,expand,kernel,stride,se,mean_ms\nexpanded_conv,4x4x4,4x4x4,1,3,1,0,0.25"
    convolutions = (
        "kind,size,c_in,c_out,kernel,stride,dilation,groups,latency\nconv,4,4,4,3,1,1,4,0.5\nconv,4,4,4,1,1,1,1,0.2"
    )
    return [f"{head}\nmb_k3_e1,4,4,1,4,0.5,0.01,3,cpu,1,1\n", blocks, convolutions]


def read_accuracy(text: str) -> object:
    """One cell of a table of accuracies: what is accepted is what stands there."""
    path = written_table(["arch", "accuracy"], ["a", text])
    found = read_benchmark_table(path, TableColumns("arch", "accuracy"), 0.01)["accuracy"][0]
    assert found == float(text.strip()), f"{found} is not what stands there"
    assert 0 <= found * 0.01 <= 1, "no accuracy"
    return found


def read_time(text: str) -> object:
    """One cell of a table of latencies: what is accepted is what stands there."""
    head, row = latency_tables()[0].split()
    path = written_table(head.split(","), [text if value == "0.5" else value for value in row.split(",")])
    found = measure.load_latency_table(path).operation("mb_k3_e1", Shape(4, 4, 1, 4))
    assert found == float(text.strip()), f"{found} is not what stands there"
    assert 0 <= found < math.inf, "no time"
    return found


def written_table(*rows: list[str]) -> Path:
    path = Path(f"{FILE}-{next(NUMBERS)}.csv")
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        csv.writer(file).writerows(rows)
    return path


def numbers() -> list[str]:
    return ["0", "50", "99.875", "100", "1e1", " 7 ", "5.0"]


def read_name(text: str) -> object:
    """A run's name: whatever it is, the run's folder lies in that of all runs, and can be made; a good one is the folder."""
    files = Path("evo_files")
    folder = run_folder(files, text)
    folder.mkdir(parents=True, exist_ok=True)
    assert files.resolve() in folder.resolve().parents, f"{folder} is outside"
    assert len(list(files.iterdir())) == 1, "the folder has another name"
    shutil.rmtree(files)
    check_name(file_stem(text))
    check_name(text)
    assert folder.name == text
    words = ["evo.deliver", text, "--storage", "sqlite:///a b.db"]
    assert shlex.split(shell.command_line(*words))[2:] == words
    return folder


def names() -> list[str]:
    return ["digits", "digits-wide_2", "my run", "Größe (2)", "a/b", "../x", "/tmp/x", "C:\\x", "artifacts"]


def read_configuration(path: str) -> object:
    return config.load_config(path)


def configurations() -> list[str]:
    return [(config.PRESETS / f"{name}.toml").read_text(encoding="utf-8") for name in config.presets()]


def read_override(text: str) -> object:
    """A setting of the command line; and the space and the costs that come of it, where it is one of the space."""
    checked = config.load_config("macro", [text])
    space = first_space(checked)
    return distributions(space), cost_table(space, checked.search.macs_convention).bounds()


def overrides() -> list[str]:
    return [
        "search.evaluations=32", "limits.macs=[0, 2e5]", "space.channels=3", "space.size=32", "evaluator.path=a.csv",
        "evolution.method=nse", "space.name=nse_gpu", "space.classes=10", "search.cost=params", "search.macs_convention=torch",
        "evolution={method='pad_nas', rank=10}",
    ]  # fmt: skip


def read_space(path: str) -> object:
    checked = config.load_config("macro", [f"space.path={json.dumps(path)}"])
    space = first_space(checked)
    cost_table(space)
    return distributions(space), space.sample(Random(0))


def small_space() -> SearchSpace:
    layer = Layer(Shape(4, 4, 1, 4), ("mb_k3_e1", "id"), ("conv_k3_e2",), "stage1")
    return SearchSpace("small", (layer, layer), Stem(4, 1, 1, "relu", 1, 4), Head(0, 2, "relu"))


def network_read() -> SearchSpace:
    """A space with all that networks of others brought with them."""
    layer = Layer(Shape(4, 8, 2, 2, "same"), ("basic_k3_h8_sc",), ())
    stem, head = Stem(4, 2, 7, "hswish", 3, 8, "same", 2), Head(8, 2, "hswish", hidden=4)
    return SearchSpace("read", (layer,), stem, head, "residual_relu")


def read_storage(text: str) -> object:
    """A database's URL: opened where that takes no network."""
    files_folder(require_existing(text))
    name = text.partition(":///")[2]
    local = text.startswith("sqlite") and not os.path.isabs(name) and ".." not in name
    if local or text.partition("://")[0] not in ("postgresql+psycopg", "mysql+pymysql", "postgresql"):
        with open_store(text) as store:
            return store.runs()
    return None


def storages() -> list[str]:
    remote = (
        f"{kind}://me:{PASSWORD}@127.0.0.1:1/runs" for kind in ("postgresql+psycopg", "mysql+pymysql", "postgresql")
    )
    return ["sqlite:///fuzz.db", "sqlite:///:memory:", "sqlite://", *remote]


def read_delivered(path: str) -> object:
    """A delivered network whose description was handed in, or whose weights were."""
    folder = Path(path).with_name("delivered")
    space = small_space()
    arch = Architecture(("mb_k3_e1", "id"))
    if not folder.is_dir():
        folder.mkdir()
        save_file(build_described(describe_network(arch, space, [0.5], [0.25])).state_dict(), folder / WEIGHTS)
    (folder / DESCRIPTION).write_bytes(Path(path).read_bytes())
    try:
        return load_network(folder)
    except SpaceError as error:
        raise SpaceError(str(error).replace(str(folder), path)) from error


def deliveries() -> list[str]:
    own = describe_network(Architecture(("mb_k3_e1", "id")), small_space(), [0.5], [0.25])
    read = describe_network(Architecture(("basic_k3_h8_sc",)), network_read(), [0.5] * 3, [0.25] * 3)
    return [json.dumps(own), json.dumps(read)]


TARGETS: dict[str, Target] = {
    "architecture": Target(read_architecture, architectures, weight=4),
    "operation": Target(read_operation, operations, weight=4),
    "cell genome": Target(read_cell, genomes, weight=4),
    "number": Target(shell.number, lambda: ["50M", "1.2G", "300k", "5e7", "950"], weight=4),
    "AutoSpace space": Target(autospace_files.read_space, autospaces),
    "AutoSpace network": Target(autospace_files.read_net, lambda: [released_net()]),
    "configuration": Target(read_configuration, configurations, file=True, weight=2),
    "setting": Target(read_override, overrides),
    "space": Target(read_space, lambda: [small_space().to_json(), network_read().to_json()], file=True),
    "table of accuracies": Target(read_table, tables, file=True, weight=0.5, encodings=SPREADSHEETS),
    "table of latencies": Target(read_latency, latency_tables, file=True, weight=2, encodings=SPREADSHEETS),
    "cell of accuracies": Target(read_accuracy, numbers, weight=2),
    "cell of latencies": Target(read_time, numbers, weight=2),
    "name of a run": Target(read_name, names, weight=2),
    "storage": Target(read_storage, storages, weight=0.5),
    "database": Target(read_database, statements, weight=0.1),
    "delivered network": Target(read_delivered, deliveries, file=True, weight=0.5),
    "folder of images": Target(read_folder_case, lambda: ["0"], weight=0.2, made=True),
    "arrays of images": Target(read_arrays_case, lambda: ["0"], weight=0.5, made=True),
}


def released_net() -> str:
    """A network in the form in which AutoSpace's authors released theirs."""
    reference = cells.reference_cells(cells.Alphabet(4, "357", (3, 6)))
    layers = [Layer(Shape(4, 4, 1, 4), (str(reference[0]), "id"))] * 2
    space = SearchSpace("net", tuple(layers), Stem(4, 1, 3, "relu6", 3, 4), Head(0, 2, "relu6"))
    return autospace_files.write_net(space, Architecture((str(reference[0]), "id")))


# -- what is handed in ------------------------------------------------------------------------------------------------


def edited(sample: str, edits: list[Edit]) -> str:
    """The sample after the edits, one by one."""
    for share, length, text in edits:
        place = round(share * len(sample))
        sample = sample[:place] + text + sample[place + length :]
    return sample


def inputs(samples: list[str]) -> st.SearchStrategy[str]:
    """Valid inputs after some edits, one piece of another among them; or any text."""
    pieces = st.sampled_from(samples).flatmap(
        lambda sample: st.integers(0, len(sample)).map(lambda start: sample[start : start + 12])
    )
    texts = st.sampled_from(SPITEFUL) | pieces | st.text(max_size=4)
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), texts), max_size=3)
    damaged = st.builds(edited, st.sampled_from(samples), edits)
    return st.one_of(damaged, damaged, damaged, damaged, st.text(max_size=40))


@contextmanager
def handed_in(target: Target, text: str) -> Iterator[str]:
    """What the target reads: the text, or the path of a file that holds it; sometimes no UTF-8."""
    if not target.file:
        yield text
        return
    path = Path(f"{FILE}-{next(NUMBERS)}")  # some readers remember what they have read
    path.write_bytes(text.encode(target.encodings[len(text) % len(target.encodings)], "surrogatepass"))
    yield str(path)
    path.unlink()


def accepted(target: Target, text: str) -> bool:
    """Whether the input was accepted; False: it was answered.

    Raises:
        AssertionError: the answer does not help, or tells too much. Anything else that is raised is a fault as well.
    """
    with handed_in(target, text) as given_:
        try:
            target.read(given_)
        except (UserError, ArgumentTypeError) as error:
            answer = str(error)
            assert answer.strip(), "an empty answer"
            assert not SECRET.match(text) or PASSWORD not in answer, f"a password in the answer: {answer}"
            assert not (target.file or target.made) or FILE in answer, (
                f"an answer that does not name the file: {answer}"
            )
            return False
    return True


@cache
def samples(name: str) -> list[str]:
    return TARGETS[name].samples()


def fuzzed(name: str, size: int, start: int = 0) -> SimpleNamespace:
    """Hand in ``size`` inputs; how many were accepted and how many answered.

    Raises:
        BaseException: the fault, with the smallest input that was found for it.
    """
    target, found = TARGETS[name], SimpleNamespace(accepted=0, answered=0)

    @seed(start)
    @settings(
        max_examples=size, database=None, deadline=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 10**9).map(str) if target.made else inputs(samples(name)))
    def hand_in(text: str) -> None:
        if accepted(target, text):
            found.accepted += 1
        else:
            found.answered += 1

    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        hand_in()
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each kind of input; 1 where there was a fault."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--inputs", type=int, default=100_000, help="in all (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    command.add_argument("--only", action="append", choices=TARGETS, help="this kind; repeatable")
    args = command.parse_args(arguments)
    names = args.only or list(TARGETS)
    whole = sum(TARGETS[name].weight for name in names)
    faults = 0
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # its lines would stand in the table
    print(
        "| what is handed in | inputs | accepted | answered | faults | seconds |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name in names:
        started, size = time.perf_counter(), round(args.inputs * TARGETS[name].weight / whole)
        try:
            found = fuzzed(name, size, args.seed)
            told = f"{found.accepted} | {found.answered} | 0"
        except BaseException as fault:
            if isinstance(fault, KeyboardInterrupt):
                raise
            faults += 1
            told = "- | - | 1"
            traceback.print_exception(fault)
        print(f"| {name} | {size} | {told} | {time.perf_counter() - started:.0f} |", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
