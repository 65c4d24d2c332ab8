"""Architectures and spaces as torch modules.

``modules`` has the module of every step, and how weights begin; ``build`` makes the module of an operation from its name.
``network`` stacks stem, layers and head; ``supernet`` holds all candidates of a space with shared weights. A cell by itself
is in ``cell_module``, all cells of a space at once in ``cell_supernet``. ``counted_norm`` is the normalisation of supernets,
and ``fake_int8`` computes a module as in 8 bits.
"""

__all__ = ["build", "cell_module", "cell_supernet", "counted_norm", "fake_int8", "modules", "network", "supernet"]
