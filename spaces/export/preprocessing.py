"""From an image to what a network takes, as its training did it. Needs Pillow, NumPy and torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

ORIENTATION = 0x0112
"""EXIF's tag for how a camera was held; 1: upright."""


def prepare_image(image: Image.Image | str | Path, size: tuple[int, int], channels: int, resize: str) -> torch.Tensor:
    """An image, or the file of one, as ``(1, channels, height, width)`` floats from 0 to 1.

    Args:
        size: height and width.
        channels: 3: red, green, blue; 1: grey.
        resize: ``cover`` (scaled until it covers ``size``, then its middle), ``stretch`` (to ``size``), or ``none``.

    Raises:
        ValueError: ``resize`` is ``none``, and the image has another size.
    """
    if not isinstance(image, Image.Image):
        with open(image, "rb") as file, Image.open(file) as opened:
            return prepare_image(as_shown(opened), size, channels, resize)
    shown = as_shown(image).convert("RGB" if channels == 3 else "L")
    if resize == "cover":
        shown = cover(shown, size)
    elif resize == "none" and (shown.height, shown.width) != size:
        raise ValueError(f"the image has {shown.height} x {shown.width} pixels; expected {size[0]} x {size[1]}")
    pixels = torch.from_numpy(np.array(shown)).view(1, shown.height, shown.width, channels).permute(0, 3, 1, 2)
    images = pixels.float().div(255)
    if resize == "stretch" and images.shape[2:] != size:
        images = torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
    return images


def cover(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of an image that was scaled, its proportions kept, until it just covers height and width ``size``."""
    (height, width), (rows, columns) = size, covering_size((image.height, image.width), size)
    scaled = image.resize((columns, rows), Image.Resampling.BILINEAR)
    top, left = round((rows - height) / 2), round((columns - width) / 2)
    return scaled.crop((left, top, left + width, top + height))


def covering_size(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """The height and width to which an image of ``size`` is scaled so that it just covers ``wanted``."""
    (height, width), (rows, columns) = size, wanted
    if rows == columns:  # rounded as torchvision's Resize(rows)
        longer = int(rows * max(size) / min(size))
        return (rows, longer) if height <= width else (longer, columns)
    scale = max(rows / height, columns / width)
    return max(rows, round(scale * height)), max(columns, round(scale * width))


def as_shown(image: Image.Image) -> Image.Image:
    """An image upright, without transparency, of 8 bits a channel; itself where it is so already.

    Transparent parts are laid on white; grey of 16 bits is scaled to 8, unless no pixel is above 255.

    Raises:
        ValueError: its pixels are of 32 bits and not from 0 to 255: nothing says what is white.
    """
    image.load()
    if image.mode.startswith("I;16"):
        image = _as_bytes(image)
    elif image.mode in ("I", "F"):
        _check_wide(image)
    elif image.mode in ("LAB", "RGBa", "La"):
        image = _from_rare_mode(image)
    if image.has_transparency_data:
        image = _on_white(image)
    return ImageOps.exif_transpose(image) if _is_turned(image) else image


def _as_bytes(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8."""
    pixels = np.asarray(image)
    scale = 257 if int(pixels.max()) > 255 else 1
    grey = Image.fromarray(((pixels.astype(np.uint32) + scale // 2) // scale).astype(np.uint8))
    grey.info = image.info
    return grey


def _check_wide(image: Image.Image) -> None:
    least, most = image.getextrema()
    if not (0 <= least <= most <= 255) or (image.mode == "F" and 0 < most <= 1):  # type: ignore[operator]
        raise ValueError(f"pixels of 32 bits from {least} to {most}; expected 0 to 255: save it with 8 or 16 bits")


def _from_rare_mode(image: Image.Image) -> Image.Image:
    """Modes that Pillow turns into RGB in two steps, or by a colour profile."""
    if image.mode != "LAB":
        return image.convert("RGBA" if image.mode == "RGBa" else "LA")
    from PIL import ImageCms

    to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    shown = ImageCms.applyTransform(image, to_rgb)
    assert shown is not None
    return shown


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return image
    shown = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    shown.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return shown.convert("RGB")


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:  # EXIF that cannot be read turns nothing
        return False
