"""What random networks of one budget reached when each was trained alone several times: a table, figures, sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from analysis.headroom import EXAMPLES, LEAST_NETWORKS, POINT, Headroom, sentences
from evo.html import block, heading, paragraph, table
from spaces.columns import format_table
from spaces.units import format_number
from studies.database.trainings import Trained
from studies.records import EvoError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainedNetwork:
    """A network and its trainings.

    Attributes:
        macs: multiply-accumulates by the configuration's convention.
        accuracies: on the validation images, one per training, from 0 to 1; 0 where it diverged.
        seconds: that all its trainings took; ``training_macs`` likewise.
        diverged: whether a training did.
    """

    arch: str
    macs: float
    params: float
    accuracies: tuple[float, ...]
    seconds: float
    training_macs: float
    diverged: bool = False

    @classmethod
    def of(cls, arch: str, trainings: Sequence[Trained]) -> TrainedNetwork:
        """The network ``arch`` with what came of its trainings."""
        return cls(
            arch,
            trainings[0].macs,
            trainings[0].params,
            tuple(training.accuracy for training in trainings),
            sum(training.seconds for training in trainings),
            sum(training.training_macs for training in trainings),
            any(training.nll is None for training in trainings),
        )


@dataclass(frozen=True)
class Setting:
    """What was trained, and how.

    Attributes:
        run: where the trainings are recorded.
        macs: the budget; ``window``: the MACs between which the networks lie.
        images: that trained; ``validation_images``: that measured, in so many ``classes``.
    """

    run: str
    space: str
    macs: float
    window: tuple[float, float]
    epochs: int
    images: int
    validation_images: int
    classes: int


@dataclass(frozen=True)
class HeadroomResult:
    """How much there is to gain by searching a space at a budget.

    Attributes:
        networks: all that were drawn, with their trainings.

    Raises:
        EvoError: fewer than three networks could be trained.
    """

    setting: Setting
    networks: tuple[TrainedNetwork, ...]

    def __post_init__(self) -> None:
        if len(self._trained) < LEAST_NETWORKS:
            diverged = len(self.networks) - len(self._trained)
            raise EvoError(
                f"the training of {diverged} of {len(self.networks)} networks diverged: expected at least {LEAST_NETWORKS} "
                "that can be trained; a lower learning rate may help, --set deliver.learning_rate=0.05"
            )

    @property
    def _trained(self) -> list[TrainedNetwork]:
        return [network for network in self.networks if not network.diverged]

    @cached_property
    def statistics(self) -> Headroom:
        """Standard deviations, intervals and gains."""
        return Headroom(tuple(network.accuracies for network in self._trained))

    @property
    def seconds(self) -> float:
        """That all trainings took."""
        return sum(network.seconds for network in self.networks)

    @property
    def training_macs(self) -> float:
        """Multiply-accumulates of all trainings: three times those of a network for every image seen."""
        return sum(network.training_macs for network in self.networks)

    def table(self) -> pd.DataFrame:
        """A row per network: ``arch``, ``macs``, ``params``, ``accuracy_1``, ``accuracy_2``, ..., ``seconds``,
        ``diverged``."""
        import pandas as pd

        rows = [
            {"arch": network.arch, "macs": network.macs, "params": network.params}
            | {f"accuracy_{i}": accuracy for i, accuracy in enumerate(network.accuracies, start=1)}
            | {"seconds": network.seconds, "diverged": network.diverged}
            for network in self.networks
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data that JSON can hold; accuracies and gains are fractions from 0 to 1."""
        found = self.statistics
        return {
            **asdict(self.setting),
            "mean": found.mean,
            "sd_between": found.sd_between,
            "sd_between_interval": found.sd_between_interval,
            "sd_noise": found.sd_noise,
            "sd_noise_interval": found.sd_noise_interval,
            "tau": found.tau,
            "gain_of_best": {str(n): [found.gain(n), *found.gain_interval(n)] for n in EXAMPLES},
            "evaluations_for_one_point": found.evaluations_for(POINT),
            "evaluations_for_one_point_interval": found.evaluations_interval(POINT),
            "seconds": self.seconds,
            "training_macs": self.training_macs,
            "networks": [asdict(network) for network in self.networks],
            "text": self.sentences(),
        }

    def sentences(self) -> list[str]:
        """What it means, and how far it can be trusted."""
        diverged = len(self.networks) - len(self._trained)
        left_out = (
            [f"{diverged} of {len(self.networks)} networks are left out: their training diverged."] if diverged else []
        )
        return [*sentences(self.statistics, self.setting.validation_images, self.setting.classes), *left_out]

    @property
    def title(self) -> str:
        setting = self.setting
        low, high = map(format_number, setting.window)
        return (
            f"headroom of {setting.space} at {format_number(setting.macs)} MACs: {len(self.networks)} random networks of "
            f"{low} to {high}, each trained alone {len(self.networks[0].accuracies)} times"
        )

    @property
    def how(self) -> str:
        """How networks were trained, and what that took."""
        setting = self.setting
        return (
            f"Trained as [deliver] says: {setting.epochs} epochs of {setting.images:,} images; measured on "
            f"{setting.validation_images:,} validation images. All trainings together: {self.seconds:,.0f} seconds, "
            f"{format_number(self.training_macs)} MACs. They are recorded as run {setting.run!r}."
        )

    @property
    def _headings(self) -> list[str]:
        trainings = (f"training {i}" for i in range(1, len(self.networks[0].accuracies) + 1))
        return ["network", "MACs", "params", *trainings, "seconds"]

    def _rows(self) -> list[list[str]]:
        return [
            [
                network.arch,
                format_number(network.macs),
                format_number(network.params),
                *(f"{accuracy:.2%}" if accuracy else "diverged" for accuracy in network.accuracies),
                f"{network.seconds:.1f}",
            ]
            for network in self.networks
        ]

    def __str__(self) -> str:
        lines = format_table([self._headings, *self._rows()], left=(0,))
        return "\n".join([self.title, "", lines, "", *self.sentences(), "", self.how])

    def __repr__(self) -> str:
        return f"HeadroomResult({self.title})"

    def _repr_html_(self) -> str:
        name, _, about = self.title.partition(": ")
        words = map(paragraph, [*self.sentences(), self.how])
        return block(heading(f"{name}:", about), table(self._headings, self._rows()), *words)
