"""Lists of images: read as they are meant, or answered with the line and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evo.data.fingerprint import hash_images
from evo.data.inspection import inspect_data
from studies.config import DataSection
from tests.evo.data.layouts.examples import NAMES, encoded, load, picture, pixels, refused, shown

List = Callable[..., Path]


@pytest.fixture
def listed(tmp_path: Path) -> List:
    """Writes 36 pictures in one folder and a list of them; what each line says may be changed."""
    (tmp_path / "all").mkdir()
    for i in range(36):
        (tmp_path / f"all/{i}.png").write_bytes(encoded(i))

    def written(
        header: str = "path,label,split",
        lines: Sequence[str] | None = None,
        encoding: str = "utf-8",
        name: str = "list.csv",
    ) -> Path:
        usual = [f"all/{i}.png,{NAMES[i % 3]},{('train', 'train', 'val', 'test')[i // 9]}" for i in range(36)]
        file = tmp_path / name
        file.write_text("\n".join([header, *(usual if lines is None else lines)]) + "\n", encoding=encoding)
        return file

    return written


def numbered(count: int = 36) -> dict[str, list[tuple[bytes, str]]]:
    """What is expected of the usual list."""
    parts: dict[str, list[tuple[bytes, str]]] = {"train": [], "validation": [], "test": []}
    for i in range(count):
        parts[("train", "train", "validation", "test")[i // 9]].append((pixels(i), NAMES[i % 3]))
    return {part: sorted(found) for part, found in parts.items()}


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_list_says_path_label_and_split(listed: List, in_memory: bool) -> None:
    images = load(listed(), in_memory=in_memory)
    assert images.class_names == NAMES
    assert shown(images) == numbered()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_encodings_and_delimiters_are_told_by_the_file(listed: List, encoding: str, mark: str) -> None:
    lines = [
        f'"all/{i}.png"{mark} {NAMES[i % 3]} {mark}{("Train", "train", "valid", "TEST")[i // 9]}' for i in range(36)
    ]
    file = listed(f"Path{mark}LABEL{mark}Split", [line + "\r" for line in lines], encoding)
    assert shown(load(file)) == numbered()


def test_without_a_split_every_sixth_image_is_a_test_image(listed: List) -> None:
    images = load(listed("label,other,path", [f"{i % 3},x,all/{i}.png" for i in range(36)]))
    assert images.class_names == ("0", "1", "2")
    assert sorted(y for _, y in shown(images)["test"]) == ["2"] * 6  # images 5, 11, ...
    assert images.report is not None
    assert images.report.parts["test"].origin == "every sixth image"


def test_numbers_are_in_the_order_of_numbers(listed: List) -> None:
    lines = [f"all/{i}.png,{(2, 10, 1)[i % 3]}{'.0' * (i % 2)}" for i in range(36)]
    assert load(listed("path,label", lines)).class_names == ("1", "2", "10")


def test_images_without_labels_need_no_column(listed: List) -> None:
    file = listed("path", [f"all/{i}.png" for i in range(36)])
    refused(file, r"no column label, found path; .* images without labels: data.labels = false")
    assert load(file, labels=False).class_names == ()


def test_what_a_list_says_counts_for_the_fingerprint(listed: List) -> None:
    from evo.data.fingerprint import forget_data

    def digest(file: Path) -> str:
        forget_data()
        return hash_images(DataSection(name="images", path=str(file), size=8))

    first = digest(listed())
    assert digest(listed(name="other.csv")) == first
    lines = [f"all/{i}.png,{NAMES[i // 3 % 3]},train" for i in range(36)]
    assert digest(listed(lines=lines)) != first


@pytest.mark.parametrize(
    ("header", "change", "message"),
    [
        ("file,label,split", "", r"there is no column path, found file, label, split; expected a first line with the names of"),
        ("path,class,split", "", r"there is no column label, found path, class, split"),
        ("path,path,label", "", r"there are 2 columns path: remove or rename all but one"),
        (None, "all/0.png,ant", r"line 2: 2 fields, and the first line has 3: put quotes around fields"),
        (None, ",ant,train", r"line 2: the path is empty"),
        (None, "all/0.png,,train", r"line 2 \(all/0.png\): it has no label \(''\); expected the name of a class"),
        (None, "all/0.png,NaN,train", r"line 2 \(all/0.png\): it has no label \('NaN'\)"),
        (None, "all/0.png,0.5,train", r"its label is '0.5'; expected the name of a class, or a whole number"),
        (None, 'all/0.png,"[1, 2]",train', r"its label is '\[1, 2\]'; expected the name of a class, or a whole number"),
        (None, "all/0.png,-1,train", r"its label is -1, and numbers of classes are not below 0"),
        (None, "all/0.png,3,train", r"some labels are names, such as 'bee', and some are numbers, such as 3"),
        (None, "all/0.png,ant,fold1", r"line 2: the split is 'fold1'; expected train, val or test"),
        (None, "all/99.png,ant,train", r"1 image of 36 not there: all/99.png \(line 2\)"),
        (None, "all\\0.png,ant,train", r"not there: .*folders are divided by / here"),
        (None, "../0.png,ant,train", r"line 2: ../0.png leads out of the folder of the list"),
        (None, "all/../../0.png,ant,train", r"leads out of the folder of the list"),
        (None, "/etc/0.png,ant,train", r"leads out of the folder of the list"),
        (None, "all/0.txt,ant,train", r"line 2: all/0.txt is called like no image; images are read from .jpg"),
        (None, "all/1.png,ant,train", r"lines 2 and 3 are of one file, all/1.png, with different labels, ant and bee"),
        (None, "all/./1.png,bee,test", r"lines 2 and 3 are of one file, all/1.png, with different splits, test and train"),
        (None, "all/0.png,dog,test", r"test images have the class 'dog', and the classes are ant, bee, cat"),
        (None, '"all/0.png"x,ant,train', r"line 2: this is no line of a csv file"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(listed: List, header: str | None, change: str, message: str) -> None:
    lines = listed().read_text().splitlines()
    lines[:2] = [header or lines[0], change or lines[1]]
    refused(listed(lines[0], lines[1:]), message)


def test_other_files_are_refused(listed: List, tmp_path: Path) -> None:
    refused(listed(lines=[]), r"it names no images")
    refused(listed(header="", lines=[]), r"there is no column path and no column label, found nothing")
    refused(listed(lines=["all/0.png,ant,test"]), r"no training images, all are called test")
    file = listed()
    file.write_bytes(b"path,label\nall/0.png,\xe4\n")
    refused(file, r"line 2: the text is no UTF-8 \(byte 0xe4\): save the list as UTF-8")


def test_lines_that_are_there_twice_are_left_out_and_warned_about(listed: List) -> None:
    lines = listed().read_text().splitlines()[1:]
    images = load(listed(lines=[*lines, lines[0], lines[4]]))
    assert shown(images) == numbered()
    assert images.report is not None
    assert images.report.warnings == (
        "2 lines of files that earlier lines name, which are left out: all/0.png (line 38), all/4.png (line 39)",
    )


def test_damaged_images_are_refused_by_their_names(listed: List, tmp_path: Path) -> None:
    (tmp_path / "all/3.png").write_bytes(encoded(3)[:60])
    with pytest.raises(Exception, match=r"1 image cannot be read: .*all/3.png"):
        inspect_data(DataSection(name="images", path=str(listed()), size=8), "cpu")


def test_grey_is_seen_in_one_channel_where_that_is_asked_for(listed: List, tmp_path: Path) -> None:
    for i in range(36):
        (tmp_path / f"all/{i}.png").write_bytes(encoded(i, "L"))
    assert load(listed()).channels == 3
    images = load(listed(), channels=1)
    assert images.channels == 1
    assert shown(images)["test"] == sorted((pixels(i, "L"), NAMES[i % 3]) for i in range(27, 36))
    picture(0).save(tmp_path / "all/0.png")
    assert load(listed(), channels=1).channels == 1
