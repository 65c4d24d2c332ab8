"""What the blocks of a finished round lose by themselves, where its evaluator adds that up; from files, without a judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evo.console import warn
from evo.data.paths import file_hash
from evo.evaluators.blockwise.block_files import file_kind, read_block_losses
from spaces.architecture import Architecture
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import EvoError


def losses_of_blocks(store: Store, run: StoredRun, row: StoredRound) -> tuple[Mapping[Architecture, float], ...]:
    """What the scored candidates of each block of a round's space lose, lower is better.

    Empty: blocks play no part, scores are estimates of something else, or a file is no longer what the round has remembered,
    which is said.
    """
    if not run.config.evaluator.losses_add_up or run.config.ground_truth.calibrates:
        return ()
    blocks = range(1, len(row.space.blocks) + 1)
    files = [found for block in blocks if (found := store.checkpoint(run, row.number, file_kind(block)))]
    if len(files) < len(blocks):
        return ()
    try:
        return tuple(_checked(path, digest) for path, digest in files)
    except EvoError as fault:
        warn(f"{fault}: a budget is answered from what round {row.number} of run {run.name!r} has measured")
        return ()


def _checked(path: Path, digest: str) -> Mapping[Architecture, float]:
    """
    Raises:
        EvoError: the file is missing, damaged or another one.
    """
    if path.is_file() and file_hash(path) != digest:
        raise EvoError(f"{path} is not the file that was written (its sha256 has changed)")
    return read_block_losses(path)
