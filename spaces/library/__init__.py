"""Spaces and networks of the literature.

``named_spaces`` has every space that a configuration may name, and ``load_space`` gives one for images of any size.
``nse`` has the pools and the published networks of NSE; ``block_strings`` reads networks in the notation of timm and of DNA.
``cli`` finds the space that a command line names.
"""

__all__ = ["block_strings", "cli", "named_spaces", "nse"]
