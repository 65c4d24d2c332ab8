"""A pretended accelerator: what runs on a GPU runs here on a CPU, is refused what a GPU refuses, and each wait is counted.

``device`` is the device itself, and ``generators`` are its generators; ``autocast`` is torch's own there. ``places`` says which
line of the program asked. ``steps`` counts the waits of each training step, on the pretended device or on a real one. ``make
accelerator`` runs the tests here together with ``whole_runs``, which take minutes and are not part of the usual tests.
"""
