"""Image files: the only place where one is opened. What a viewer would show is what is trained on."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from evo.console import Track, untracked
from spaces.export.preprocessing import ORIENTATION, as_shown
from studies.records import EvoError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of files that are taken for images, in small letters: those of torchvision's ImageFolder."""

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "MPO")
"""What Pillow calls the formats of such files."""

THREADS, READ_AT_ONCE = 8, 1000
"""Threads that read headers, and how many headers they are given at once."""

NAMED = 5
"""Files that a message names; of more it gives the number."""


def open_image(path: str, channels: int = 3) -> Image.Image:
    """An image file as a viewer shows it, in three channels of 8 bits, or in one, which is grey.

    EXIF's orientation is honoured, transparent parts are laid on white, and grey of 16 bits is scaled to 8 (unless no pixel
    is above 255). An image without these is what Pillow's ``convert("RGB")`` gives, bit for bit.

    Raises:
        EvoError: it cannot be read whole, or is larger than Pillow allows; the message names the file.
    """
    try:
        with open(path, "rb") as file:
            return _shown(file, channels)
    except Exception as error:
        raise _unreadable(path, error) from None


def open_bytes(content: bytes, name: str, channels: int = 3) -> Image.Image:
    """The same of an image that lies inside of a larger file; ``name``: what errors call it."""
    try:
        return _shown(io.BytesIO(content), channels)
    except Exception as error:
        raise _unreadable(name, error) from None


def _shown(file: IO[bytes], channels: int) -> Image.Image:
    with Image.open(file) as image:
        return as_shown(image).convert("RGB" if channels == 3 else "L")


def _unreadable(name: str, error: Exception) -> EvoError:
    return EvoError(f"{printable(name)} cannot be read as an image ({reason(error)}): replace or remove it")


def is_image(path: str) -> bool:
    """Whether a file begins like an image that is read."""
    try:
        with open(path, "rb") as file, Image.open(file, formats=FORMATS):
            return True
    except Exception:
        return False


def reason(error: Exception) -> str:
    """Why an image cannot be read, in a line and without its path."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"larger than Pillow's limit of {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; make it smaller"
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format, or a damaged one"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def printable(text: str) -> str:
    """A name or path that any terminal can print, in a line."""
    return text if text.isprintable() else ascii(text)[1:-1]


def name_files(paths: Sequence[str]) -> str:
    """The first of some files, and how many more there are."""
    more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
    return ", ".join(map(printable, paths[:NAMED])) + more


def count(things: Sequence[object], one: str, many: str = "") -> str:
    """How many there are, with the word for it."""
    return f"{len(things):,} {one if len(things) == 1 else many or one + 's'}"


# -- what headers say -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileChecks:
    """What the headers of image files say.

    Attributes:
        sizes: least and most of height and of width, in pixels.
        remarks: what changes when the images are read, a sentence for each kind, with file names.
    """

    sizes: tuple[tuple[int, int], tuple[int, int]]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Header:
    """Of one file; ``brightest``: the highest value of grey of 16 bits, None where it has none."""

    height: int = 0
    width: int = 0
    kind: str = ""
    brightest: int | None = None
    fault: str = ""


KINDS = {
    "cmyk": "in CMYK, read without a colour profile",
    "grey16": "of 16 bits, scaled to 8 (65,535 becomes 255)",
    "frames": "with several frames or pages, of which the first is read",
}
"""What is told of images that lose something when they are read."""

FAINT = (1 << 14) - 1
"""Grey of 16 bits with no value above this is dark: cameras and scanners give 10, 12 or 14 bits."""


class ImageFiles(Protocol):
    """Encoded images, each with a name, whether they are files or lie in larger ones."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str: ...

    def open(self, i: int) -> IO[bytes]: ...


@dataclass(frozen=True)
class _Paths:
    """``ImageFiles`` that are files."""

    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return self.paths[i]

    def open(self, i: int) -> IO[bytes]:
        return open(self.paths[i], "rb")


def check_files(paths: Sequence[str], track: Track = untracked) -> FileChecks:
    """``check_images`` of files."""
    return check_images([_Paths(paths)], track)


def check_images(parts: Sequence[ImageFiles], track: Track = untracked) -> FileChecks:
    """Read the header of every image of several parts, and the end of those that tell where they end. Grey of 16 bits is
    decoded whole, for its highest value says how it is read.

    Raises:
        EvoError: some cannot be read, or are cut short; the message names them.
    """
    places = [(files, i) for files in parts for i in range(len(files))]
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the limit is told below, with the file's name
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # what Pillow remarks has no file's name
            ThreadPoolExecutor(THREADS) as pool,
            track("looking at images", len(places)) as advance,
        ):
            headers: list[_Header] = []
            for start in range(0, len(places), READ_AT_ONCE):
                batch = places[start : start + READ_AT_ONCE]
                headers += pool.map(partial(_header, limit=limit), batch)
                advance(len(batch))
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    found = [(files.name(i), header) for (files, i), header in zip(places, headers, strict=True)]
    if faults := [(path, header.fault) for path, header in found if header.fault]:
        told = ", ".join(f"{printable(path)} ({fault})" for path, fault in faults[:NAMED])
        more = f" and {len(faults) - NAMED:,} more" if len(faults) > NAMED else ""
        raise EvoError(f"{count(faults, 'image')} cannot be read: {told}{more}; replace or remove them")
    by_kind = {kind: [path for path, header in found if header.kind == kind] for kind in KINDS}
    remarks = [
        f"{count(files, 'image')} {KINDS[kind]}: {name_files(files)}" for kind, files in by_kind.items() if files
    ]
    heights, widths = [header.height for header in headers], [header.width for header in headers]
    remarks += _warn_of_scales([(path, header.brightest) for path, header in found if header.brightest is not None])
    return FileChecks(((min(heights), max(heights)), (min(widths), max(widths))), tuple(remarks))


GREY = ("1", "L", "LA", "La", "I", "F")
"""Pillow's modes of grey; those of 16 bits begin with ``I;16``."""


def are_grey(parts: Sequence[ImageFiles], track: Track = untracked) -> bool:
    """Whether all images are stored in grey, by their headers; an image that cannot be read is not looked at here."""
    places = [(files, i) for files in parts for i in range(len(files))]
    with (
        warnings.catch_warnings(action="ignore"),
        ThreadPoolExecutor(THREADS) as pool,
        track("looking for colours", len(places)) as advance,
    ):
        for start in range(0, len(places), READ_AT_ONCE):
            batch = places[start : start + READ_AT_ONCE]
            if not _is_grey(batch[0]) or not all(pool.map(_is_grey, batch)):
                return False
            advance(len(batch))
    return bool(places)


def _is_grey(place: tuple[ImageFiles, int]) -> bool:
    files, i = place
    try:
        with files.open(i) as file, Image.open(file) as image:
            return image.mode in GREY or image.mode.startswith("I;16")
    except Exception:
        return True


def _warn_of_scales(deep: Sequence[tuple[str, int]]) -> list[str]:
    """Warnings of grey of 16 bits that is not from 0 to 65,535: of each file it is told by itself how it is scaled.

    Args:
        deep: files, and the highest value in each.
    """
    scaled = [path for path, brightest in deep if brightest > 255]
    as_they_are = [path for path, brightest in deep if brightest <= 255]
    most = max((brightest for _, brightest in deep), default=0)
    warnings = []
    if scaled and as_they_are:
        warnings.append(
            f"{count(scaled, 'image')} of 16 bits, scaled to 8, beside {count(as_they_are, 'image')} of 16 bits with no value "
            f"above 255, not scaled ({name_files(as_they_are)}): they do not show brightness alike; save all with 8 bits, on "
            "one scale"
        )
    if 255 < most <= FAINT:
        warnings.append(
            f"the highest value of all grey of 16 bits ({name_files(scaled)}) is {most:,}, and "
            f"65,535 is white: they are dark; if they have {most.bit_length()} bits, multiply them by "
            f"{1 << 16 - most.bit_length()}, or save them with 8 bits"
        )
    return warnings


def _header(place: tuple[ImageFiles, int], limit: int | None) -> _Header:
    files, i = place
    try:
        with files.open(i) as file, Image.open(file) as image:
            width, height = image.size
            if limit is not None and width * height > 2 * limit:
                raise ValueError(f"{width:,} x {height:,} pixels, and Pillow's limit is {2 * limit:,}; make it smaller")
            if _may_be_cut_short(file, image.format):
                image.load()
            brightest = int(np.asarray(image).max()) if image.mode.startswith("I;16") else None
            return _Header(*_upright_size(image), _kind(image, brightest), brightest)
    except Exception as error:
        return _Header(fault=reason(error))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width as the image is shown."""
    width, height = image.size
    try:
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in range(5, 9)
    except Exception:
        turned = False
    return (width, height) if turned else (height, width)


ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
"""The last bytes of a whole file."""


def _may_be_cut_short(file: Any, format: str | None) -> bool:
    """Whether a file lacks its end, or is of a format without one."""
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    try:
        if format == "WEBP":
            file.seek(4)
            return bool(int.from_bytes(file.read(4), "little") + 8 > size)
        end = ENDS.get(format or "", b"")
        file.seek(-min(len(end), size), os.SEEK_END)
        return not end or bool(file.read() != end)
    finally:
        file.seek(place)


def _kind(image: Image.Image, brightest: int | None) -> str:
    if image.mode == "CMYK":
        return "cmyk"
    if brightest is not None and brightest > 255:
        return "grey16"
    return "frames" if image.format != "MPO" and getattr(image, "n_frames", 1) > 1 else ""
