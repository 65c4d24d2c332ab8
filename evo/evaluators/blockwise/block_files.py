"""Files of finished blocks: what rounds call them in the database, and what they say of the block's candidates."""

from __future__ import annotations

from pathlib import Path

from evo.training.checkpoints import read_checkpoint
from spaces.architecture import Architecture


def file_kind(block: int) -> str:
    """What the database calls the file of a round's block, from 1."""
    return f"block {block}"


def read_block_losses(path: Path) -> dict[Architecture, float]:
    """What the scored candidates of a finished block lose, lower is better.

    Raises:
        DamagedError: it is not there, or no longer what was written.
    """
    kept, facts = read_checkpoint(path)
    return dict(zip(map(Architecture.parse, facts["candidates"]), kept["losses"].tolist(), strict=True))
