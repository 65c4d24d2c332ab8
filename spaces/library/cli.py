"""How a space is named on a command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from spaces.errors import SpaceError
from spaces.files.text import read_text
from spaces.library.named_spaces import LIBRARY, load_space
from spaces.shell import integer
from spaces.size import Size, both_sides, parse_size
from spaces.space import SearchSpace


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that fit a named space to other images."""
    images = parser.add_argument_group("images, where they differ from the space's own data set")
    images.add_argument("--channels", type=integer(1), metavar="C", help="3 for colour, 1 for grey")
    images.add_argument("--size", type=_size, metavar="PIXELS", help="height and width, e.g. 32 or 24x32")
    images.add_argument("--classes", type=integer(1), metavar="N")


def _size(text: str) -> Size:
    """``32``, or ``24x32``: height, then width."""
    try:
        size = parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not all(both_sides(size)):
        raise argparse.ArgumentTypeError(f"expected pixels from 1 on, found {text!r}")
    return size


SPACE_HELP = f"a space of the library ({', '.join(LIBRARY)}), or a file that holds one as JSON"


def resolve_space(name: str, arguments: argparse.Namespace) -> SearchSpace:
    """The library's space of this name, for the images of ``arguments``; or the space in the file ``name``.

    Raises:
        SpaceError: there is none; the message lists the library's.
    """
    sizes = {option: getattr(arguments, option) for option in ("channels", "size", "classes")}
    if not name.endswith(".json"):
        return load_space(name, **sizes)
    if not Path(name).is_file():
        raise SpaceError(f"no file {name}: expected a search space as JSON, or one of {', '.join(LIBRARY)}")
    if any(sizes.values()):
        raise SpaceError(f"the space in {name} has its own images: leave out --channels, --size and --classes")
    try:
        return SearchSpace.from_json(read_text(Path(name)))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise SpaceError(f"{name} holds no search space as SearchSpace.to_json writes it: {error}") from error
