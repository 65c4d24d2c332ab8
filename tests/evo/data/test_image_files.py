"""Image files come out as a viewer shows them, and as they always did where nothing speaks against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evo.data.image_files import as_shown, check_files, open_image
from studies.records import EvoError

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_plain_images_are_what_pillow_makes_of_them(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if (mode, suffix) == ("CMYK", ".png"):
        return
    Image.fromarray(RGB).convert(mode).save(path)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(open_image(str(path))), expected)


def test_an_opaque_image_with_alpha_keeps_its_colours_and_a_transparent_one_lies_on_white(tmp_path: Path) -> None:
    alpha = np.full((6, 8, 1), 255, np.uint8)
    Image.fromarray(np.concatenate((RGB, alpha), axis=2)).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(open_image(str(tmp_path / "a.png"))), RGB)
    alpha[:3] = 0
    Image.fromarray(np.concatenate((RGB, alpha), axis=2)).save(tmp_path / "b.png")
    shown = np.asarray(open_image(str(tmp_path / "b.png")))
    assert (shown[:3] == 255).all()
    assert np.array_equal(shown[3:], RGB[3:])
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, 200, 10, 20])
    palette.save(tmp_path / "c.png", transparency=1)
    assert (np.asarray(open_image(str(tmp_path / "c.png"))) == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_of_sixteen_bits_is_scaled(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(GREY.astype(np.uint16) * 257 * 5).save(path)
    assert np.array_equal(np.asarray(open_image(str(path)))[..., 0], GREY * 5)
    Image.fromarray(GREY.astype(np.uint16)).save(path)  # bytes in a file of 16 bits: as it has always been read
    assert np.array_equal(np.asarray(open_image(str(path)))[..., 1], GREY)


def test_a_float_image_whose_white_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(GREY.astype(np.float32)).save(path)
    assert np.array_equal(np.asarray(open_image(str(path)))[..., 0], GREY)
    for factor in (1 / 255, 300):
        Image.fromarray(GREY.astype(np.float32) * np.float32(factor)).save(path)
        with pytest.raises(
            EvoError, match=r"a\.tif cannot be read as an image \(pixels of 32 bits from 0.* save it with"
        ):
            open_image(str(path))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_turned_photo_is_upright(tmp_path: Path, suffix: str) -> None:
    """Orientation 6: the camera was turned, and what it wrote has to be turned by 90 degrees to the right."""
    left = np.zeros((40, 64, 3), np.uint8)
    left[:, :32] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a{suffix}"
    Image.fromarray(left).save(path, exif=exif)
    shown = np.asarray(open_image(str(path))).astype(int)
    assert shown.shape == (64, 40, 3)
    assert shown[:30].mean() > 190  # what was left is up
    assert shown[34:].mean() < 10
    assert check_files([str(path)]).sizes == ((64, 64), (40, 40))


def test_an_image_of_a_data_set_is_shown_in_the_same_way() -> None:
    image = Image.new("LA", (4, 4), (0, 0))
    assert (np.asarray(as_shown(image).convert("L")) == 255).all()
    plain = Image.new("L", (4, 4))
    assert as_shown(plain) is plain


def cut(path: Path, share: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Whole files of all kinds."""
    paths = []
    for suffix in (".jpg", ".png", ".tif", ".webp", ".bmp", ".ppm"):
        paths.append(tmp_path / f"photo{suffix}")
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)).save(paths[-1])
    return [str(path) for path in paths]


def test_files_that_are_cut_short_are_all_named_before_anything_is_decoded(photos: list[str]) -> None:
    found = check_files(photos)
    assert (found.sizes, found.remarks) == (((40, 40), (50, 50)), ())
    with open(photos[0], "ab") as file:
        file.write(b"\0" * 100)  # a camera's padding is no fault
    check_files(photos)
    for path in photos:
        cut(Path(path))
    with pytest.raises(
        EvoError, match=r"6 images cannot be read: .*photo\.jpg \(.*photo\.bmp.* and 1 more; replace or"
    ):
        check_files(photos)
    with pytest.raises(EvoError, match=r"photo\.png cannot be read as an image \(.*\): replace or remove it"):
        open_image(photos[1])
    Path(photos[0]).write_bytes(b"")
    with pytest.raises(
        EvoError, match=r"1 image cannot be read: .*photo\.jpg \(no image of a known format, or a damaged"
    ):
        check_files(photos[:1])


def test_an_image_beyond_pillow_s_limit_is_named(photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(EvoError, match=r"photo\.jpg \(50 x 40 pixels, and Pillow's limit is 1,800; make it smaller"):
        check_files(photos[:1])
    with pytest.raises(
        EvoError, match=r"photo\.jpg cannot be read as an image \(larger than Pillow's limit of 1,800 pixels"
    ):
        open_image(photos[0])
    assert Image.MAX_IMAGE_PIXELS == 900


def test_what_is_lost_in_reading_is_told_with_file_names(tmp_path: Path) -> None:
    pages: list[Any] = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    pages[0].convert("CMYK").save(tmp_path / "ink.jpg")
    Image.fromarray(GREY.astype(np.uint16) * 1000).save(tmp_path / "deep.png")
    remarks = check_files(sorted(str(path) for path in tmp_path.iterdir())).remarks
    assert [remark.split(":")[0] for remark in remarks] == [
        "1 image in CMYK, read without a colour profile",
        "1 image of 16 bits, scaled to 8 (65,535 becomes 255)",
        "1 image with several frames or pages, of which the first is read",
    ]
    assert "ink.jpg" in remarks[0]
    assert np.asarray(open_image(str(tmp_path / "pages.tif")))[0, 0].tolist() == [255, 0, 0]


def deep(tmp_path: Path, *brightest: int) -> tuple[str, ...]:
    """What is told of images of 16 bits with these highest values, but for those that are scaled."""
    paths = []
    for i, value in enumerate(brightest):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray((GREY / 47 * value).round().astype(np.uint16)).save(paths[-1])
    return tuple(told for told in check_files(list(map(str, paths))).remarks if "becomes 255" not in told)


def test_images_of_sixteen_bits_on_two_scales_are_told(tmp_path: Path) -> None:
    (told,) = deep(tmp_path, 65_535, 255, 300)
    assert told.startswith(
        f"2 images of 16 bits, scaled to 8, beside 1 image of 16 bits with no value above 255, not scaled ({tmp_path}/1.png): "
    )
    Image.fromarray((GREY.astype(np.uint16) * 20).astype(">u2")).save(tmp_path / "big-endian.tif")
    assert (
        "tif) is 940, and 65,535 is white: they are dark; if they have 10 bits"
        in check_files([str(tmp_path / "big-endian.tif")]).remarks[1]
    )
    assert deep(tmp_path, 65_535, 300) == deep(tmp_path, 16_384) == deep(tmp_path, 255, 200) == ()


def test_an_image_of_sixteen_bits_that_is_read_as_it_is_is_not_called_scaled(tmp_path: Path) -> None:
    assert deep(tmp_path, 0) == deep(tmp_path, 255) == ()
    assert check_files([f"{tmp_path}/0.png"]).remarks == ()
    deep(tmp_path, 65_535, 255)
    scaled, told = check_files([f"{tmp_path}/{i}.png" for i in range(2)]).remarks
    assert scaled == f"1 image of 16 bits, scaled to 8 (65,535 becomes 255): {tmp_path}/0.png"
    assert told.startswith(
        "1 image of 16 bits, scaled to 8, beside 1 image of 16 bits with no value above 255, not scaled"
    )


@pytest.mark.parametrize(
    ("most", "bits", "factor"), [(300, 9, 128), (1023, 10, 64), (4095, 12, 16), (3000, 12, 16), (16_383, 14, 4)]
)
def test_images_of_sixteen_bits_that_are_dark_are_told(tmp_path: Path, most: int, bits: int, factor: int) -> None:
    (told,) = deep(tmp_path, most, 290)
    assert told == (
        f"the highest value of all grey of 16 bits ({tmp_path}/0.png, {tmp_path}/1.png) is {most:,}, and 65,535 is white: they "
        f"are dark; if they have {bits} bits, multiply them by {factor}, or save them with 8 bits"
    )
