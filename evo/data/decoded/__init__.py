"""Images that were decoded once, and are kept on disk as bytes for all processes, rounds and runs.

``store`` is a file of decoded images, ``kept`` are pictures that come from it, and are decoded where it does not have them;
``filling`` decodes ahead. ``crops`` takes random parts of what was decoded.
"""

__all__ = ["crops", "filling", "kept", "store"]
