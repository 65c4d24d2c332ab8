"""Folders and arrays as people bring them, made of a number: right ones in every form, and wrong ones.

What makes a case knows what its maker meant: how many classes, what they are called, and which image is of which. Whatever is
accepted must be that; each image shows the place of its class among the names (its brightness) and its part (its shade).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from evo.data.inspection import inspect_data
from evo.data.loading import _load_cached, load_dataset
from evo.data.source import Images, Source
from studies.config import DataSection
from studies.records import EvoError

NAMES = ("ant", "Bee", "cat dog", "é", "07", "zebra", "train_set", "10", "x-ray", "狗")
CODES = {name: 10 + 20 * place for place, name in enumerate(NAMES)}
"""The grey that shows a class."""

SIDE = 8


@dataclass
class Meant:
    """What the maker of a case meant.

    Attributes:
        greys: of each class, in the order of the names that are expected, its grey.
        counts: images of each part, of each class, where the files define the part.
    """

    names: list[str] = field(default_factory=list)
    greys: list[int] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    pixels: tuple[int, int] = (SIDE, SIDE)


class NonsenseError(AssertionError):
    """Something was accepted that is not what its maker meant."""


def check_images(images: Images, meant: Meant) -> None:
    """Let images pass that are what their maker meant.

    Raises:
        NonsenseError: they are not.
    """
    if meant.names == ["*"]:
        return
    if list(images.class_names) != meant.names:
        raise NonsenseError(f"classes {images.class_names}, meant {meant.names}")
    for part, source in (("train", images.train), ("validation", images.validation), ("test", images.test)):
        _check_part(part, source, images, meant)
    got = {part: _counts(source, images) for part, source in (("val", images.validation), ("test", images.test))}
    learned = _counts(images.train, images)
    if "val" not in meant.counts:
        learned = {name: learned[name] + got["val"][name] for name in meant.names}
    if "test" not in meant.counts:
        learned = {name: learned[name] + got["test"][name] for name in meant.names}
    for part, counts in {"train": learned, **{part: got[part] for part in meant.counts if part != "train"}}.items():
        expected = {name: meant.counts[part].get(name, 0) for name in meant.names}
        if counts != expected:
            raise NonsenseError(f"{part} has {counts}, meant {expected}")


def _check_part(part: str, source: Source, images: Images, meant: Meant) -> None:
    for x, y in source.batches(64):
        mean = np.array(images.mean)[None, :, None, None]
        std = np.array(images.std)[None, :, None, None]
        shown = (x.numpy() * std + mean) * 255
        if shown.shape[2:] != meant.pixels:
            raise NonsenseError(f"{part} images are {shown.shape[2:]}, meant {meant.pixels}")
        wanted = np.array(meant.greys)[y.numpy()][:, None, None, None]
        if np.abs(shown - wanted).max() > 3:
            raise NonsenseError(
                f"{part} images labelled {y.tolist()} show {shown.mean(axis=(1, 2, 3)).round().tolist()}"
            )


def _counts(source: Source, images: Images) -> dict[str, int]:
    counts = np.bincount(source.y.numpy(), minlength=images.classes).tolist()
    return dict(zip(images.class_names, counts, strict=True))


# -- folders ----------------------------------------------------------------------------------------------------------

Maker = Callable[[Path, Random, Meant], None]
TRAIN = ("train", "Train", "TRAINING", "train_images", "seg_train", "training_set")
VALIDATION = ("val", "Valid", "validation", "VAL")
TEST = ("test", "Test", "testing", "test-images", "test_set")


def _picture(path: Path, grey: int, rng: Random) -> None:
    """An image that shows a grey, in one of the forms in which images are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (rng.choice((SIDE, SIDE + 3)), rng.choice((SIDE, SIDE + 5)))
    form = rng.randrange(7)
    if form == 0:
        Image.new("L", size, grey).save(path.with_suffix(".png"))
    elif form == 1:
        Image.fromarray(np.full(size, grey * 257, np.uint16)).save(path.with_suffix(".png"))
    elif form == 2:
        Image.new("P", size, 1).save(path.with_suffix(".bmp")) if grey < 0 else Image.new(
            "RGB", size, (grey,) * 3
        ).save(path.with_suffix(".bmp"))
    elif form == 3:
        _transparent(size, grey).save(path.with_suffix(".png"))
    elif form == 4:
        Image.new("RGB", size, (grey,) * 3).convert("CMYK").save(path.with_suffix(".tif"))
    elif form == 5:
        exif = Image.Exif()
        exif[0x0112] = rng.randrange(1, 9)
        Image.new("RGB", size, (grey,) * 3).save(path.with_suffix(".JPG"), exif=exif, quality=95)
    else:
        Image.new("LA", size, (grey, 255)).save(path.with_suffix(".webp"), lossless=True)


def _transparent(size: tuple[int, int], grey: int) -> Image.Image:
    """A grey that comes of black laid half through on white: what a viewer shows."""
    return Image.new("RGBA", size, (0, 0, 0, 255 - grey))


def _classes(folder: Path, names: list[str], rng: Random, part: str, meant: Meant, least: int = 3) -> None:
    meant.counts.setdefault(part, {})
    for name in names:
        n = rng.randrange(least, least + 4)
        for i in range(n):
            below = rng.choice(("", "", "", "batch/")) if part == "train" else ""
            _picture(folder / name / f"{below}{i}", CODES[name], rng)
        meant.counts[part][name] = meant.counts[part].get(name, 0) + n


def _draw_names(rng: Random, meant: Meant, least: int = 2) -> list[str]:
    names = sorted(rng.sample(NAMES, rng.randrange(least, 5)))
    meant.names, meant.greys = names, [CODES[name] for name in names]
    return names


def one_folder(root: Path, rng: Random, meant: Meant) -> None:
    _classes(root, _draw_names(rng, meant), rng, "train", meant, least=7)


def parts(root: Path, rng: Random, meant: Meant) -> None:
    names = _draw_names(rng, meant)
    _classes(root / rng.choice(TRAIN), names, rng, "train", meant, least=7)
    if rng.random() < 0.7:
        _classes(root / rng.choice(TEST), names, rng, "test", meant)
    if rng.random() < 0.5:
        _classes(root / rng.choice(VALIDATION), names, rng, "val", meant)


def too_deep(root: Path, rng: Random, meant: Meant) -> None:
    rng.choice((one_folder, parts))(root / rng.choice(("photos", "data", "images")), rng, meant)


def one_class(root: Path, rng: Random, meant: Meant) -> None:
    meant.names, meant.greys = ["ant", "?"], [10, 0]
    _classes(root, ["ant"], rng, "train", meant)


def parts_by_other_names(root: Path, rng: Random, meant: Meant) -> None:
    """Parts of which one is called like none."""
    names = _draw_names(rng, meant)
    first, second = rng.choice((("test", "holdout"), ("Training", "final"), ("val", "rest"), ("testing", "dev")))
    _classes(root / first, names, rng, "train", meant, least=7)
    _classes(root / second, names, rng, "other", meant)
    meant.counts.pop("other")


def inside_out(root: Path, rng: Random, meant: Meant) -> None:
    """Parts inside of classes."""
    for name in _draw_names(rng, meant):
        for part in (rng.choice(TRAIN), rng.choice(TEST)):
            for i in range(4):
                _picture(root / name / part / str(i), CODES[name], rng)
    meant.counts["train"] = {}


def flat_parts(root: Path, rng: Random, meant: Meant) -> None:
    """Parts without classes in one of them."""
    names = _draw_names(rng, meant)
    _classes(root / "train", names, rng, "train", meant, least=7)
    for i in range(5):
        _picture(root / rng.choice(("test", "val")) / str(i), 50, rng)
    meant.counts["test"] = dict.fromkeys(names, -1)


def other_classes(root: Path, rng: Random, meant: Meant) -> None:
    """A test that spells a class otherwise, has one more, or one less."""
    names = _draw_names(rng, meant)
    _classes(root / "train", names, rng, "train", meant, least=7)
    _classes(root / "test", names, rng, "test", meant)
    victim, change = root / "test" / names[0], rng.randrange(4)
    if change == 0:
        victim.rename(victim.with_name(f"{names[0].upper()} "))
    elif change == 1:
        _picture(root / "test" / "owl" / "0", 3, rng)
    elif change == 2:
        shutil.rmtree(victim)
        meant.counts["test"].pop(names[0])
    else:
        victim.rename(victim.with_name("other"))


def damaged(root: Path, rng: Random, meant: Meant) -> None:
    rng.choice((one_folder, parts))(root, rng, meant)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    victim = rng.choice(files)
    content = victim.read_bytes()
    victim.write_bytes(rng.choice((b"", content[: len(content) // 2], b"GIF89a" + content, content[:20], b"\0" * 100)))
    meant.counts["train"] = {}  # must not be accepted


def littered(root: Path, rng: Random, meant: Meant) -> None:
    """With files and folders that are none of it."""
    rng.choice((one_folder, parts))(root, rng, meant)
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        for name in rng.sample((".DS_Store", "Thumbs.db", "labels.csv", "._0.png", "a.heic", "b.gif", "notes"), 2):
            (folder / name).write_bytes(b"\0litter")
    (root / rng.choice((".ipynb_checkpoints", "__MACOSX", ".git"))).mkdir()


ODD_NAMES = (
    b"train", b"Test", b"val", b"ant", b"ant ", b"ANT", b"bee", b"\xff\xfe", b"new\nline", b"..x", b".hidden", b"__MACOSX",
    "é".encode(), "e\u0301".encode(), "\u202e".encode(), b"a" * 200, b"z.png", b"-", b"~", b"%s {0}",
)  # fmt: skip


def anything(root: Path, rng: Random, meant: Meant) -> None:
    """A tree of folders that nobody meant anything by: it may be accepted or answered."""
    folders = [os.fsencode(root)]
    for _ in range(rng.randrange(1, 9)):
        folder = os.path.join(rng.choice(folders), rng.choice(ODD_NAMES))
        if not os.path.lexists(folder):
            os.mkdir(folder)
            folders.append(folder)
    for folder in folders:
        for i in range(rng.choice((0, 0, 1, 8))):
            path = os.path.join(folder, rng.choice((b"", b"\xfe", b"n\n")) + str(i).encode())
            _picture(Path(os.fsdecode(path)), 90, rng)
        if rng.random() < 0.2:
            os.symlink(rng.choice(folders), os.path.join(folder, b"link"))
        if rng.random() < 0.1:
            os.mkfifo(os.path.join(folder, b"pipe.png"))
    meant.names = ["*"]


FOLDERS: tuple[Maker, ...] = (
    one_folder, parts, parts, littered, too_deep, one_class, parts_by_other_names, inside_out, flat_parts, other_classes,
    other_classes, damaged, anything, anything,
)  # fmt: skip


def read_folder_case(text: str) -> object:
    """A folder made of a number, read as the commands read it."""
    root, rng, meant = Path("handed-in-folder"), Random(text), Meant()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    try:
        maker = rng.choice(FOLDERS)
        maker(root, rng, meant)
        section = DataSection(
            name="images", path=str(root), size=SIDE, workers=0, in_memory=rng.choice((True, False, None)),
            validation_fraction=0.3,
        )  # fmt: skip
        return _read(section, meant, maker in (one_folder, parts, littered))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _read(section: DataSection, meant: Meant, right: bool) -> object:
    """What the commands find; ``right``: it must be accepted."""
    _load_cached.cache_clear()
    try:
        report = inspect_data(section, "cpu")
    except EvoError as error:
        if right:
            raise NonsenseError(f"nothing is wrong with it, and it was answered: {error}") from error
        raise
    images = load_dataset(section)
    check_images(images, meant)
    trained = [part.images for part in report.parts.values()]
    if trained != [len(images.train), len(images.validation), len(images.test)]:
        raise NonsenseError(f"the report says {trained}")
    return report


# -- arrays -----------------------------------------------------------------------------------------------------------


def _part_arrays(rng: Random, names: list[str], least: int, shape: tuple[int, ...]) -> tuple[Any, np.ndarray]:
    """Images and the places of their classes."""
    y = np.array([place for place in range(len(names)) for _ in range(rng.randrange(least, least + 4))])
    y = y[np.random.default_rng(rng.randrange(1 << 30)).permutation(len(y))]
    greys = np.array([CODES[name] for name in names], np.uint8)[y]
    return np.broadcast_to(greys.reshape(-1, *(1 for _ in shape)), (len(y), *shape)).copy(), y


def _one_hot(y: np.ndarray, n: int, rng: Random) -> np.ndarray:
    return np.eye(n, dtype=rng.choice((np.uint8, np.float32, np.int64, bool)))[y]  # type: ignore[arg-type]


LABELS: dict[str, Callable[[np.ndarray, list[str], Random], np.ndarray]] = {
    "numbers": lambda y, names, rng: y.astype(rng.choice((np.uint8, np.int16, np.int64, np.float32, ">i4"))),
    "column": lambda y, names, rng: y.reshape(-1, 1),
    "one-hot": lambda y, names, rng: _one_hot(y, len(names), rng),
    "text": lambda y, names, rng: np.array(names)[y],
    "bytes": lambda y, names, rng: np.array([name.encode() for name in names])[y],
}
IMAGES: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda x: x,
    lambda x: (x / 255).astype(np.float32),
    lambda x: x / 255,
    lambda x: (x / 255).astype(">f8"),
    lambda x: (x / 255).astype(np.float16),
    lambda x: (x / 255).astype(np.longdouble),
    np.asfortranarray,
)


def _spoil(arrays: dict[str, Any], rng: Random) -> None:
    """One of the mistakes that people make."""
    part = rng.choice(("train", "test"))
    x, y = f"x_{part}", f"y_{part}"
    mistakes: tuple[Callable[[], object], ...] = (
        lambda: arrays.update({x: np.moveaxis(np.stack([arrays[x][..., 0]] * 3, -1), -1, 1)}),
        lambda: arrays.update({x: arrays[x].reshape(len(arrays[x]), -1)}),
        lambda: arrays.update({x: np.moveaxis(arrays[x], 0, -1)}),
        lambda: arrays.update({x: arrays[x].astype(np.int64) + 1}),
        lambda: arrays.update({x: arrays[x].astype(np.float32) * 300 - 100}),
        lambda: arrays.update({x: np.full(arrays[x].shape, np.nan)}),
        lambda: arrays.update({y: arrays[y][:-1]}),
        lambda: arrays.update({"y_train": np.arange(len(arrays["y_train"])) % 3 + 1}),
        lambda: arrays.update({"y_train": np.full(len(arrays["y_train"]), 10**15), "y_test": arrays["y_test"]}),
        lambda: arrays.update({y: np.full(len(arrays[y]), np.inf)}),
        lambda: arrays.update({y: np.full((len(arrays[y]), 4), 0.25)}),
        lambda: arrays.update({y: np.ones((len(arrays[y]), 3))}),
        lambda: arrays.update({"y_test": np.full(len(arrays["y_test"]), 99)}),
        lambda: arrays.update({"y_test": np.full(len(arrays["y_test"]), "owl")}),
        lambda: arrays.update({"y_train": np.zeros(len(arrays["y_train"]), int)}),
        lambda: arrays.update({y: np.array([None] * len(arrays[y]), object)}),
        lambda: arrays.pop(rng.choice((x, y))),
        lambda: arrays.update({y: np.array(3)}),
        lambda: arrays.update({x: np.zeros((0, 8, 8), np.uint8), y: np.zeros(0, int)}),
        lambda: arrays.update({"classes": np.array(["ant", "ant"])}),
    )
    rng.choice(mistakes)()


def read_arrays_case(text: str) -> object:
    """An ``.npz`` file made of a number, read as the commands read it."""
    rng, meant, path = Random(text), Meant(), Path("handed-in.npz")
    names = _draw_names(rng, meant)
    meant.pixels = (rng.choice((6, 8)), rng.choice((8, 12)))
    shape = rng.choice((meant.pixels, (*meant.pixels, 1), (*meant.pixels, 3)))
    form = rng.choice(tuple(LABELS))
    arrays: dict[str, Any] = {}
    for part, least in (("train", 7), ("test", 2), *([("val", 2)] if rng.random() < 0.3 else [])):
        x, y = _part_arrays(rng, names, least, shape)
        arrays |= {f"x_{part}": rng.choice(IMAGES)(x), f"y_{part}": LABELS[form](y, names, rng)}
        meant.counts[part] = {name: int((y == place).sum()) for place, name in enumerate(names)}
    if form in ("text", "bytes") or rng.random() < 0.5:
        if form not in ("text", "bytes") or rng.random() < 0.5:
            arrays["classes"] = np.array(names)
    else:
        meant.names = [str(place) for place in range(len(names))]
        meant.counts = {
            part: {str(names.index(name)): n for name, n in counts.items()} for part, counts in meant.counts.items()
        }
    spoiled = rng.random() < 0.5
    if spoiled:
        _spoil(arrays, rng)
    np.savez(path, **arrays)
    if not spoiled and (damage := rng.random() < 0.3):
        spoiled, content = damage, path.read_bytes()
        place = rng.randrange(len(content))
        path.write_bytes(
            rng.choice((content[:place], content[:place] + b"\xff" + content[place + 1 :], b"", b"PK\3\4"))
        )
        if path.read_bytes() == content or np_same(path, arrays):
            spoiled = False
    section = DataSection(name="arrays", path=str(path), validation_fraction=0.3)
    found = _read(section, meant, not spoiled)
    if spoiled:
        raise NonsenseError("a mistake was accepted")
    return found


def np_same(path: Path, arrays: dict[str, Any]) -> bool:
    """Whether a damaged file still holds what was written."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return all(np.array_equal(file[name], array) for name, array in arrays.items())
    except Exception:
        return False
