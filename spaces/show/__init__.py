"""``python -m spaces.show``: a space or an architecture for people to look at.

``overview`` says, layer by layer, what there is and what it costs; ``drawing`` makes an SVG of it. The command prints it as a
table or as JSON, or writes the drawing.
"""

__all__ = ["drawing", "overview"]
