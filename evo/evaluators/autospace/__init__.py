"""Cells that are bred while a supernet of them trains (AutoSpace-style, https://arxiv.org/abs/2103.11833).

``breeding`` trains it, before the one-shot evaluator trains its own. ``fitness`` says how much each cell is worth,
``measuring`` by networks that have it; ``population`` holds a layer's cells, lets them compete, and replaces the weakest by
children; ``stability`` says whether it has settled.

"""

__all__ = ["breeding", "fitness", "measuring", "population", "stability"]
