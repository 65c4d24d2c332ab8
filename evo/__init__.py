"""What happens: rounds, searches, evolutions, evaluators."""

__version__ = "0.1.0"
