"""PAD-NAS: progressive automatic design of search space (Xia et al., https://arxiv.org/abs/2005.07564)."""

from __future__ import annotations

from dataclasses import dataclass

from evo.methods.evolution import Above, Evolution, Nothing, measured_shares
from studies.config import (
    PadNasEvolution,
    StudyConfig,
)
from studies.records import Ratings, Round


@dataclass(frozen=True)
class ShareAmongRanks:
    """How often an operation occurs at a layer among the architectures of nondomination rank < ``rank`` (rank 1 is the front).

    PAD-NAS, https://arxiv.org/abs/2005.07564: ranks behind the front are let in against one-shot noise.
    """

    rank: int

    def __call__(self, finished: Round) -> Ratings:
        ranked = zip(finished.evaluations, finished.ranks.tolist(), strict=True)
        return measured_shares(finished, (e for e, rank in ranked if rank < self.rank))

    def __str__(self) -> str:
        return f"share among nondomination ranks < {self.rank}"


def pad_nas(section: PadNasEvolution, config: StudyConfig) -> Evolution:
    """Progressive automatic design of search space (Xia et al., https://arxiv.org/abs/2005.07564).

    An operation stays at a layer when more than 1 % of the architectures of nondomination rank < 10 carry it there.
    """
    return Evolution(ShareAmongRanks(section.rank), Above(section.share), Nothing())
