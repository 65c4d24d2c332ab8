"""``python -m evo.deliver RUN``: a trained network in a folder.

``pipeline`` is the way there: select, scale, compare, train, measure once (``measuring``), export, remember (``evo.alone``
selects, scales and has the recipe). ``finalists`` decides among several networks, ``manifest`` keeps ``architecture.json`` from
the plan to the result, ``seal`` notes down what the files are, and ``model_card`` writes the folder's README. ``against``
compares the pick with networks that need no search. ``session`` is what both begin with. ``exporting`` writes the other forms
of the network, ``quantised`` that in 8 bits; ``forms`` knows which there are, what each does, and why one was left out.
"""

__all__ = [
    "against",
    "exporting",
    "finalists",
    "forms",
    "manifest",
    "measuring",
    "model_card",
    "pipeline",
    "quantised",
    "seal",
    "session",
]
