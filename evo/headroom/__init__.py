"""``python -m evo.headroom``: is there anything to gain by searching a space at a budget?

``experiment`` draws networks of one budget and trains each of them alone several times, recording every training at once;
``result`` is what came of it, as figures and in words. The statistics are ``analysis.headroom``.
"""

__all__ = ["experiment", "result"]
