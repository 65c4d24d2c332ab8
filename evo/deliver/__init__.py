"""``python -m evo.deliver RUN``: a trained network in a folder.

``pipeline`` is the way there: select, scale, compare, train, measure once, export, remember. ``selection`` says which network
of a front is meant, ``finalists`` decides among several, ``recipe`` is the full training, ``manifest`` keeps
``architecture.json`` from the plan to the result, and ``model_card`` writes the folder's README. ``alone`` trains networks to
compare them, and ``against`` compares the pick with networks that need no search. ``session`` is what both begin with.
"""

__all__ = [
    "against",
    "alone",
    "finalists",
    "manifest",
    "model_card",
    "pipeline",
    "recipe",
    "selection",
    "session",
]
