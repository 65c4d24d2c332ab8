"""What a user can put right, and what a device raises: commands show its message alone. All else is a fault of this program."""

from __future__ import annotations


class UserError(Exception):
    """A situation that the user can do something about; the message says what was expected, found, and what to do."""


class SpaceError(UserError, ValueError):
    """A space, an operation, an architecture, a table or a file of the user's that cannot be."""


# -- errors that no network is to blame for -------------------------------------------------------------------------------

NO_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch says where the machine's own memory is full, and where a GPU's libraries find none on it."""

FAILED_LIBRARIES = tuple(
    f"{library}_STATUS_{status}" for library in ("CUBLAS", "CUDNN") for status in ("EXECUTION_FAILED", "INTERNAL_ERROR")
)
"""What torch says where a GPU's libraries can no longer compute; that is no ``AcceleratorError``."""

LOST_DEVICE = 70
"""Exit status of a worker process whose device has failed."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, on a device or in the machine."""
    return (
        isinstance(error, MemoryError)
        or _is_torchs(error, "OutOfMemoryError")
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY))
    )


def is_lost_device(error: BaseException) -> bool:
    """Whether a device has failed: its process can compute nothing on it any more."""
    return _is_torchs(error, "AcceleratorError") or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in FAILED_LIBRARIES)
    )


def device_error_in_words(error: BaseException) -> str | None:
    """What is said to a user; None: it is another error."""
    first = str(error).strip().partition("\n")[0][:300]
    if is_out_of_memory(error):
        return (
            f"there is not enough memory ({first or type(error).__name__}): make evaluator.batch_size, "
            "evaluator.eval_batch_size or deliver.batch_size smaller, whichever was at work, give each device fewer "
            "workers, or take a device with more; what was recorded is kept"
        )
    if is_lost_device(error):
        return (
            f"the device has failed ({first}); what was recorded is kept: the same command goes on where this one was"
        )
    return None


def _is_torchs(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name and kind.__module__.startswith("torch") for kind in type(error).__mro__)
