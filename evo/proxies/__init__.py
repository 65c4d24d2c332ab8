"""``python -m evo.proxies``: how cheaply can networks be judged, and their order still be trusted?

``proxy`` is a cheaper training, as shares of the full one, and the grid of those that are tried; ``options`` is what is asked.
``recipe`` says what a run's full training is, ``networks`` draws networks of its space. ``reduced`` makes of a proxy what is
really trained, and leaves out what cannot be or changes nothing. ``experiment`` trains what is not recorded yet; ``result`` is
what came of it, as a table and in words. The statistics are ``analysis.ranking.proxies``.

One command both measures and tells, as ``evo.headroom`` does. It has to train, so it stands in ``evo``, which ``analysis`` does
not import; and it trains nothing twice, so calling it again is how its table is read. A second command, which would read the
table without the images, would have to guess which recorded trainings are meant.
"""

__all__ = ["experiment", "networks", "options", "proxy", "recipe", "reduced", "result"]
