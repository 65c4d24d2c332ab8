"""What other runs of the database have measured: the same answers are found (``found``), related ones are learned from
(``lessons``)."""

__all__ = ["found", "lessons"]
