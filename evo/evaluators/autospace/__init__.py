"""Cells that are bred while a supernet of them trains (AutoSpace-style, https://arxiv.org/abs/2103.11833).

``breeding`` trains it, before the one-shot evaluator trains its own. ``fitness`` learns how much each cell's output is worth;
``population`` holds a layer's cells, lets them compete, and replaces the weakest by children.
"""

__all__ = ["breeding", "fitness", "population"]
