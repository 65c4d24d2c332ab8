"""The weights that networks of a run begin their last training with, where the run has trained them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo.data.paths import file_hash
from evo.data.source import Images
from evo.evaluators.registry import evaluator_of
from spaces.architecture import Architecture
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.records import EvoError

if TYPE_CHECKING:
    from torch import Tensor

    from spaces.pretrained.networks import Pretrained


@dataclass(frozen=True)
class Start:
    """Where networks begin.

    Attributes:
        file: the weights that the run has trained; ``sha256``: its.
        images: those on which the networks are trained.
        pools: files of operations that the run has made beside.
    """

    config: StudyConfig
    origin: SearchSpace
    file: Path
    sha256: str
    images: Images
    pools: tuple[Path, ...] = ()

    @classmethod
    def of(cls, store: Store, run: StoredRun, images: Images) -> Start | None:
        """That of a run; None: its networks are trained from fresh weights.

        Raises:
            EvoError: the file is no longer there, or is another one.
        """
        if not run.config.evaluator.starts_networks:
            return None
        rows = store.rounds(run)
        whole, pools = (
            [found for row in reversed(rows) if (found := store.checkpoint(run, row.number, kind))]
            for kind in ("weights", "pool")
        )
        if not whole:
            return None
        for path, digest in (whole[0], *pools):
            if not path.is_file() or file_hash(path) != digest:
                raise EvoError(
                    f"networks of run {run.name!r} begin with the weights that it has trained, and {path} is "
                    f"{'another file by now' if path.is_file() else 'not there'}: expected sha256 {digest[:12]}; put it back"
                )
        path, digest = whole[0]
        return cls(run.config, run.space, path, digest, images, tuple(dict.fromkeys(path for path, _ in pools)))

    def whole(self) -> Pretrained:
        """The network that the run has fine-tuned, from which all others are cut."""
        evaluator = evaluator_of(self.config, self.origin)
        found: Pretrained = evaluator.fine_tuned(self.file)  # type: ignore[attr-defined]
        return found

    def weights(self, arch: Architecture, space: SearchSpace) -> Mapping[str, Tensor] | None:
        """What a network begins with, but perhaps for its last layer; None: fresh weights, as it is none of the run's."""
        evaluator = evaluator_of(self.config, self.origin)
        given: Mapping[str, Tensor] | None = evaluator.starting_weights(  # type: ignore[attr-defined]
            arch, space, self.file, self.images, self.pools
        )
        return given
