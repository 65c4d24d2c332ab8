"""Data sets of one's own: whatever may be given becomes images, and what cannot be is answered in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from evo.data.datasets import DATASETS
from evo.data.fingerprint import fingerprint
from evo.data.loading import load_dataset
from evo.data.source import Images, ImageSet
from evo.data.streaming import StreamedImages
from evo.round.__main__ import main
from studies.config import DataSection, check_config
from studies.database.store import open_store
from studies.records import EvoError

pytestmark = pytest.mark.usefixtures("unpublished")


X = np.random.default_rng(0).integers(0, 256, (60, 6, 8), np.uint8)
Y = np.arange(60) % 3


class Listed(Dataset[tuple[Any, Any]]):
    """Items in a list, and what a data set may have beside."""

    def __init__(self, images: Any, labels: Any, **more: Any) -> None:
        self.items = list(zip(images, labels, strict=True))
        for name, value in more.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.items[i]


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Images]:
    """Loads what is given as the data set ``own``."""

    def loaded(made: Any, **settings: Any) -> Images:
        monkeypatch.setitem(DATASETS, "own", lambda section: made() if callable(made) else made)
        return load_dataset(DataSection(name="own", **settings))

    return loaded


def all_of(images: Images) -> tuple[Tensor, Tensor]:
    """Training, validation and test images and labels."""
    parts = [batch for part in (images.train, images.validation, images.test) for batch in part.batches(7)]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


# -- what may be given ------------------------------------------------------------------------------------------------


def test_four_arrays(own: Callable[..., Images]) -> None:
    images = own((X[:40], Y[:40], X[40:], Y[40:]))
    assert (len(images.train), len(images.validation), len(images.test)) == (32, 8, 20)
    assert (images.channels, images.size, images.class_names) == (1, (6, 8), ("0", "1", "2"))
    named = own((X[:40, ..., None], Y[:40], X[40:, ..., None], Y[40:], ["ant", "bee", "cat"]))
    assert named.class_names == ("ant", "bee", "cat")
    assert all(torch.equal(*both) for both in zip(all_of(images), all_of(named), strict=True))


def test_floats_from_0_to_1_are_the_bytes_that_they_come_from(own: Callable[..., Images]) -> None:
    whole, parts = own((X[:40], Y[:40], X[40:], Y[40:])), own((X[:40] / 255, Y[:40], X[40:] / 255, Y[40:]))
    assert parts.mean == pytest.approx(whole.mean)
    torch.testing.assert_close(all_of(parts)[0], all_of(whole)[0])


def test_an_overshoot_that_resizing_leaves_is_cut_off(own: Callable[..., Images]) -> None:
    x = X / 255
    x[:, 0, 0] = 1
    exact, over = own(Listed(list(x), Y.tolist())), own(Listed([np.where(i == 1, 1 + 1e-7, i) for i in x], Y.tolist()))
    torch.testing.assert_close(all_of(over), all_of(exact), rtol=0, atol=0)
    with pytest.raises(EvoError, match=r"item 0: its values are from 0.* to 1\.0011; expected .* floats from 0 to 1"):
        own(Listed(list(x * 1.0011), Y.tolist()))


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "arrays": lambda x: x,
    "arrays with a channel": lambda x: x[..., None],
    "pictures": Image.fromarray,
    "tensors of bytes": torch.tensor,
    "tensors of floats": lambda x: torch.tensor(x).unsqueeze(0).float() / 255,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_data_set_of_torch_may_hold_images_of_any_form(own: Callable[..., Images], form: str) -> None:
    """One data set, of whose items every sixth is a test image; the same as arrays, in memory and item by item."""
    test = np.arange(60) % 6 == 5
    expected = all_of(own((X[~test], Y[~test], X[test], Y[test])))
    items = Listed([FORMS[form](x) for x in X], [torch.tensor(y) for y in Y])
    for in_memory in (None, False):
        found = own(items, in_memory=in_memory, workers=0)
        assert isinstance(found.train, ImageSet if in_memory is None else StreamedImages)
        assert (found.channels, found.size, len(found.test)) == (1, (6, 8), 10)
        torch.testing.assert_close(all_of(found), expected)


def test_a_pair_is_for_training_and_for_the_test(own: Callable[..., Images]) -> None:
    x = torch.tensor(X).unsqueeze(1).float() / 255
    pair = TensorDataset(x[:40], torch.tensor(Y[:40])), TensorDataset(x[40:], torch.tensor(Y[40:]))
    images = own(pair)
    assert (len(images.train) + len(images.validation), len(images.test)) == (40, 20)
    assert images.test.y.tolist() == Y[40:].tolist()


def test_classes_are_called_as_the_data_set_says(own: Callable[..., Images]) -> None:
    named = Listed(X, Y.tolist(), classes=["ant", "bee", "cat"])
    assert own(named).class_names == ("ant", "bee", "cat")
    assert own((Subset(named, range(40)), Subset(named, range(40, 60)))).class_names == ("ant", "bee", "cat")
    assert own(Listed(X, Y.tolist(), classes=3)).class_names == ("0", "1", "2")


def test_labels_are_taken_from_targets_where_these_are_true(own: Callable[..., Images]) -> None:
    class Counted(Listed):
        read = 0

        def __getitem__(self, i: int) -> tuple[Any, Any]:
            self.read += 1
            return super().__getitem__(i)

    true, untrue = Counted(X, Y.tolist(), targets=Y.tolist()), Counted(X, Y.tolist(), targets=(Y[::-1]).tolist())
    assert torch.equal(own(true, size=4, in_memory=False).train.y, own(untrue, size=4, in_memory=False).train.y)
    assert true.read < untrue.read - 40  # not every item was read for its label


def test_images_of_several_sizes_are_cut_to_one(own: Callable[..., Images]) -> None:
    mixed = Listed([X[i] if i % 2 else X[i, :, :6] for i in range(60)], Y.tolist())
    for in_memory in (None, False):
        images = own(mixed, size=[4, 5], in_memory=in_memory, workers=0)
        assert images.size == (4, 5)
        for x, _ in images.train.epoch(8, ("resized_crop", "flip", "colour_jitter", "crop"), seed=1):
            assert x.shape == (8, 1, 4, 5)
    with pytest.raises(
        EvoError, match=r"item 1: it has 6x8 pixels, and item 0 has 6: images of several sizes need data"
    ):
        own(mixed)


def test_an_epoch_of_items_is_decided_by_its_seed_and_not_by_the_workers(own: Callable[..., Images]) -> None:
    items = Listed(X, Y.tolist())
    alone, helped = (
        list(own(items, in_memory=False, workers=workers).train.epoch(8, ("resized_crop", "flip"), 3))
        for workers in (0, 2)
    )
    assert len(alone) == 5
    torch.testing.assert_close(alone, helped, rtol=0, atol=0)


def test_parts_of_items_are_joined(own: Callable[..., Images]) -> None:
    images = own((Listed(X[:40], Y[:40].tolist()), Listed(X[40:], Y[40:].tolist())), in_memory=False, workers=0)
    both = images.train.joined_with(images.test)
    x, y = both.take(torch.tensor([33, 0]))
    (test, _), (train, _) = images.test.take(torch.tensor([1])), images.train.take(torch.tensor([0]))
    assert torch.equal(x, torch.cat((test, train)))
    assert y.tolist() == [images.test.y[1], images.train.y[0]]


def test_what_is_registered_anew_is_loaded_anew(own: Callable[..., Images]) -> None:
    assert own((X, Y, X, Y)).size == (6, 8)
    assert own((X[:, :4], Y, X[:, :4], Y)).size == (4, 8)


# -- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_memory", [None, False])
def test_one_image_and_one_label_matter(
    own: Callable[..., Images], monkeypatch: pytest.MonkeyPatch, in_memory: bool | None
) -> None:
    def of(x: np.ndarray, y: np.ndarray) -> str:
        monkeypatch.setitem(DATASETS, "own", lambda section: Listed(x, y.tolist()))
        config = check_config(
            {
                "space": {"name": "digits"}, "data": {"name": "digits"}, "evaluator": {"kind": "scratch"},
                "evolution": {"method": "fixed"},
            },
            "test",
        )  # fmt: skip
        return fingerprint(config.model_copy(update={"data": DataSection(name="own", in_memory=in_memory)}))

    x, y = X.copy(), Y.copy()
    x[3, 2, 1] ^= 1
    y[7] ^= 1
    assert of(X, Y) == of(X.copy(), Y.copy())
    assert len({of(X, Y), of(x, Y), of(X, y)}) == 3


# -- what cannot be ---------------------------------------------------------------------------------------------------


def fails() -> Any:
    return [][0]


class Noisy(Listed):
    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return np.random.default_rng().integers(0, 256, (6, 8), np.uint8), 0


OK = (X, Y, X, Y)
FAULTS: list[tuple[Any, str]] = [
    (None, r"'own' gives a NoneType; expected arrays \(x_train, y_train, x_test, y_test\[, classes\]\), a torch Dataset"),
    ((X, Y, X), r"gives a tuple of 3 \(ndarray, ndarray, ndarray\); expected arrays"),
    ((torch.tensor(X), Y, X, Y), "x_train is a Tensor, expected a numpy array"),
    ((X, Y, X, None), "y_test is a NoneType, expected a numpy array"),
    ((X[:, 0], Y, X, Y), r"x_train is uint8 of shape \(60, 8, 1\)|x_train is uint8 of shape \(60, 8\), expected images"),
    ((X.astype(int), Y, X, Y), r"x_train is int64 of shape \(60, 6, 8, 1\), expected images \(n, height, width"),
    ((X / 1.0, Y, X / 1.0, Y), r"the values of x_train are from 0 to 255, expected floats from 0 to 1 \(images are norm"),
    ((X * np.nan, Y, X, Y), "the values of x_train are from nan to nan, expected floats from 0 to 1"),
    ((X, Y[:50], X, Y), "60 images in x_train and 50 labels in y_train"),
    ((X, Y, X[:0], Y[:0]), "'own' has no test images"),
    ((X, Y - 1, X, Y), "y_train has the label -1; labels count from 0"),
    ((X, Y + 0.5, X, Y), r"y_train is float64 of shape \(60,\), expected whole numbers, one for each image"),
    ((X, np.stack([Y, Y], axis=1), X, Y), r"y_train is int64 of shape \(60, 2\), and its rows are not one-hot"),
    ((X, Y, X, Y, ["ant", "bee"]), r"y_train counts to 2, and there are 2 classes \(ant, bee\): labels count from 0"),
    ((X, Y, X[:, :4], Y), "training images are 6 x 8 pixels, and test images 4 x 8: give the size .* data.size"),
    ((X, Y, np.stack([X] * 3, axis=3), Y), "training images have 1 channels, and test images 3"),
    (fails, "data set 'own' cannot be made: IndexError: list index out of range"),
    (Listed([], []), "data set 'own' is empty"),
    (Listed(["cat.png"], [0]), "item 0: its image is a str; expected a PIL image, an array"),
    (Listed([np.zeros(4, np.uint8)], [0]), r"item 0: its image has the shape \(4,\); expected a PIL image"),
    (Listed([X[0].astype(np.int32)], [0]), r"item 0: its values are torch.int32; expected .* uint8, or floats from 0 to"),
    (Listed([X[0] - 300.0], [0]), "item 0: its values are from -296 to -52; expected .* uint8, or floats from 0 to 1"),
    (Listed(X, ["cat"] * 60), "item 0: its label is 'cat'; expected a whole number from 0 on"),
    ([7, 8, 9], r"item 0: TypeError: cannot unpack .*; expected \(image, label\)"),
    (Listed([X[0], np.stack([X[0]] * 3, axis=2)], [0, 0]), "item 1: it has 3 channels, and item 0 has 1"),
    (Listed([X[0], X[0] / 255], [0, 0]), "item 1: it holds torch.float32, and item 0 torch.uint8"),
    (Noisy(X, Y.tolist()), "item 0 is another image when it is read again; leave random changes to data.augment"),
    (
        (Listed(X, Y.tolist(), classes=["ant", "bee", "cat"]), Listed(X, Y.tolist(), classes=["bee", "ant", "cat"])),
        "the classes of the training images are ant, bee, cat, and those of the test images bee, ant, cat",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("made", "message"), FAULTS)
def test_what_cannot_be_used_is_answered(own: Callable[..., Images], made: Any, message: str) -> None:
    with pytest.raises(EvoError, match=message):
        own(made)


def test_an_unknown_data_set_is_answered_with_those_there_are() -> None:
    with pytest.raises(EvoError, match=r"data.name is 'owl'; allowed: arrays, cifar10, digits, fashion_mnist, images"):
        load_dataset(DataSection(name="owl"))


def test_arrays_cannot_stay_where_they_are(own: Callable[..., Images]) -> None:
    with pytest.raises(EvoError, match=r"data.in_memory = false is for data.name = 'images' or a data set of torch"):
        own(OK, in_memory=False)


# -- in a run ---------------------------------------------------------------------------------------------------------

PLUGIN = """
from torch.utils.data import Dataset
from sklearn.datasets import load_digits
from evo import dataset

class Narrow(Dataset):
    classes = ("even", "odd")

    def __init__(self):
        digits = load_digits()
        self.images, self.labels = (digits.images[:240, :, 1:7] * 15).astype("uint8"), digits.target[:240] % 2

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return self.images[place], self.labels[place]

@dataset("narrow_test")
def narrow(section):
    return Narrow()
"""


def test_a_run_on_items_is_the_same_on_one_worker_and_on_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    Path("mine.toml").write_text(
        'plugins = ["mine.py"]\n[space]\nname = "digits"\n[data]\nname = "narrow_test"\nin_memory = false\nworkers = 0\n'
        '[evaluator]\nkind = "oneshot"\nepochs = 1\n[evolution]\nmethod = "pad_nas"\n[search]\nevaluations = 8\n'
        "population = 4\n[ground_truth]\nsample = 0\n"
    )
    found = []
    for workers in ("1", "2"):
        run = ["1", "--config", "mine.toml", "--run", f"run{workers}", "--workers", workers, "--quiet"]
        assert main(run) == 0
        with open_store("sqlite:///evo.db") as store:
            begun = store.run(f"run{workers}")
            assert begun.classes == ("even", "odd")
            assert begun.space.stem.size == (8, 6)
            (row,) = store.rounds(begun)
            found.append([(p.arch, p.evaluation.accuracy, p.evaluation.nll) for p in store.proposals(row)])
    assert found[0] == found[1]
