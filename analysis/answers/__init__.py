"""Did searching pay, did evolving pay? ``both`` answers for a run; ``searching`` has what networks that need no search say."""

__all__ = ["both", "searching"]
