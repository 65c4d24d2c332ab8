"""A user's own file: operations, evaluators, methods and data sets that no module of the project knows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evo.deliver.__main__ import main as deliver
from evo.evaluators.registry import EVALUATORS
from evo.plugins import plugin_sources
from evo.round.__main__ import main
from evo.round.new_run import prepared_space, with_operations
from spaces import load_network
from spaces.costs.table import cost_table
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.library import named_spaces
from spaces.networks.build import build_operation, check_module
from spaces.operations import grammar
from spaces.operations.grammar import count_operation
from spaces.operations.own_operations import OperationForm, operation
from spaces.operations.primitives import Conv, OpCounts
from studies import config as configs
from studies import plugins
from studies.config import ConfigError
from studies.database.store import open_store
from studies.plugins import PluginError
from studies.records import EvoError
from tests.registries import restored

pytestmark = pytest.mark.usefixtures("unpublished")


OWN = """
    from dataclasses import dataclass, field
    import evo
    from evo import Conv, Evolution, Judge, evaluator, method, operation, evaluations_of
    from evo.methods.evolution import Above, Learned, Nothing
    from spaces.costs.table import CostTable
    from spaces.space import SearchSpace

    @operation("sep_k<kernel>")
    def separable(shape, kernel):
        return (
            Conv(shape.c_in, shape.c_in, (kernel, kernel), (shape.stride, shape.stride), groups=shape.c_in),
            Conv(shape.c_in, shape.c_out, activation="relu"),
        )

    class ProxySettings(evo.EvaluatorSettings):
        slope: float = 1e-6

        def describe(self):
            return "how much they compute"

    @dataclass(frozen=True)
    class ProxyJudge(Judge):
        slope: float
        space: SearchSpace = field(repr=False)
        table: CostTable = field(repr=False)
        name: str = "proxy"

        def __call__(self, archs):
            accuracies = [min(1.0, self.slope * macs) for macs in self.table.count(archs)[:, 0]]
            return evaluations_of(self, archs, accuracies, self.table)

    @evaluator("proxy", settings=ProxySettings)
    @dataclass
    class Proxy:
        config: object
        space: object

        def fit(self, space, context):
            return ProxyJudge(self.config.evaluator.slope, space, context.table)
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with restored():
        yield


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(textwrap.dedent(OWN))
    return path


def run(folder: Path, *args: str) -> int:
    return main(["1", "--storage", f"sqlite:///{folder}/evo.db", "--quiet", *args])


PROXY = (
    "--set", "evaluator={ kind = 'proxy', slope = 2e-6 }", "--set", "ground_truth.sample=0", "--set", "search.evaluations=12",
    "--set", "space.add_operations=['sep_k3']", "--set", "evolution={ method = 'fixed' }",
)  # fmt: skip


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_operation_and_an_evaluator_of_ones_own_are_searched(own: Path, tmp_path: Path, workers: str) -> None:
    assert run(tmp_path, "--plugin", str(own), "--workers", workers, *PROXY) == 0
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        found = store.frame("SELECT arch, judge, accuracy, macs FROM results")
        assert set(found["judge"]) == {"proxy"}
        assert found["arch"].str.contains("sep_k3").any()
        assert found["accuracy"].tolist() == pytest.approx((found["macs"] * 2e-6).clip(upper=1).tolist())


def test_a_changed_file_is_another_run(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--plugin", str(own), *PROXY) == 0
    own.write_text(own.read_text() + "\n# changed\n")
    assert main(["2", "--storage", f"sqlite:///{tmp_path}/evo.db", "--quiet", "--run", "digits"]) == 1
    assert re.search(r"plugin own\.py has changed since run 'digits' began.*--run NAME", capsys.readouterr().err)


def test_a_file_that_is_gone_is_named(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--plugin", str(own), *PROXY) == 0
    (tmp_path / "elsewhere").mkdir()
    moved = own.rename(tmp_path / "elsewhere" / "own.py")  # neither here nor where it was
    plugins._LOADED.clear()  # as in a process of its own
    again = ["2", "--storage", f"sqlite:///{tmp_path}/evo.db", "--quiet", "--run", "digits"]
    assert main(again) == 1
    assert re.search(r"own\.py'?: no such file \(looked for .*\); give its path with --plugin", capsys.readouterr().err)
    plugins._LOADED.clear()
    grammar._OWNERS.clear()
    del grammar.OPERATIONS["sep_"], EVALUATORS["proxy"], configs.EVALUATORS["proxy"]
    assert main([*again, "--plugin", str(moved)]) == 0


def test_wrong_settings_of_ones_own_are_answered_like_ours(own: Path) -> None:
    overrides = [f"plugins=['{own}']", "evaluator={ kind = 'proxy', slop = 1 }"]
    with pytest.raises(
        ConfigError, match=r"unknown key 'evaluator\.slop' \(found 1\); allowed there: kind, slope, timeout"
    ):
        configs.load_config("digits", overrides)


def test_a_kind_that_nobody_has_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"evaluator\.kind is 'mine'; allowed: .*; one of your own needs plugins = "):
        configs.load_config("digits", ["evaluator={ kind = 'mine' }"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import evo\nevo.nothing", r"fails in line 2: AttributeError: module 'evo' has no attribute 'nothing'"),
        ("def f(:\n", r"fails in line 1: SyntaxError"),
        (
            "from evo import operation\n@operation('mb_k<kernel>')\ndef f(shape, kernel): ...",
            "is defined already, by this program",
        ),
        ("from evo import operation\n@operation('own_k<kernel>')\ndef f(shape): ...", "each option is one argument"),
        ("from evo import evaluator\n@evaluator('tabular')\ndef f(config, space): ...", "is taken by this program"),
        ("from evo import method\n@method('mine', settings=int)\ndef f(s, c): ...", "must inherit from MethodSection"),
    ],
)
def test_a_broken_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(PluginError, match=message):
        plugins.load_plugins([str(tmp_path / "broken.py")])


def test_a_path_is_looked_for_beside_the_configuration(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        (configs.PRESETS / "digits.toml").read_text().replace("[space]", 'plugins = ["own.py"]\n[space]', 1)
    )
    monkeypatch.chdir("/")
    config = configs.load_config(str(study))
    plugin = plugins.load_plugins(["own.py"], [tmp_path])[0]
    assert plugin_sources(config, named_spaces.load_space("digits")) == {"plugin own.py": plugin.sha256}


def test_a_package_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "packaged"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "ops.py").write_text(textwrap.dedent(OWN).replace('"sep_', '"psep_').replace('"proxy"', '"packaged"'))
    monkeypatch.syspath_prepend(str(tmp_path))
    (plugin,) = plugins.load_plugins(["packaged.ops"])
    assert plugin.text is None
    assert "psep_" in grammar.OPERATIONS
    with pytest.raises(PluginError, match="no module 'packaged.nothing' is installed"):
        plugins.load_plugins(["packaged.nothing"])


# -- operations -------------------------------------------------------------------------------------------------------

SHAPE = Shape(8, 16, 2, 9)


def test_an_operation_checks_its_options(own: Path) -> None:
    plugins.load_plugins([str(own)])
    assert count_operation("sep_k5", SHAPE).macs == 8 * 25 * 25 + 16 * 8 * 25
    for op in ("sep_banana", "sep_k3_k3", "sep_", "sep_kx"):
        with pytest.raises(ValueError, match=r"expected sep_k<kernel>, each option a whole number"):
            count_operation(op, SHAPE)


def test_a_default_is_left_out() -> None:
    form = OperationForm.of("own_k<kernel>_d<dilation>", lambda shape, kernel, dilation=1: ())
    assert form.parse("own_k3") == {"kernel": 3}
    assert form.parse("own_k3_d2") == {"kernel": 3, "dilation": 2}
    with pytest.raises(ValueError, match="dilation is at its default, which is left out: write own_k3"):
        form.parse("own_k3_d1")


def test_a_number_stands_for_height_and_width() -> None:
    assert Conv(8, 8, 3, 2, groups=8) == Conv(8, 8, (3, 3), (2, 2), groups=8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kernel": 2}, r"kernel is \(2, 2\): expected odd numbers"),
        ({"kernel": 3.0}, r"kernel of a convolution is 3\.0: expected a whole number"),
        ({"kernel": (3, 3, 3)}, r"kernel of a convolution is \(3, 3, 3\)"),
        ({"stride": 0}, "stride of a convolution is 0"),
        ({"stride": None}, "stride of a convolution is None"),
        ({"groups": 0}, "groups of a convolution is 0"),
        ({"c_out": 4.5}, r"c_out of a convolution is 4\.5"),
    ],
)
def test_a_convolution_of_no_whole_numbers_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        Conv(**{"c_in": 8, "c_out": 8, **arguments})


def test_steps_that_do_not_fit_the_layer_are_refused() -> None:
    @operation("narrow")
    def narrow(shape: Shape) -> tuple[Conv, ...]:
        return (Conv(shape.c_in, shape.c_out + 1),)

    with pytest.raises(ValueError, match=r"'narrow' gives 17 channels at 9 x 9 pixels; the layer needs 16 at 5 x 5"):
        count_operation("narrow", SHAPE)


def test_a_module_of_ones_own_is_compared_with_its_counts() -> None:
    from torch import nn

    @operation("shuffle_g<groups>", counts=lambda shape, groups: OpCounts(macs=1, params=groups))
    def shuffle(shape: Shape, groups: int) -> nn.Module:
        return nn.Conv2d(shape.c_in, shape.c_out, 1, shape.stride, bias=False)

    assert isinstance(build_operation("shuffle_g2", SHAPE), nn.Conv2d)
    check_module("shuffle_g128", SHAPE)
    with pytest.raises(ValueError, match="'shuffle_g2' counts 2 parameters, and its module has 128"):
        check_module("shuffle_g2", SHAPE)
    with pytest.raises(EvoError, match="counts 2 parameters"):
        prepared_space(
            configs.load_config("digits", ["space.add_operations=['shuffle_g2']", "evolution={ method = 'fixed' }"])
        )


def test_added_operations_stand_where_they_fit() -> None:
    space = with_operations(named_spaces.load_space("digits"), ["mb_k7_e2", "id"])
    assert all("mb_k7_e2" in layer.candidates for layer in space.layers)
    assert {"id" in layer.candidates for layer in space.layers if not layer.shape.is_residual} == {False}
    assert cost_table(space).bounds()[1][0] > 0
    with pytest.raises(EvoError, match=r"space\.add_operations: unknown operation 'nothing_k3'"):
        with_operations(named_spaces.load_space("digits"), ["nothing_k3"])


# -- delivered --------------------------------------------------------------------------------------------------------

MODULE = """
    import torch
    from torch import nn
    from evo import OpCounts, operation

    class ChannelGate(nn.Module):
        '''Scales channels by a learned vector, then mixes them.'''

        def __init__(self, shape):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(shape.c_in, 1, 1))
            self.mix = nn.Conv2d(shape.c_in, shape.c_out, 1, shape.stride, bias=False)
            self.norm = nn.BatchNorm2d(shape.c_out)

        def forward(self, x):
            return self.norm(self.mix(x * self.scale))

    def counts(shape):
        weights = shape.c_in * shape.c_out
        return OpCounts(macs=weights * shape.size_out**2, params=weights + shape.c_in + 2 * shape.c_out)

    @operation("gated", counts=counts)
    def gated(shape):
        return ChannelGate(shape)
"""


def test_a_module_of_ones_own_is_delivered_in_the_forms_that_can_have_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """model.py cannot: it is told in the plan, and again where it would stand."""
    own, folder = tmp_path / "gate.py", tmp_path / "network"
    own.write_text(textwrap.dedent(MODULE))
    quick = ["--plugin", str(own), *PROXY[2:], "--set", "space.add_operations=['gated']"]
    quick += ["--set", "evaluator={ kind = 'oneshot', epochs = 1 }", "--set", "data.max_images=200"]
    assert main(["1", "--plan", *quick]) == 0
    planned = capsys.readouterr().out
    assert "plugin gate.py (sha256 " in planned
    assert "gated: a delivered network with it has no model.py (ChannelGate cannot be written" in planned
    assert run(tmp_path, *quick) == 0
    arch = "|".join(["gated"] * len(named_spaces.load_space("digits").layers))
    command = ["digits", "--storage", f"sqlite:///{tmp_path}/evo.db", "--out", str(folder), "--arch", arch]
    assert deliver([*command, "--set", "deliver.epochs=1"]) == 0
    told = capsys.readouterr().out
    assert "left out  model.py: ChannelGate cannot be written into model.py" in told
    lines = ["from evo import load_plugin", "from spaces import load_network", "load_plugin('gate.py')"]
    assert f"load it   {'; '.join(lines)}; network = load_network(" in told
    files = {path.name for path in folder.iterdir()}
    assert files == {"architecture.json", "model.safetensors", "model.onnx", "model.pt2", "preprocess.py", "README.md"}
    card = (folder / "README.md").read_text()
    assert "\n".join(["from preprocess import prepare", *lines, 'network = load_network(".")']) in card
    assert "needs the package `evo-nas` and `gate.py`, which defines operations of it:" in card
    assert load_network(folder).layers is not None
    assert deliver([*command, "--set", "deliver.epochs=1"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    del grammar.OPERATIONS["gated"]
    with pytest.raises(SpaceError, match=r"it rests on gate\.py: evo\.load_plugin\(PATH\) first"):
        load_network(folder)
