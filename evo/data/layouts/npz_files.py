"""``.npz`` files of images and labels."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from studies.records import EvoError

PARTS = ("x_train", "y_train", "x_test", "y_test")
"""Arrays that a file has; ``x_val``, ``y_val`` and ``classes`` may be there, too."""

VALIDATION = ("x_val", "y_val")


def read_npz(path: Path, title: str) -> Mapping[str, np.ndarray]:
    """The arrays of a file.

    Args:
        title: what errors call the file.

    Raises:
        EvoError: it is no such file, damaged, or lacks some of ``PARTS``.
    """
    expected = f"expected an .npz file with {', '.join(PARTS)}"
    with ExitStack() as stack:
        try:
            file = np.load(stack.enter_context(path.open("rb")), allow_pickle=False)
        except Exception as error:
            raise EvoError(f"{title}: {expected} ({_reason(error)})") from None
        if isinstance(file, np.ndarray):
            raise EvoError(f"{title}: {expected}, found one array (.npy): save all with numpy.savez")
        stack.enter_context(file)
        if missing := [name for name in PARTS if name not in file.files]:
            found = ", ".join(file.files[:10]) or "nothing"
            raise EvoError(f"{title}: {expected}; it lacks {', '.join(missing)} and holds {found}")
        if len(half := [name for name in VALIDATION if name in file.files]) == 1:
            raise EvoError(
                f"{title}: it holds {half[0]} alone: expected both of {' and '.join(VALIDATION)}, or neither"
            )
        return {name: _array(file, name, title) for name in file.files if name in (*PARTS, *VALIDATION, "classes")}


def ignored_arrays(path: Path) -> tuple[str, ...]:
    """What a file holds beside, in words."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        others = [name for name in file.files if name not in (*PARTS, *VALIDATION, "classes")]
    return (f"arrays {', '.join(others[:10])}",) if others else ()


def _array(file: np.lib.npyio.NpzFile, name: str, title: str) -> np.ndarray:
    try:
        array: np.ndarray = file[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise EvoError(
                f"{title}: {name} holds Python objects, which are not read: save it as numbers, or names as text "
                "(array.astype(str))"
            ) from None
        raise EvoError(f"{title}: {name} is damaged ({_reason(error)}); save the file again") from None
    except Exception as error:
        raise EvoError(f"{title}: {name} is damaged ({_reason(error)}); save the file again") from None
    if not isinstance(array, np.ndarray):
        raise EvoError(f"{title}: {name} is no array; save the file with numpy.savez")
    return array


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
