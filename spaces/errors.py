"""What a user can put right. Commands show its message alone; any other exception is a fault of this program."""

from __future__ import annotations


class UserError(Exception):
    """A situation that the user can do something about; the message says what was expected, found, and what to do."""


class SpaceError(UserError, ValueError):
    """A space, an operation, an architecture, a table or a file of the user's that cannot be."""
