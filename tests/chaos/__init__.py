"""Faults, done for real: ``python -m tests.chaos`` strikes a run with each of them and looks at what is left."""
