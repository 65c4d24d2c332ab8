"""The Python interface for notebooks and scripts; ``evo.search`` and its like are these names.

``calls`` are its functions; each gives an object of ``run`` (``Run``), ``delivered``, ``against``, ``comparison``, ``verdicts``
or ``pages``, all of which show themselves in a notebook (``evo.html``) and hold no connection. The commands call the same code.
"""

__all__ = ["against", "calls", "comparison", "criteria", "delivered", "figures", "pages", "run", "verdicts"]
