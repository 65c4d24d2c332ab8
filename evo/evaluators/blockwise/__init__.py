"""Blocks that learn to imitate a teacher's, each by itself (DNA, https://arxiv.org/abs/1911.13053).

``teacher`` is a trained network, ``stages`` where it is cut, ``classes`` what it tells apart (images need no labels).
``distillation`` trains each block of the space and scores its candidates, ``in_step`` trains several at the same time;
``block_files`` reads what they lose. ``evaluator``
judges an architecture by the losses of its blocks, and ``combination`` finds the best of all architectures, exactly, ``limits``
within several limits.
"""

__all__ = [
    "block_files",
    "classes",
    "combination",
    "distillation",
    "evaluator",
    "in_step",
    "limits",
    "stages",
    "teacher",
]
