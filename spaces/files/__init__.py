"""Files that users hand in, whatever program saved them, and those that they ask for.

``text`` reads their text, ``tables`` their columns and numbers; what is wrong is told with file, line and column. ``outputs``
writes what a command was told to write, and replaces nothing but earlier outputs.
"""

__all__ = ["outputs", "tables", "text"]
