"""Block-wise distillation: what blocks lose, that it adds up, that a crash costs nothing, and that combining is exact."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
import torch
from torch import Tensor, nn

from evo.console import Track, untracked
from evo.data.source import Batch
from evo.evaluators import FitContext
from evo.evaluators.blockwise.evaluator import Blockwise, BlockwiseJudge, ratings_of_blocks
from evo.evaluators.blockwise.teacher import prepare_teacher
from evo.evaluators.oneshot.scoring import BlockScorer, relative_l1
from evo.methods.evolution import Best, Evolution, Learned
from evo.methods.nse import AddNextUnseen
from evo.round.algorithm import fit_judge, run_round
from evo.round.clock import Clock
from evo.round.context import RunContext, open_round, run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline, map_on_pool
from evo.workers.protocol import Evaluate, R, T, Work
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.layer import Head, Layer, Shape, Stem
from spaces.library.block_strings import from_block_strings
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import BlockSupernet
from spaces.space import SearchSpace
from studies.config import DeliverSection, StudyConfig, check_config, load_config
from studies.database.store import open_store
from studies.records import EvoError, Round
from tests.evo.conftest import interrupted_at

pytestmark = pytest.mark.usefixtures("unpublished")


OPS = ("mb_k3_e1", "mb_k5_e2", "mb_k3_e3")


def small() -> SearchSpace:
    """Three blocks of two layers."""
    layers = []
    for block, (c_in, c_out, stride, size) in enumerate([(8, 8, 1, 8), (8, 16, 2, 8), (16, 24, 2, 4)], start=1):
        inner = Shape(c_out, c_out, 1, -(-size // stride))
        layers.append(Layer(Shape(c_in, c_out, stride, size), OPS, block=f"stage{block}"))
        layers.append(Layer(inner, (*OPS[:2], "id"), ("mb_k7_e1",), block=f"stage{block}"))
    return SearchSpace("small", tuple(layers), Stem(8, 1, c_in=1, size=8), Head(0, 10))


SPACE = small()
TABLE = cost_table(SPACE)


def study(**changes: Any) -> StudyConfig:
    evaluator = {"kind": "blockwise", "epochs": 2, "batch_size": 50, "calibration_batches": 1, "eval_batch_size": 60}
    return check_config(
        {
            "space": {"name": "digits"},
            "data": {"name": "digits", "max_images": 250, "validation_fraction": 0.4},
            "evaluator": {**evaluator, "teacher": {"epochs": 4}, **changes},
            "search": {"evaluations": 60, "surrogate": False},
            "evolution": {"method": "dna"},
        },
        "test",
    )


def fitted(
    folder: Path, config: StudyConfig, evaluate: Evaluate = map_inline, track: Track = untracked
) -> BlockwiseJudge:
    judge = Blockwise(config, SPACE).fit(SPACE, FitContext(1, 0, TABLE, folder, track=track, evaluate=evaluate))
    assert isinstance(judge, BlockwiseJudge)
    return judge


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> BlockwiseJudge:
    return fitted(tmp_path_factory.mktemp("run"), study())


def everything() -> list[Architecture]:
    return [Architecture(genes) for genes in product(*(layer.genes for layer in SPACE.layers))]


# -- what a block loses -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """Two batches of inputs and of what should become of them."""

    x: Tensor
    y: Tensor
    device: torch.device = field(default_factory=partial(torch.device, "cpu"))

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int) -> Iterator[Batch]:
        return zip(self.x.split(size), self.y.split(size), strict=True)

    def epoch(self, size: int, augment: Sequence[str], seed: int) -> Iterator[Batch]:
        return self.batches(size)


def one_by_one(net: BlockSupernet, calibration: Sequence[Tensor], x: Tensor, arch: Architecture, size: int) -> Tensor:
    """A block's output by torch's own modes: statistics of the calibration batches, then evaluation."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.inference_mode():
        net.train()
        for batch in calibration:
            net(batch, arch)
        net.eval()
        return torch.cat([net(batch, arch) for batch in x.split(size)])


@pytest.fixture
def block() -> tuple[BlockSupernet, list[Tensor], Tensor]:
    """The second block with a teacher of 12 and 20 channels, two calibration batches and 60 inputs."""
    torch.manual_seed(0)
    net = BlockSupernet(SPACE, 2, 4, 12, 20, zero_init=False)
    return net, [torch.randn(30, 12, 8, 8), torch.randn(30, 12, 8, 8)], torch.randn(60, 12, 8, 8)


def test_a_perfect_student_loses_nothing_and_scale_does_not_matter(
    block: tuple[BlockSupernet, list[Tensor], Tensor],
) -> None:
    net, calibration, x = block
    first, second = Architecture(("mb_k3_e1", "id")), Architecture(("mb_k5_e2", "mb_k3_e1"))
    taught = one_by_one(net, calibration, x, first, 30)
    losses = BlockScorer(net, calibration, Pairs(x, taught), 30)([first, second])
    assert losses[0] == 0.0
    assert losses[1] > 0.1
    with torch.no_grad():
        net.head.weight.mul_(1000)  # type: ignore[operator,union-attr]
        net.head.bias.mul_(1000)  # type: ignore[operator,union-attr]
    larger = BlockScorer(net, calibration, Pairs(x, taught * 1000), 30)([first, second])
    assert larger == pytest.approx(losses, rel=1e-5, abs=1e-5)
    assert relative_l1(0.0, 2.0) == 0.0
    assert relative_l1(1.0, 2.0) == pytest.approx(0.5)


def test_the_trie_loses_what_one_by_one_loses_and_saves_work(block: tuple[BlockSupernet, list[Tensor], Tensor]) -> None:
    net, calibration, x = block
    torch.manual_seed(1)
    target = 3 * torch.randn(60, 20, 4, 4) + 1
    archs = [Architecture(genes) for genes in product(*(layer.genes for layer in SPACE.layers[2:4]))]
    scorer = BlockScorer(net, calibration, Pairs(x, target), 20)
    losses = scorer(archs)
    for arch, loss in zip(archs, losses, strict=True):
        naive = (one_by_one(net, calibration, x, arch, 20) - target).abs().split(20)
        total = torch.stack([part.sum(dtype=torch.float64) for part in naive]).sum().item()
        deviation = target.double().std(unbiased=False).item()
        assert loss == pytest.approx(total / target.numel() / (deviation + 1e-9), rel=1e-12)
    assert BlockScorer(net, calibration, Pairs(x, target), 20)(archs[4:5]) == losses[4:5]
    assert (scorer.naive, scorer.computed) == (9 * 2 * 4, (3 + 9) * 4)  # four streams; three first layers are shared


def test_all_of_a_block_of_dna_takes_a_third_of_the_layers() -> None:
    """6^4 candidates are 6 + 36 + 216 + 1296 layers by the trie, and 4 x 1296 one by one; here with 2^4."""
    space = load_space("dna", size=32)
    pairs = space.replace_layers(replace(layer, candidates=layer.candidates[::-3]) for layer in space.layers)
    start, stop = pairs.blocks[2]
    archs = [Architecture(genes) for genes in product(*(layer.genes for layer in pairs.layers[start:stop]))]
    x = torch.randn(2, 80, 4, 4)
    scorer = BlockScorer(BlockSupernet(pairs, start, stop, 80, 160), [x], Pairs(x, torch.randn(2, 160, 2, 2)), 2)
    scorer(archs)
    assert (scorer.naive, scorer.computed) == (2 * 4 * 2**4, 2 * (2 + 4 + 8 + 16))
    assert 4 * 6**4 / sum(6**n for n in range(1, 5)) == pytest.approx(3.34, abs=0.01)


# -- a round's judge --------------------------------------------------------------------------------------------------


def test_what_blocks_lose_adds_up(judge: BlockwiseJudge) -> None:
    rng = Random(0)
    archs = [SPACE.sample(rng) for _ in range(5)]
    parts = [[judge.block_losses(i)[Architecture(arch.genes[2 * i : 2 * i + 2])] for i in range(3)] for arch in archs]
    assert judge.losses(archs) == [sum(losses) for losses in parts]
    scores = [evaluation.accuracy for evaluation in judge(archs)]
    by_score = sorted(range(5), key=lambda i: -scores[i])
    assert by_score == sorted(range(5), key=lambda i: sum(parts[i]))
    assert all(0 < score < 1 for score in scores)


def test_the_combined_front_is_the_front_of_all(judge: BlockwiseJudge) -> None:
    archs = everything()
    listed = Round(1, SPACE, tuple(judge(archs))).front
    found = Round(1, SPACE, tuple(judge(judge.front("macs")))).front
    assert [(e.macs, e.accuracy) for e in found] == list(dict.fromkeys((e.macs, e.accuracy) for e in listed))


def test_operations_are_rated_by_the_best_candidate_that_has_them(judge: BlockwiseJudge) -> None:
    known = judge.block_losses(1)
    for place in (0, 1):
        for op in SPACE.layers[2 + place].candidates:
            assert judge.ratings[2 + place, op] == -min(loss for a, loss in known.items() if a.genes[place] == op)
    assert (
        ratings_of_blocks(SPACE, [{Architecture(("mb_k3_e1", "id")): 2.0}] * 3)[0, "mb_k5_e2"] == -2.0
    )  # never scored


def test_dnas_ratings_go_with_nses_refill(judge: BlockwiseJudge) -> None:
    crossing = Evolution(Learned(), Best(2), AddNextUnseen(3))
    finished = Round(1, SPACE, tuple(judge(everything()[:3])), judge.ratings)
    after = crossing(finished, Random(0)).space
    for i, (old, new) in enumerate(zip(SPACE.layers, after.layers, strict=True)):
        best = sorted(old.candidates, key=lambda op: -judge.ratings[i, op])[:2]
        assert set(best) < set(new.candidates) or not old.pending
        assert new.candidates[2:] == old.pending
    assert str(crossing) == (
        "rate by what the evaluator has learned; keep the best 2 of each layer; refill with unseen operations up to 3"
    )


def test_a_block_with_too_many_candidates_is_searched(judge: BlockwiseJudge, tmp_path: Path) -> None:
    """Nine candidates each, five of them scored; the others are scored when somebody asks."""
    searched = fitted(tmp_path, study(candidates=5))
    assert [len(searched.block_losses(i)) for i in range(3)] == [5, 5, 5]
    archs = everything()[::40]
    assert searched.losses(archs) == pytest.approx(judge.losses(archs), rel=1e-12)
    assert {searched.block_losses(2)[part] == judge.block_losses(2)[part] for part in searched.block_losses(2)} == {
        True
    }


def test_killed_in_the_third_block_it_resumes_there(judge: BlockwiseJudge, tmp_path: Path) -> None:
    """Three steps an epoch: twelve of the teacher, six of each block."""
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, study(), track=killed_in("training block 3 of 3", 4))
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("block-*.safetensors")}
    assert sorted(name[:7] for name in done) == ["block-1", "block-2"]
    assert [path.name[:7] for path in tmp_path.glob("*.progress")] == ["block-3"]
    resumed = fitted(tmp_path, study())
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in done} == done
    assert not list(tmp_path.glob("*.progress"))
    assert resumed.name == judge.name
    assert [path.read_bytes() for path, _ in resumed.block_files] == [
        path.read_bytes() for path, _ in judge.block_files
    ]


def killed_in(label: str, steps: int) -> Track:
    return lambda said, total: interrupted_at(steps if said == label else None)(said, total)


def test_blocks_on_two_workers_are_the_same_blocks(judge: BlockwiseJudge, tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:

        def submit(work: Work[T, R], items: Sequence[T], limit: float | None) -> Future[list[R]]:
            return pool.submit(work, items)

        assert fitted(tmp_path, study(), partial(map_on_pool, submit, 2)).name == judge.name


def test_a_damaged_block_is_told_and_trained_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = fitted(tmp_path, study(epochs=1, candidates=2))
    path, _ = found.block_files[0]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(EvoError, match="its sha256 has changed"):
        found(everything()[:1])
    assert fitted(tmp_path, study(epochs=1, candidates=2)).block_files == found.block_files
    assert "is damaged" in capsys.readouterr().err
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content


# -- a round ----------------------------------------------------------------------------------------------------------


def test_a_round_holds_the_combined_front_and_a_second_one_trains_nothing(tmp_path: Path) -> None:
    space = tmp_path / "space.json"
    space.write_text(SPACE.to_json())
    data = study().model_dump()
    data["space"] = {"name": "small", "path": str(space)}
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = begin_run(store, "small", check_config(data, "test"))
        shared = run_context(run, store, tmp_path, map_inline)
        for n in (1, 2):
            run_round(shared, n)
        first, second = store.rounds(run)
        assert first.judge == second.judge
        proposals = store.proposals(first)
        origins = [proposal.origin for proposal in proposals]
        assert origins[: origins.count("combined")] == ["combined"] * origins.count("combined")
        assert set(origins) == {"combined", "stratified", "child"}  # the front has fewer than a first population
        combined = [p.evaluation for p in proposals if p.origin == "combined"]
        assert set(combined) <= set(Round(1, SPACE, tuple(p.evaluation for p in proposals)).front)
        assert any(not proposal.is_new for proposal in store.proposals(second))
        kinds = store.frame("SELECT kind FROM checkpoints WHERE round_number = 1")["kind"].tolist()
        assert kinds == ["block 1", "block 2", "block 3"]
        study_of = optuna.load_study(study_name=first.study, storage=store.optuna)
        assert study_of.metric_names == ["exp(-block loss)", "macs"]
    assert sorted(path.name[:7] for path in (tmp_path / "library").iterdir()) == [
        "block-1", "block-2", "block-3", "teacher",
    ]  # fmt: skip
    assert not list((tmp_path / "small").iterdir())


# -- what runs share ---------------------------------------------------------------------------------------------------


@contextmanager
def in_a_run(folder: Path, name: str, track: Track = untracked, **sections: Any) -> Iterator[RunContext]:
    """A run of ``SPACE`` whose files lie in ``folder``, with a database of its own."""
    space = folder / "space.json"
    space.write_text(SPACE.to_json())
    config = check_config(study().model_dump() | {"space": {"name": "small", "path": str(space)}} | sections, "test")
    with open_store(f"sqlite:///{folder}/{name}.db") as store:
        yield run_context(begin_run(store, name, config), store, folder, map_inline, track)


def judge_in(shared: RunContext) -> BlockwiseJudge:
    found = fit_judge(open_round(shared, 1), Clock({}))
    assert isinstance(found, BlockwiseJudge)
    return found


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def no_training(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    assert "training" not in label
    return untracked(label, total)


def test_another_budget_and_another_run_train_nothing(tmp_path: Path) -> None:
    with in_a_run(tmp_path, "first") as first:
        run_round(first, 1)
        made, name = times(tmp_path / "library"), judge_in(first).name
    limits, search = {"macs": [0, 150_000]}, {"cost": "params", "evaluations": 20, "surrogate": False}
    with in_a_run(tmp_path, "other", no_training, limits=limits, search=search) as other:
        run_round(other, 1)
        found = judge_in(other)
    assert found.name == name
    assert {path.parent for path, _ in found.block_files} == {tmp_path / "library"}
    assert times(tmp_path / "library") == made


def test_a_run_with_another_seed_has_other_blocks(judge: BlockwiseJudge) -> None:
    work = judge.distillation
    reseeded = replace(work, config=work.config.model_copy(update={"seed": 1}))
    assert {work.block_path(i) for i in range(3)}.isdisjoint(reseeded.block_path(i) for i in range(3))
    searched = replace(work, config=study(candidates=5))
    by_params = replace(
        searched, config=check_config(study(candidates=5).model_dump() | {"search": {"cost": "params"}}, "")
    )
    assert searched.block_path(0) != by_params.block_path(0)


def test_two_runs_may_make_one_block_at_a_time(judge: BlockwiseJudge, tmp_path: Path) -> None:
    """Each in its own folder; what is in the library is whole, and the same bytes."""
    stopped, other = (
        replace(judge.distillation, library=tmp_path / "library", folder=tmp_path / name, track=track)
        for name, track in (("one", interrupted_at(4)), ("two", untracked))
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.finish_block(1)
    made = other.finish_block(1)
    content = made.read_bytes()
    assert replace(stopped, track=untracked).finish_block(1) == made
    made.unlink()
    assert replace(stopped, track=untracked).finish_block(1).read_bytes() == content
    assert [path.suffix for path in (tmp_path / "library").iterdir()] == [".safetensors"]


def test_files_of_earlier_versions_stay_in_use_where_they_are(judge: BlockwiseJudge, tmp_path: Path) -> None:
    """They lie in the run's folder: a teacher, two finished blocks and one that is not."""
    run, blocks = tmp_path / "run", [path for path, _ in judge.block_files]
    run.mkdir()
    now = replace(judge.distillation, folder=run, library=tmp_path / "library")
    for i, path in enumerate(blocks[:2]):
        shutil.copyfile(path, now._own_path(i))
    assert [now._own_path(i).name[:11] for i in range(2)] == ["block-1.v1-", "block-2.v1-"]
    kept = times(run)
    assert [now.block_path(i).parent for i in range(3)] == [run, run, tmp_path / "library"]
    assert now([0, 1, 2])[:2] == [now._own_path(0), now._own_path(1)]
    assert times(run) == kept
    assert [path.name[:7] for path in (tmp_path / "library").iterdir()] == ["block-3"]


def test_a_teacher_of_an_earlier_version_stays_in_use_where_it_is(tmp_path: Path) -> None:
    context = FitContext(1, 0, TABLE, tmp_path / "run", library=tmp_path / "library", track=no_training)
    before = replace(context, folder=tmp_path / "before", library=None, track=untracked)
    made = Path(prepare_teacher(study(), SPACE, before).weights)
    old = context.folder / f"{made.stem[: len('teacher-v1-') + 12]}.safetensors"
    old.parent.mkdir()
    shutil.copyfile(made, old)
    assert prepare_teacher(study(), SPACE, context).weights == old


# -- what is published -----------------------------------------------------------------------------------------------


def test_dna_a_lies_in_the_space_of_several_depths() -> None:
    blocks = (
        "ds_r1_k3_s1_c16_se0.25 ir_r1_k5_s2_e3_c24_se0.25 ir_r1_k3_s1_e3_c24_se0.25 ir_r1_k3_s1_e6_c24_se0.25 "
        "ir_r2_k3_s2_e3_c40_se0.25 ir_r1_k5_s1_e3_c40_se0.25 ir_r1_k3_s1_e6_c40_se0.25 ir_r1_k7_s2_e6_c80_se0.25 "
        "ir_r1_k3_s1_e3_c80_se0.25 ir_r1_k5_s1_e3_c80_se0.25 ir_r1_k3_s1_e6_c80_se0.25 ir_r1_k5_s1_e6_c96_se0.25 "
        "ir_r2_k5_s1_e3_c96_se0.25 ir_r1_k5_s1_e6_c96_se0.25 ir_r1_k5_s2_e6_c160_se0.25 ir_r3_k5_s1_e3_c160_se0.25 "
        "ir_r1_k5_s1_e6_c160_se0.25 ir_r1_k3_s1_e6_c320_se0.25"
    )
    _, arch = from_block_strings(blocks.split())
    space = load_space("dna_multi")
    assert arch in space
    assert cost_table(space, "dna").count([arch])[0].tolist()[:2] == [348_161_054, 4_243_318]
    encodings = [Architecture(arch.genes[start:stop]) for start, stop in space.blocks]
    assert [len(part.genes) for part in encodings] == [4, 4, 4, 4, 5, 1]
    kernels = ["".join(gene[4] for gene in part.genes) for part in encodings]
    assert kernels == ["3533", "3353", "7353", "5555", "55555", "3"]


def test_the_recipe_of_dnas_released_code() -> None:
    """retraining/run_example.sh, train.py and model.py of github.com/changlin31/DNA, as far as there are settings for it."""
    recipe, default = load_config("dna_imagenet").deliver, DeliverSection()
    assert (recipe.epochs, recipe.warmup_fraction * recipe.epochs, recipe.batch_size) == (500, 5, 8 * 128)
    assert (recipe.drop_path, recipe.ema, recipe.label_smoothing, recipe.weight_decay) == (0.2, 0.9998, 0.1, 1e-4)
    assert (recipe.mixup, recipe.cutmix, recipe.augment) == (0, 0, ("resized_crop", "flip", "colour_jitter"))
    assert recipe.jitter == (0.06, 0.06, 0.06, 0)
    assert (recipe.learning_rate, recipe.momentum) == (default.learning_rate, default.momentum)


def test_the_sizes_that_dna_tells() -> None:
    space = load_space("dna")
    sizes = [len(list(product(*(layer.genes for layer in space.layers[a:b])))) for a, b in space.blocks]
    assert sizes == [36, 1296, 1296, 1296, 1296, 6]
    assert sum(sizes) == 5226
    assert space.size == 6**19 == 609_359_740_010_496  # 6.1e14
