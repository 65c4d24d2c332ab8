"""``python -m studies.runs``: the runs of a database, listed, shown, renamed and deleted.

``manage`` does it, each change in one transaction; the command prints, and asks before it deletes.
"""

__all__ = ["manage"]
