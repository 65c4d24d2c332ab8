"""Files that users hand in, whatever program saved them.

``text`` reads their text, ``tables`` their columns and numbers; what is wrong is told with file, line and column.
"""

__all__ = ["tables", "text"]
