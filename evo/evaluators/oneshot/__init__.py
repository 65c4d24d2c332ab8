"""A supernet that is trained once per round and scores by its shared weights (SPOS, https://arxiv.org/abs/1904.00420).

``evaluator`` trains it and gives the judge; ``paths`` says which architectures a training step runs. ``scoring`` computes what
architectures share once, calibrated by ``first_batches`` of the training images. ``nse_gates`` learns how much each branch of a
layer is worth (NSE, https://arxiv.org/abs/2011.10904).
"""

__all__ = ["evaluator", "first_batches", "nse_gates", "paths", "scoring"]
