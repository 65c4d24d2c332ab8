"""Files that users hand in, whatever program saved them, and those that they ask for.

``text`` reads their text, ``tables`` their columns and numbers; what is wrong is told with file, line and column. ``outputs``
writes what a command was told to write, and replaces nothing but earlier outputs. ``weights`` are files of tensors that know
their own sha256.
"""

__all__ = ["outputs", "tables", "text", "weights"]
