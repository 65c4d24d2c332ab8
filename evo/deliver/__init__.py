"""``python -m evo.deliver RUN``: a trained network in a folder.

``pipeline`` is the way there: select, scale, train, measure once, export, remember. ``selection`` says which network of a front
is meant, ``recipe`` how a full training differs, ``manifest`` keeps ``architecture.json`` from the plan to the result, and
``model_card`` writes the folder's README.
"""

__all__ = ["manifest", "model_card", "pipeline", "recipe", "selection"]
