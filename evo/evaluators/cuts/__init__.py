"""Cuts of a trained network, judged with its own weights.

``network`` reads and remembers the network; ``judge`` scores what is cut out of it, by labels or by ``agreement`` with the
whole; ``imitation`` makes operations that no cut gives; ``joint`` trains the network together with its cuts; ``evaluator``
fine-tunes the whole and fits a judge to every space.
"""

__all__ = ["agreement", "evaluator", "imitation", "joint", "judge", "network"]
