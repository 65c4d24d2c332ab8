"""Images that are decoded once: the same results, from files that all share and that are never trusted."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evo.data.decoded import store as stores
from evo.data.decoded.kept import KeptPictures, keep_scaled, scale
from evo.data.decoded.store import DecodedStore
from evo.data.image_folders import Photographs
from evo.data.inspection import decode_ahead
from evo.data.loading import _load_cached, load_dataset
from evo.data.source import Images
from evo.data.streaming import StreamedImages
from evo.training.identity import identity
from spaces.torchvision_shim import transforms
from studies.config import DataSection
from studies.records import EvoError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of pictures of many sizes; one of them is much longer than high."""
    root, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for label, name in enumerate(("ant", "bee")):
        (root / name).mkdir()
        for i in range(18):
            size = (30, 130) if i == label == 0 else (20 + i, 45 - i)
            smooth = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize(size[::-1])
            smooth.save(root / name / f"{i}.jpg", quality=90)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded, as often as they are."""
    opened: list[str] = []
    known = Photographs.__getitem__

    def counted(self: Photographs, i: int) -> Any:
        opened.append(str(self.paths[i]))
        return known(self, i)

    monkeypatch.setattr(Photographs, "__getitem__", counted)
    return opened


def load(folder: Path, **more: Any) -> Images:
    _load_cached.cache_clear()
    given = {"size": [12, 16], "in_memory": False, "workers": 0, "validation_fraction": 0.3, **more}
    return load_dataset(DataSection(name="images", path=str(folder), **given))


def everything(
    images: Images, augment: tuple[str, ...] = ("resized_crop", "flip", "colour_jitter", "cutout")
) -> list[torch.Tensor]:
    parts = [images.train, images.validation, images.test]
    return [
        x for part in parts for x, _ in [*part.batches(5), *part.epoch(4, augment, 3), part.take(torch.tensor([2, 0]))]
    ]


def equal(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


# -- as before, without data.short_side -------------------------------------------------------------------------------


def test_what_measures_has_the_bits_that_it_had(folder: Path, cache: Path) -> None:
    """Without a cache, with an empty one, and from it; however often."""
    expected = everything(load(folder, cache=False))
    assert not cache.exists()
    assert equal(everything(load(folder)), expected)
    assert cache.exists()
    again = load(folder)
    assert equal(everything(again), expected)
    assert equal(everything(load(folder, workers=2)), expected)


def test_what_measures_is_decoded_once(folder: Path, decoded: list[str]) -> None:
    images = load(folder)
    decode_ahead(
        DataSection(
            name="images", path=str(folder), size=[12, 16], in_memory=False, workers=0, validation_fraction=0.3
        ),
        "cpu",
    )
    list(images.validation.batches(4))
    list(load(folder).validation.batches(3))
    assert isinstance(images.validation, StreamedImages)
    assert isinstance(images.validation.pictures, Photographs)
    held = set(images.validation.pictures.paths.tolist())
    assert sorted(path for path in decoded if path in held) == sorted(held)


def test_parts_and_joined_parts_keep_what_was_decoded(folder: Path) -> None:
    images, plain = load(folder), load(folder, cache=False)
    for ours, theirs in (
        (images.train.first(4), plain.train.first(4)),
        (images.train.joined_with(images.test), plain.train.joined_with(plain.test)),
    ):
        assert isinstance(ours, StreamedImages)
        assert ours.middles is not None
        assert len(ours.middles) == len(ours)
        assert all(torch.equal(x, other) for (x, _), (other, _) in zip(ours.batches(7), theirs.batches(7), strict=True))


# -- data.short_side --------------------------------------------------------------------------------------------------


def test_a_short_side_changes_crops_and_is_part_of_names(folder: Path) -> None:
    names = {identity("supernet", 1, data=DataSection(name="images", short_side=side)) for side in (None, 20, 24)}
    assert len(names) == 3
    assert len({identity("supernet", 1, data=DataSection(name="images", cache=cache)) for cache in (True, False)}) == 1
    (whole, _), *_ = load(folder).train.epoch(8, ("resized_crop",), 1)
    (scaled, _), *_ = load(folder, short_side=20).train.epoch(8, ("resized_crop",), 1)
    assert not torch.equal(whole, scaled)


def test_nothing_depends_on_the_cache_the_workers_or_the_time(folder: Path, cache: Path) -> None:
    expected = everything(load(folder, short_side=20, cache=False))
    assert not cache.exists()
    for workers in (0, 2, 0):
        assert equal(everything(load(folder, short_side=20, workers=workers)), expected)
    in_memory = load(folder, short_side=20, in_memory=True)
    for ours, theirs in (
        (in_memory.test, load(folder, short_side=20).test),
        (in_memory.train, load(folder, short_side=20).train),
    ):
        for (x, _), (other, _) in zip(ours.batches(6), theirs.batches(6), strict=True):
            torch.testing.assert_close(x, other, rtol=0, atol=1e-5)


def test_every_image_is_decoded_once(folder: Path, decoded: list[str]) -> None:
    images = load(folder, short_side=20)
    section = DataSection(
        name="images",
        path=str(folder),
        size=[12, 16],
        in_memory=False,
        workers=0,
        validation_fraction=0.3,
        short_side=20,
    )
    decode_ahead(section, "cpu")
    assert decode_ahead(section, "cpu") == 0
    before = len(decoded)
    assert before == len(set(decoded)) == len(images.train) + len(images.validation)
    for augment in ((), ("resized_crop", "flip")):
        list(images.train.epoch(4, augment, 1))
        list(load(folder, short_side=20).validation.batches(4))
    assert len(decoded) == before


def test_scaled_images_are_what_torchvision_scales(folder: Path) -> None:
    """An independent measure: torchvision's own scaling, and its middle; of what is too long the middle remains."""
    for file in sorted(folder.rglob("*.jpg")):
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        expected = transforms.functional.resize(image, 20)
        assert isinstance(expected, Image.Image)
        found = scale(image, 20)
        if expected.width > 40:
            expected = transforms.functional.center_crop(expected, [20, 40])
        assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_middles_are_close_to_those_of_whole_images(folder: Path) -> None:
    whole, scaled = (next(iter(images.test.batches(6)))[0] for images in (load(folder), load(folder, short_side=20)))
    assert float((whole - scaled).abs().mean()) < 0.2  # of a standard deviation: scaled twice instead of once


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"short_side": 15},
            r"data.short_side is 15, and images of 16 pixels are cut from it \(data.size\): expected 16 or more",
        ),
        (
            {"name": "digits", "path": "data", "short_side": 20},
            r"those of data set 'digits' are not encoded: leave it out",
        ),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, more: dict[str, Any], message: str) -> None:
    given = {"name": "images", "path": str(folder), "size": [12, 16], **more}
    with pytest.raises(EvoError, match=message):
        load_dataset(DataSection(**given))


# -- the files --------------------------------------------------------------------------------------------------------


def kept(folder: Path, **more: Any) -> KeptPictures:
    return keep_scaled(Photographs(np.array(sorted(map(str, folder.rglob("*.jpg"))))), 20, True)


def test_damaged_and_half_written_images_are_decoded_again(folder: Path, cache: Path, decoded: list[str]) -> None:
    pictures = kept(folder)
    expected = [pictures[i] for i in range(len(pictures))]
    (pixels,), (index,) = cache.glob("*.pixels"), cache.glob("*.index")
    with pixels.open("r+b") as file:  # a bit of the first, all of the third; the fifth has pixels and no entry
        file.seek(17)
        byte = file.read(1)[0]
        file.seek(17)
        file.write(bytes([byte ^ 1]))
        file.seek(2 * 4096)
        file.write(bytes(4096))
    with index.open("r+b") as file:
        file.seek(4 * 8)
        file.write(bytes(8))
    decoded.clear()
    assert equal([pictures[i] for i in range(len(pictures))], expected)
    assert [Path(path) for path in decoded] == [Path(str(pictures.parts[0].pictures.paths[i])) for i in (0, 2, 4)]  # type: ignore[attr-defined]


def test_files_that_change_are_decoded_again(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    pictures = kept(tmp_path / "copy")
    before = pictures[3]
    path = Path(str(pictures.parts[0].pictures.paths[3]))  # type: ignore[attr-defined]
    with Image.open(path) as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path, quality=90)
    os.utime(path, ns=(1, 1))
    assert not torch.equal(kept(tmp_path / "copy")[3], before)


def test_moved_folders_keep_their_images(folder: Path, tmp_path: Path, decoded: list[str]) -> None:
    shutil.copytree(folder, tmp_path / "one")
    first = kept(tmp_path / "one")
    expected = [first[i] for i in range(len(first))]
    (tmp_path / "one").rename(tmp_path / "other")
    decoded.clear()
    moved = kept(tmp_path / "other")
    assert equal([moved[i] for i in range(len(moved))], expected)
    assert decoded == []


def test_other_processes_open_the_files_themselves(folder: Path, decoded: list[str]) -> None:
    pictures = kept(folder)
    expected = [pictures[i] for i in range(len(pictures))]
    sent = pickle.dumps(pictures)
    assert len(sent) < 20_000  # their names, and not one image
    decoded.clear()
    assert equal([pickle.loads(sent)[i] for i in range(len(pictures))], expected)
    assert decoded == []


def test_a_full_disk_and_a_folder_that_may_not_be_written_are_no_matter(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = everything(load(folder, cache=False))
    monkeypatch.setattr(stores, "KEPT_FREE", 1.0)
    assert equal(everything(load(folder)), expected)
    assert {path.stat().st_blocks for path in cache.glob("*.pixels")} == {0}
    section = DataSection(
        name="images", path=str(folder), size=[12, 16], in_memory=False, workers=0, validation_fraction=0.3
    )
    decode_ahead(section, "cpu")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EVO_CACHE", str(tmp_path / "file"))
    assert equal(everything(load(folder)), expected)


def test_two_writers_do_each_other_no_harm(cache: Path) -> None:
    one, other = (DecodedStore.create(cache, "x", 3, 48, 3) for _ in range(2))
    assert one is not None
    assert other is not None
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert one.get(1) is None
    assert one.put(1, image)
    assert other.put(1, image)
    assert other.put(2, image[:2])
    assert np.array_equal(one.get(1), image)  # type: ignore[arg-type]
    assert np.array_equal(one.get(2), image[:2])  # type: ignore[arg-type]
    assert one.missing().tolist() == [0]
    shutil.rmtree(cache)
    fresh = DecodedStore.create(cache, "x", 3, 48, 3)
    assert fresh is not None
    assert fresh.missing().tolist() == [0, 1, 2]
