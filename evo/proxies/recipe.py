"""A run's full training: by which networks are really judged, and which of its trials were trained so already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evo.evaluators.standalone import ScratchJudge
from evo.training.loop import schedule_of
from evo.training.precision import precision_of
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.config import DeliverSection, ScratchSection, StudyConfig, Training
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import Evaluation, EvoError

LAST = 10**6
"""A round so late that the last entries of lists count."""

PLAIN = {
    "mixup": 0.0,
    "cutmix": 0.0,
    "drop_path": 0.0,
    "ema": 0.0,
    "jitter": None,
    "add": (),
    "teacher": None,
    "teacher_share": DeliverSection().teacher_share,
    "teacher_features": 0.0,
    "formats": DeliverSection().formats,
    "int8_changed": DeliverSection().int8_changed,
}
"""What a delivery may have beside its schedule, and a training of the evaluator ``scratch`` has not."""


def full_recipe(run: StoredRun, config: StudyConfig, overrides: Sequence[str] = ()) -> StudyConfig:
    """The run's settings, with the full training as the section ``deliver``: where the run trains networks by themselves that
    of its last rounds, on all images and with all pixels and channels; else that of a delivery.

    Args:
        config: the run's settings, with ``overrides`` in them already.

    Raises:
        EvoError: the run has nothing to train networks on, or an override changes nothing.
    """
    _require_trainable(run, config)
    section = config.evaluator
    if not isinstance(section, ScratchSection):
        return config
    if useless := [override for override in overrides if override.strip().startswith("deliver")]:
        raise EvoError(
            f"--set {useless[0]!r}: run {run.name!r} trains networks by themselves, and its own trainings are the truth here, "
            "not those of a delivery: leave it out"
        )
    schedule = schedule_of(section, config.data, LAST)
    same = {name: getattr(section, name) for name in Training.model_fields}
    last = {"epochs": float(schedule.epochs), "learning_rate": schedule.learning_rate, "augment": config.data.augment}
    return config.model_copy(update={"deliver": config.deliver.model_copy(update=same | last | PLAIN)})


def _require_trainable(run: StoredRun, config: StudyConfig) -> None:
    kind = config.evaluator.kind
    if not config.evaluator.uses_images:
        raise EvoError(
            f"run {run.name!r} is judged by evaluator.kind = {kind!r}, which trains nothing: proxies are measured by training "
            "networks on images; expected a run on images, such as python -m evo.round 1 --config fashion_mnist"
        )
    if config.evaluator.starts_networks:
        raise EvoError(
            f"networks of run {run.name!r} (evaluator.kind = {kind!r}) begin with trained weights, and proxies are measured by "
            "training them from fresh ones: expected another run, such as python -m evo.round 1 --config images"
        )
    if config.data.labels is False:
        raise EvoError(
            f"the images of run {run.name!r} have no labels, and proxies are measured by accuracies: expected a run on images "
            "in class folders"
        )


def trained_by_search(
    store: Store, run: StoredRun, config: StudyConfig, space: SearchSpace, costs: CostTable
) -> Mapping[Architecture, Evaluation]:
    """What the run's own search has trained just as the full training does, by canonical architecture: each of them counts as
    the first full training of its network."""
    section = run.config.evaluator
    if not isinstance(section, ScratchSection) or config.data != run.config.data:
        return {}
    whole = section.model_copy(update={"images": None, "width": 1.0, "resolution": 1.0})
    judge = ScratchJudge(
        whole, config.data, config.device, config.seed, space, costs, round=LAST, precision=precision_of(config)
    )
    found = (e for e in store.evaluations(run, judge.name) if not (e.failed or e.pruned))
    return {canonical_arch(e.arch, space): e for e in found if e.arch in space}
