"""Blocks that learn to imitate a teacher's, each by itself (DNA, https://arxiv.org/abs/1911.13053).

``teacher`` is a trained network, ``stages`` where it is cut. ``distillation`` trains each block of the space and scores its
candidates; ``evaluator`` judges an architecture by the losses of its blocks, and ``combination`` finds the best of all
architectures, exactly.
"""

__all__ = ["combination", "distillation", "evaluator", "stages", "teacher"]
