"""Every evaluator there is, by ``evaluator.kind``."""

from __future__ import annotations

from collections.abc import Callable

from evo.data.paths import candidate_paths
from evo.evaluators import Evaluator
from evo.evaluators.blockwise.evaluator import blockwise
from evo.evaluators.cuts.evaluator import cuts
from evo.evaluators.oneshot.evaluator import oneshot
from evo.evaluators.standalone import Scratch, scratch
from evo.evaluators.tabular import table_evaluator, tabular
from evo.training.precision import precision_of
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import EvoError


def evaluator_of(config: StudyConfig, space: SearchSpace) -> Evaluator:
    """The configuration's evaluator for a run that begins in ``space``.

    Raises:
        EvoError: files that it needs are missing.
    """
    return EVALUATORS[config.evaluator.kind](config, space)


def reference_evaluator(config: StudyConfig, space: SearchSpace) -> Evaluator | None:
    """The evaluator that scores are compared with; None where the configuration asks for no comparison.

    Raises:
        EvoError: the table of true accuracies is missing.
    """
    section = config.ground_truth
    if not section.sample:
        return None
    if section.table is None:
        precision = precision_of(config)
        return Scratch(section, config.data, config.device, config.seed, precision=precision, threads=config.threads)
    if not any(path.is_file() for path in candidate_paths(section.table.path)):
        raise EvoError(
            f"ground_truth.table.path is {section.table.path!r}: no such table here, nor below the folder EVO_DATA; "
            "give the path with --set ground_truth.table.path=FILE, or leave [ground_truth.table] out to train instead"
        )
    return table_evaluator(section.table, space)


EVALUATORS: dict[str, Callable[[StudyConfig, SearchSpace], Evaluator]] = {
    "oneshot": oneshot,
    "scratch": scratch,
    "tabular": tabular,
    "blockwise": blockwise,
    "cuts": cuts,
}
