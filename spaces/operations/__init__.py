"""What an operation's name means, and what it costs; free of torch.

``grammar`` parses names and owns ``OPERATIONS``; each entry gives the steps of an operation, and its costs. ``primitives``
are these steps: convolutions, squeeze-excitation, averages. ``cells`` are operations that are small graphs, and mutate and
cross over; ``cell_graph`` says which steps lie on their edges. ``own_operations`` registers a user's.
``neighbours`` are the operations one step away from another.
``spaces.networks.build`` makes torch modules of all of them.
"""

__all__ = ["cell_graph", "cells", "grammar", "neighbours", "own_operations", "primitives"]
