"""Networks of a run that are trained alone, by the recipe of a delivery.

``selection`` says which network of a front is meant; ``blocks`` reads what blocks lose for it. ``candidates`` gives it its
widths, ``additions`` tells what it is given beside, ``rivals`` are networks that need no search. ``trainer`` trains each once,
by ``recipe``, and measures it on held-out images; ``start`` finds the weights that it begins with, ``teacher`` the network that
teaches it, ``features`` draws its blocks towards the teacher's, ``images`` asks whether these images fit the run. ``contest``
compares a run's picks with networks that need no search, at ``budgets``; ``charge`` counts what the run has cost.
"""

__all__ = [
    "additions",
    "blocks",
    "budgets",
    "candidates",
    "charge",
    "contest",
    "features",
    "images",
    "recipe",
    "rivals",
    "selection",
    "start",
    "teacher",
    "trainer",
]
