"""What people's folders look like: each is read as its maker meant it, or answered with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evo.data.folders.part_names import role_of
from evo.data.image_folders import read_folder
from evo.data.inspection import inspect_data
from evo.data.loading import _load_cached, load_dataset
from evo.data.report import summary
from studies.config import DataSection
from studies.records import EvoError

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes folders: ``make({"train/ant": 6})`` are six images in train/ant, ``make({}, "a.txt")`` a file that is none."""

    def made(folders: dict[str, int], *files: str) -> Path:
        for folder, n in folders.items():
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            for i in range(n):
                Image.new("RGB", (8, 6), (20 * i, 9, 0)).save(tmp_path / folder / f"{i}.png")
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text("no image")
        return tmp_path

    return made


def section(root: Path, **more: Any) -> DataSection:
    _load_cached.cache_clear()
    return DataSection(name="images", path=str(root), size=8, workers=0, **more)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", "train"), ("Training", "train"), ("TRAIN", "train"), ("seg_train", "train"), ("train_images", "train"),
        ("training-set", "train"), ("train2017", "train"), ("trainset", "train"), ("val", "validation"),
        ("Valid", "validation"), ("validation", "validation"), ("dev", "validation"), ("val_set", "validation"),
        ("test", "test"), ("Testing", "test"), ("test images", "test"), ("ＴＥＳＴ", "test"), ("trains", None), ("cat", None),
        ("train station", None), ("contest", None), ("images", None), ("", None), ("valley", None),
    ],
)  # fmt: skip
def test_folders_of_parts_are_known_by_their_names(name: str, role: str | None) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "Valid", "Test"), ("training", "dev", "testing")]
)
def test_parts_are_never_classes(make: Make, names: tuple[str, ...]) -> None:
    train, validation, test = names
    root = make({f"{train}/{name}": 4 for name in ("ant", "bee")} | {f"{test}/{name}": 2 for name in ("ant", "bee")})
    found = load_dataset(section(root))
    assert found.class_names == ("ant", "bee")
    assert (len(found.train), len(found.validation), len(found.test)) == (6, 2, 4)
    make({f"{validation}/bee": 3, f"{validation}/ant": 2})
    found = load_dataset(section(root, validation_fraction=0.9))
    assert (len(found.train), len(found.validation), len(found.test)) == (8, 5, 4)
    assert found.validation.y.tolist() == [0, 0, 1, 1, 1]
    assert found.report
    assert [part.origin for part in found.report.parts.values()] == [f"{name}/" for name in names]
    assert len(load_dataset(section(root, max_images=4)).train) == 4


def test_without_a_test_folder_every_sixth_training_image_is_one(make: Make) -> None:
    root = make({"train/ant": 6, "train/bee": 6, "val/ant": 1, "val/bee": 1})
    raw = read_folder(root)
    assert [len(part) for part in raw.parts] == [10, 10, 2, 2, 2, 2]
    assert raw.origins == {"train": "train/", "validation": "val/", "test": "every sixth image"}


def test_a_class_may_be_called_like_a_part(make: Make) -> None:
    """COCO has the class ``train``."""
    assert read_folder(make({"bus": 6, "car": 6, "train": 6})).class_names == ("bus", "car", "train")


ANT_BEE = {"ant": 6, "bee": 6}
TRAIN = {"train/ant": 6, "train/bee": 6}
WRONG: list[tuple[dict[str, int], tuple[str, ...], str]] = [
    ({}, (), "no training images in class folders; expected PATH/CLASS/IMAGE"),
    ({".": 3}, (), "no training images in class folders, and 3 images in no folder; expected PATH/CLASS/IMAGE, or PATH/tr"),
    ({"ant": 3}, (), "holds one class only, 'ant': expected two or more class folders"),
    ({"photos/ant": 3, "photos/bee": 3}, (), "holds one folder only, 'photos', .* ant and bee: .* one level too deep; give"),
    ({"photos/train/ant": 3, "photos/test/ant": 3}, (), "holds one folder only, 'photos', and that holds test and train: .*"
     r"the parts, they lie one level too deep; give data\.path = '.*/photos'$"),
    ({"ant/train": 3, "ant/test": 3}, (), "the class folder 'ant' is divided into test and train; expected the parts outside"),
    ({"ant": 2, "bee": 2}, (), "4 images in all, and none for the test, which would be every sixth image: add images, or give"),
    ({"x/photos/train/ant": 3, "x/photos/train/bee": 3}, (), "holds one folder only, 'x', .* too deep; give data.path = "),
    ({"ant/train": 3, "ant/test": 3, "bee/train": 3, "bee/test": 2}, (), "'ant' is divided into test and train; expected"),
    ({"train": 3, "test": 3}, (), "test and train hold no class folders: expected one folder per class inside, such as"),
    (TRAIN | {"test": 3}, (), r"test holds no class folders, as train does: .* sort its images into class folders, or mo"),
    (TRAIN | {"Train/ant": 3}, (), "both Train and train are called like its train images: rename or move one"),
    (TRAIN | {"val/ant": 3, "valid/ant": 3}, (), "both val and valid are called like its validation images"),
    ({"val/ant": 3, "test/ant": 3}, (), "there is test and val and no folder train: rename the folder of the training"),
    (TRAIN | {"owl": 3}, (), "train is called like training images, while owl may be classes: rename train"),
    (TRAIN | {"x_test/ant": 3}, (), "x_test beside train is called like a part, .*: rename it to test, or move it elsewhere"),
    ({"train/steam": 3, "train/diesel": 3, "test tube": 3, "bus": 3}, (), "while bus and test tube may be classes: rename t"),
    ({"train/ant": 3, "test/ant": 3}, (), "train: holds one class only|train holds one class only, 'ant'"),
    (TRAIN | {"test/Ant ": 3, "test/bee": 1}, (), "test has the class 'Ant ', and the training images call it 'ant': rename"),
    (TRAIN | {"val/BEE": 3, "val/ant": 1}, (), "val has the class 'BEE', and the training images call it 'bee': rename one"),
    (TRAIN | {"test/ant": 1, "test/owl": 1}, (), "test has the class 'owl', and the training images have only ant, bee: ex"),
    (ANT_BEE, ("owl/a.heic",), r"the class folder 'owl' has no images \(1 file of other kinds: .*owl/a.heic\); images are "),
    (ANT_BEE | {"owl": 0}, (), "the class folder 'owl' has no images; images are read from .jpg"),
]  # fmt: skip


@pytest.mark.parametrize(("folders", "files", "message"), WRONG)
def test_what_is_not_where_it_belongs_is_answered(
    make: Make, folders: dict[str, int], files: tuple[str, ...], message: str
) -> None:
    with pytest.raises(EvoError, match=message) as raised:
        read_folder(make(folders, *files))
    assert "\n" not in str(raised.value)


def test_a_file_in_place_of_the_folder_and_no_folder_at_all(make: Make) -> None:
    root = make({}, "photos.zip")
    with pytest.raises(EvoError, match=r"photos\.zip', which is a file; .*: unpack it, if it is an archive"):
        read_folder(root / "photos.zip")
    with pytest.raises(EvoError, match="no such folder; expected one folder per class, images inside"):
        read_folder(root / "fotos")


def warnings(root: Path) -> list[str]:
    return list(inspect_data(section(root), "cpu").warnings)


def test_what_is_ignored_is_counted_and_told(make: Make) -> None:
    root = make(
        ANT_BEE | {".": 1, "__MACOSX/ant": 1},
        "labels.csv",
        "ant/a.heic",
        "ant/b.heic",
        "bee/.DS_Store",
        "bee/Thumbs.db",
    )
    report = inspect_data(section(root), "cpu")
    assert summary(report).endswith(
        "; ignored: 4 files of other kinds (.heic 2, .csv 1, .db 1), 1 image outside of class folders, 2 hidden files and "
        "folders"
    )
    unread, beside = report.warnings
    assert unread.startswith(f"2 files with suffixes that are not read (.heic): {root}/ant/a.heic, {root}/ant/b.heic;")
    assert beside.startswith("1 image outside of class folders, which belong to no class: ")
    assert report.parts["train"].images + report.parts["validation"].images + report.parts["test"].images == 12


def test_a_line_says_what_was_found(make: Make) -> None:
    root = make({"Train/ant": 6, "Train/bee": 9, "valid/ant": 1, "valid/bee": 2, "TEST/ant": 1, "TEST/bee": 1})
    assert summary(inspect_data(section(root), "cpu")) == (
        f"data set 'images' ({root}): 15 training images (Train/), 3 validation images (valid/), 2 test images (TEST/); 2 "
        "classes of 6 to 9 training images: ant, bee; 6 x 8 pixels, scaled and cropped to 8 x 8 (data.size), 3 channels, "
        "read into memory (data.in_memory)"
    )


def test_what_looks_wrong_is_warned_about(make: Make) -> None:
    root = make({"train/ant": 6, "train/bee": 6, "train/Bee": 1, "test/ant": 2, "test/bee": 2, "extra/ant": 3})
    found = "\n".join(warnings(root))
    assert "the folder extra beside test and train holds images and is not used" in found
    assert "the classes 'Bee' and 'bee' are taken for different ones" in found
    assert "test has no images of Bee, which the training images have" in found
    assert "no validation image is of Bee: scores say nothing about it" in found
    assert "one image only trains Bee" in found


def test_a_part_that_is_given_alone_is_warned_about(make: Make) -> None:
    root = make({"train/ant": 6, "train/bee": 6, "test/ant": 2, "test/bee": 2})
    (warning,) = warnings(root / "train")
    assert warning.startswith("data.path is the folder train, and test beside it is not used: give ")
    assert str(root) in warning


def test_inner_folders_are_told_where_all_images_lie_in_them(make: Make) -> None:
    root = make({"fold1/ant": 3, "fold1/bee": 3, "fold2/ant": 3, "fold2/owl": 3})
    assert any("such as fold1/ant, and the classes are the outer folders, fold1 and fold2" in w for w in warnings(root))


INSIDE = ("ant", "bee")
PARTS_AS_CLASSES: list[tuple[tuple[str, ...], tuple[str, ...], str]] = [
    (("trainA", "trainB", "testA", "testB"), (), "testA and trainA are .* parts, test and train, .*: move .* to test/a and tr"),
    (("cats_train", "dogs_train", "cats_test", "dogs_test"), (), "cats_test and cats_train .*: move .* test/cats and train/ca"),
    (("train_cats", "train_dogs", "test_cats", "test_dogs"), (), "test_cats and train_cats .*: move .* test/cats and train/ca"),
    (("birds-train", "birds-test"), (), "birds-test and birds-train .*: move .* test/birds and train/birds"),
    (("birds-train", "birds-val", "owls"), (), "birds-train and birds-val .*: move .* train/birds and validation/birds"),
    (("traindata", "testdata"), (), "testdata and traindata .*: rename them to test and train, with class folders inside"),
    (("traindata", "testdata"), INSIDE, "testdata and traindata .*: rename them to test and train, with class folders inside"),
    (("TrainImages", "TestImages"), INSIDE, "TestImages and TrainImages .*: rename them to test and train"),
    (("x_train", "x_test"), INSIDE, "x_test and x_train .*: rename them to test and train"),
    (("my_train", "my_test"), INSIDE, "my_test and my_train .*: rename them to test and train"),
    (("Trainingsdaten", "Testdaten"), INSIDE, "Testdaten and Trainingsdaten .*: rename them to test and train"),
    (("fold1", "fold2"), INSIDE, "fold1 and fold2 are .* and all hold the folders ant and bee, which look like the classes; .*"
     "called train, val and test, such as train/ant, .*; if fold1 and fold2 are the classes, move their images out of the"),
    (("fold_1", "fold_2"), ("0", "1"), "fold_1 and fold_2 are .* all hold the folders 0 and 1, which look like the classes"),
    (("source", "target"), ("bike", "mug"), "source and target are called like parts, and all hold the folders bike and mug"),
    (("2019", "2020"), INSIDE, "2019 and 2020 are called like parts, and all hold the folders ant and bee"),
    (("test_cats", "val_cats"), INSIDE, "test_cats and val_cats are called like parts, and all hold the folders ant and bee"),
    (("trainA", "trainB"), INSIDE, "trainA and trainB are called like parts, and all hold the folders ant and bee"),
]  # fmt: skip


@pytest.mark.parametrize(("outer", "inner", "message"), PARTS_AS_CLASSES)
def test_folders_that_must_be_parts_are_no_classes(
    make: Make, outer: tuple[str, ...], inner: tuple[str, ...], message: str
) -> None:
    root = make({f"{name}/{below}" if below else name: 6 for name in outer for below in inner or ("",)})
    with pytest.raises(EvoError, match=message):
        read_folder(root)


CLASSES: list[tuple[str, ...]] = [
    ("bus", "train"), ("beaker", "test tube"), ("Training shoes", "boots"), ("train station", "bus station"),
    ("trainer", "tester"), ("test bench", "train station"), ("dev board", "eval board"), ("test_cats", "val_cats"),
    ("a1", "a2"), ("contest", "contrain"), ("ant/2019", "ant/2020", "bee/2019", "bee/2020"),
    ("ant/1", "ant/2", "bee/1", "bee/2"),
    ("ant/images", "bee/images"), ("ant/left", "bee/left", "bee/right"), ("ant", "ant/left", "bee/left"),
]  # fmt: skip


DIVIDED: list[tuple[str, str]] = [
    ("cat dog", "cam1 cam2"), ("cat dog", "session_1 session_2"), ("cat dog", "day night"), ("cat dog", "2020 2021"),
    ("benign malignant", "40X 100X"), ("normal sick", "left right"), ("class1 class2", "01 02"), ("0 1", "1 2"),
    ("type1 type2 type3", "a b"), ("day night", "cam1 cam2"), ("test_bench train_station", "left right"),
]  # fmt: skip


@pytest.mark.parametrize(("classes", "inner"), DIVIDED)
def test_folders_may_divide_the_images_of_classes(make: Make, classes: str, inner: str) -> None:
    raw = read_folder(make({f"{name}/{below}": 4 for name in classes.split() for below in inner.split()}))
    assert raw.class_names == tuple(classes.split())
    (warning,) = raw.warnings
    assert "the classes are the outer folders" in warning
    assert "if that is meant, leave it so; if the inner ones are the classes, give each of them one folder" in warning


def test_masks_beside_images_are_told(make: Make) -> None:
    raw = read_folder(make({f"{name}/{below}": 4 for name in ("COVID", "Normal") for below in ("images", "masks")}))
    assert raw.class_names == ("COVID", "Normal")
    assert raw.warnings[1:] == (
        "images in COVID/masks and Normal/masks are read like all others: if they are masks, move them elsewhere",
    )


@pytest.mark.parametrize("names", CLASSES)
def test_a_word_alone_makes_no_part_of_a_class(make: Make, names: tuple[str, ...]) -> None:
    outer = {name.split("/")[0] for name in names}
    assert set(read_folder(make(dict.fromkeys(names, 6))).class_names) == outer


def test_a_class_whose_only_image_is_the_test_image_is_refused(make: Make) -> None:
    root = make({"ant": 5, "bee": 1, "owl": 6})
    with pytest.raises(EvoError, match="the test images have the class 'bee', of which there is no training image"):
        load_dataset(section(root))


def test_files_that_cannot_be_read_are_named_before_training(make: Make) -> None:
    root = make(ANT_BEE, "ant/9.jpg")
    (root / "bee" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(
        EvoError, match=r"2 images cannot be read: .*ant/9\.jpg \(no image .*\), .*bee/gone\.png \(No such file or dir"
    ):
        inspect_data(section(root), "cpu")


def link(root: Path, place: str, target: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(target)


PARTS = {"train/ant": 6, "train/bee": 6, "test/ant": 2, "test/bee": 2}
LINKS: list[tuple[dict[str, int], str, str, str]] = [
    (ANT_BEE, "wasp", "/nope", "/wasp is a link to '/nope', and nothing that can be read is there: put back wh"),
    (ANT_BEE, "ant/more", "/nope", "/ant/more is a link to '/nope', and nothing that can be read is there"),
    (ANT_BEE, "ant/self", "self", "/ant/self is a link to 'self', and nothing that can be read is there"),
    (ANT_BEE, "St. Bernard", "/nope", "/St. Bernard is a link to '/nope', and nothing that can be read is there"),
    (ANT_BEE, "ant/model.ckpt", "/nope", "/ant/model.ckpt is a link to '/nope', and nothing that can be read is there"),
    (TRAIN, "train/wasp", "/nope", "/train/wasp is a link to '/nope', and nothing that can be read is there"),
    ({}, "train/wasp", "/nope", "/train/wasp is a link to '/nope', and nothing that can be read is there"),
    ({}, "wasp", "/nope", "/wasp is a link to '/nope', and nothing that can be read is there"),
    (TRAIN, "test", "/nope", "/test is a link to '/nope', and nothing that can be read is there"),
    (TRAIN, "val", "/nope", "/val is a link to '/nope', and nothing that can be read is there"),
    (ANT_BEE, "ant/more", "../bee", r"/bee/0\.png and .*/ant/more/0\.png are one file \(.*/ant/more is a link to '\.\./bee'\), "
     "and of different classes, ant and bee: remove one of them, or the link"),
    (ANT_BEE, "ant/more.png", "../bee/3.png", r"/bee/3\.png and .*/ant/more\.png are one file .* classes, ant and bee"),
    (ANT_BEE, "ant/loop", "..", "/ant/loop is a link to .*, a folder that the class folder itself lies in, with images of oth"),
    (ANT_BEE, "ameise", "ant", r"/ant/0\.png and .*/ameise/0\.png are one file \(.*/ameise is a link to 'ant'\), .* classes"),
    (TRAIN, "test", "train", r"/test/ant/0\.png and .*/train/ant/0\.png are one file \(.*/test is a link to 'train'\), and of "
     "different parts, train and test: remove"),
    (PARTS, "val", "test", r"/test/ant/0\.png and .*/val/ant/0\.png are one file .* parts, validation and test: remove"),
    (PARTS, "test/bee/9.png", "../../train/bee/0.png", r"/test/bee/9\.png and .*/train/bee/0\.png are one file .* parts"),
]  # fmt: skip


@pytest.mark.parametrize(("folders", "place", "target", "message"), LINKS)
def test_a_link_makes_no_image_count_twice_and_drops_none(
    make: Make, folders: dict[str, int], place: str, target: str, message: str
) -> None:
    root = make(folders)
    link(root, place, target)
    with pytest.raises(EvoError, match=message):
        read_folder(root)


def test_links_to_elsewhere_are_followed(make: Make) -> None:
    root = make({"kept/ant": 6, "kept/more": 2, "kept/bee": 6, "photos": 0})
    link(root, "photos/ant", "../kept/ant")
    link(root, "photos/bee", str(root / "kept" / "bee"))
    link(root, "kept/ant/more", "../more")
    link(root, "photos/.#lock", "user@host:1")
    assert read_folder(root / "photos").class_names == ("ant", "bee")
    assert len(read_folder(root / "photos").y_train) == 12  # of 14 images


def test_an_image_that_a_link_brings_into_its_class_again_is_warned_about(make: Make) -> None:
    root = make(ANT_BEE)
    link(root, "ant/9.png", "0.png")
    (warning,) = read_folder(root).warnings
    assert warning == f"1 image that links bring into a class twice: {root}/ant/9.png; remove the links"


def test_a_broken_link_beside_the_data_is_nobody_s_business(make: Make) -> None:
    root = make({"photos/train/ant": 6, "photos/train/bee": 6, "photos/other": 0})
    link(root, "gone", "/nope")
    link(root, "photos/other/gone", "/nope")
    assert read_folder(root / "photos").class_names == ("ant", "bee")
    assert read_folder(root / "photos" / "train").class_names == ("ant", "bee")


@pytest.mark.parametrize(
    ("folders", "place"),
    [(ANT_BEE, "model.ckpt"), (ANT_BEE, "README"), (ANT_BEE, "latest"), (TRAIN, "train/best.pt"), (TRAIN, "wasp")],
)
def test_a_broken_link_that_has_nothing_to_do_with_images_is_told(
    make: Make, folders: dict[str, int], place: str
) -> None:
    root = make(folders)
    link(root, place, "/nope")
    report = inspect_data(section(root), "cpu")
    assert report.class_names == ("ant", "bee")
    assert report.warnings == (
        f"1 link with nothing behind: {root}/{place}; put back what should be there, if it belongs to the data set",
    )
    assert summary(report).endswith("; ignored: 1 broken link")


def test_a_link_to_a_part_beside_it_is_not_taken_for_classes(make: Make) -> None:
    root = make(TRAIN)
    link(root, "latest", "train")
    link(root, "ants", "train/ant")
    raw = read_folder(root)
    assert (raw.class_names, raw.warnings, raw.ignored) == (("ant", "bee"), (), ("2 folders (ants, latest)",))


@pytest.mark.parametrize(("name", "role"), [("test.zip", "test"), ("Val.tar.gz", "validation"), ("test", "test")])
def test_a_file_that_is_called_like_a_missing_part_is_warned_about(make: Make, name: str, role: str) -> None:
    root = make(TRAIN, name)
    (warning,) = read_folder(root).warnings
    assert (
        warning
        == f"the file {root}/{name} is called like {role} images and is not read: unpack it, or move it elsewhere"
    )


def test_files_beside_a_part_that_is_there_are_not_warned_about(make: Make) -> None:
    assert read_folder(make(PARTS, "test.zip", "train.csv", "val.txt", "README")).warnings == ()


def test_images_without_a_suffix_are_warned_about_and_so_are_many_files(make: Make) -> None:
    root = make(ANT_BEE, "ant/notes", "LICENSE")
    assert read_folder(root).warnings == ()
    (root / "ant" / "0.png").rename(root / "ant" / "0")
    (warning,) = read_folder(root).warnings
    assert warning.startswith(
        f"3 files without a suffix, which are not read (some are images, such as {root}/ant/0): images are read from .jpg"
    )
    (root / "ant" / "0").unlink()
    make({}, *(f"bee/{i}" for i in range(9)))
    (warning,) = read_folder(root).warnings
    assert warning.startswith("11 files without a suffix, which are not read (such as ")


def test_a_link_to_a_folder_above_has_no_end_and_is_not_followed(make: Make) -> None:
    root = make(ANT_BEE)
    (root / "ant" / "again").symlink_to(root / "ant")
    assert len(read_folder(root).y_train) == 10


def test_images_lie_in_the_order_of_torchvision_s_image_folder(make: Make) -> None:
    from spaces import torchvision_shim

    root = make({"b": 2, "b/z": 2, "b/z-1": 1, "b/z/y": 1, "B": 3, "a c": 3})
    folder = torchvision_shim.torchvision.datasets.ImageFolder(str(root))
    raw = read_folder(root)
    paths = [str(path) for part in (raw.x_train, raw.x_test) for path in part.paths]  # type: ignore[union-attr]
    labels = [*raw.y_train.tolist(), *raw.y_test.tolist()]
    assert raw.class_names == tuple(folder.classes)
    assert sorted(zip(paths, labels, strict=True)) == sorted(folder.samples)
    assert [path for path in paths if path in raw.x_train.paths] == [  # type: ignore[union-attr]
        path for i, (path, _) in enumerate(folder.samples) if i % 6 != 5
    ]


def test_a_reading_process_names_the_file_in_a_line(make: Make) -> None:
    root = make(ANT_BEE, "ant/9.jpg")
    (root / "ant" / "9.jpg").unlink()
    images = load_dataset(section(root, in_memory=False).model_copy(update={"workers": 1}))
    for path in (root / "ant").iterdir():
        path.write_text("no image any more")
    with pytest.raises(EvoError, match=r"^/.*/ant/\d\.png cannot be read as an image \(.*\): replace or remove it$"):
        list(images.train.epoch(4, (), 0))
