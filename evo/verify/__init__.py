"""``python -m evo.verify FOLDER``: is a delivered network still what was delivered, and does it do here what it did there?

``finding`` is what one check has found, and all of them together; ``files`` checks what lies in the folder, ``behaviour`` what
the network does: on images, and how fast. ``session`` runs the checks that are asked for.
"""

__all__ = ["behaviour", "files", "finding", "session"]
