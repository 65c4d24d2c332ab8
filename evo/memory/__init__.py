"""How much memory the steps of a run take, counted before it begins: nothing is computed, and no device is needed.

``meter`` counts the bytes of tensors that are alive; ``shapes`` are images without numbers; ``step`` is what one kind of step
takes. ``training``, ``supernets``, ``cells``, ``blocks``, ``cuts`` and ``alone`` run the very steps of a run on these;
``counting`` knows which of them a configuration has. ``machine`` knows how much memory there is, and ``fitting`` what to do
where it is too little.
"""

__all__ = [
    "alone",
    "blocks",
    "cells",
    "counting",
    "cuts",
    "fitting",
    "machine",
    "meter",
    "paths",
    "shapes",
    "step",
    "supernets",
    "training",
]
