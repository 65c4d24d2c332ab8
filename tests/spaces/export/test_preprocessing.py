"""``preprocess.py``: what it makes of an image is what torchvision, and the training, make of it."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evo.data.loading import load_dataset
from spaces import torchvision_shim
from spaces.export.formats import write_preprocessing
from spaces.export.preprocessing import cover, prepare_image
from studies.config import DataSection


def noise(height: int, width: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(height * width)
    return Image.fromarray(rng.integers(0, 256, (height, width, len(mode)), dtype=np.uint8).squeeze(), mode)


@pytest.mark.parametrize("shape", [(20, 24), (24, 20), (16, 16), (7, 50), (50, 7), (33, 100), (17, 19)])
def test_an_image_is_covered_as_torchvision_does_it(shape: tuple[int, int]) -> None:
    image, transforms = noise(*shape), torchvision_shim.transforms
    expected = transforms.CenterCrop(16)(transforms.Resize(16)(image))
    assert np.array_equal(np.asarray(cover(image, (16, 16))), np.asarray(expected))
    prepared = prepare_image(image, (16, 16), 3, "cover")
    assert torch.equal(prepared[0], torch.tensor(np.asarray(expected)).permute(2, 0, 1) / 255)


@pytest.mark.parametrize("size", [(12, 16), (16, 12), (5, 40)])
def test_a_rectangle_is_just_covered(size: tuple[int, int]) -> None:
    for shape in ((20, 24), (24, 20), (7, 50), (50, 7), size):
        assert prepare_image(noise(*shape), size, 3, "cover").shape == (1, 3, *size)
    assert np.array_equal(np.asarray(cover(noise(*size), size)), np.asarray(noise(*size)))


@pytest.mark.parametrize("size", [16, (12, 16)])
def test_photographs_are_prepared_as_the_training_saw_them(tmp_path: Path, size: int | tuple[int, int]) -> None:
    """Wide, tall, turned by EXIF, and partly transparent ones; by the file that is delivered."""
    pictures = {"wide.png": noise(20, 60), "tall.png": noise(50, 20), "clear.png": noise(30, 30, "RGBA")}
    turned = Image.Exif()
    turned[0x0112] = 6
    for label in ("ant", "bee"):
        (tmp_path / label).mkdir()
        for name, picture in pictures.items():
            picture.save(tmp_path / label / f"{label}-{name}")
        noise(20, 60).save(tmp_path / label / "turned.jpg", exif=turned)
    images = load_dataset(DataSection(name="images", path=str(tmp_path), size=size, validation_fraction=0.5))
    height, width = (size, size) if isinstance(size, int) else size
    write_preprocessing(tmp_path / "preprocess.py", (height, width), 3, images.resize)
    prepare = runpy.run_path(str(tmp_path / "preprocess.py"))["prepare"]
    mine = [prepare(path) for path in sorted(tmp_path.glob("*/*.*g"))]
    mean, std = (torch.tensor(values).float().view(1, 3, 1, 1) for values in (images.mean, images.std))
    for part in (images.train, images.validation):
        for x, _ in part.batches(1):
            assert any(torch.allclose(x, (own - mean) / std, atol=1e-5) for own in mine)


def test_arrays_are_stretched_as_the_training_did(tmp_path: Path) -> None:
    x = (
        np.stack([np.asarray(noise(10, 14 + 0 * i, "L")) for i in range(8)])
        // np.arange(1, 9, dtype=np.uint8)[:, None, None]
    )
    y = np.arange(8) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    section = DataSection(name="arrays", path=str(tmp_path / "a.npz"), size=(6, 7))
    images = load_dataset(section)
    assert (images.resize, load_dataset(section.model_copy(update={"size": None})).resize) == ("stretch", "none")
    ((seen, _),) = images.test.batches(8)
    own = torch.cat([prepare_image(Image.fromarray(image), (6, 7), 1, "stretch") for image in x])
    torch.testing.assert_close(seen, (own - images.mean[0]) / images.std[0], atol=1e-5, rtol=0)


def test_images_that_were_never_resized_have_one_size() -> None:
    assert prepare_image(noise(8, 6, "L"), (8, 6), 1, "none").shape == (1, 1, 8, 6)
    with pytest.raises(ValueError, match="the image has 8 x 7 pixels; expected 8 x 6"):
        prepare_image(noise(8, 7), (8, 6), 3, "none")
