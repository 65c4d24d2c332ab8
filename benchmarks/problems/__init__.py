"""Search problems whose true fronts are known, each from a seed: no search is to be tuned on one table alone.

``chains``: layers in a row, deep and wide, whose fronts are found by dynamic programming. ``cells``: small enough to be listed.
``generated`` is what all of them are: a space, exact costs, a truth, and what an evaluation says of it. ``kinds`` names them.
"""
