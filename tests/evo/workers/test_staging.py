"""Work that travels finds its files on the other side: where they lie, or where they were sent."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from evo.data import paths
from evo.data.loading import _load_cached
from evo.workers import staging
from evo.workers.staging import MissingFilesError, deserialize, serialize, store_file
from studies.config import DataSection, TabularSection
from studies.records import EvoError
from tests.evo.workers.worker_tasks import Reader


@pytest.fixture(autouse=True)
def nothing_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_redirected", {})
    monkeypatch.setattr(staging, "VISIBLE_WITHIN", 0.0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the work comes from: a file of weights and a data set, both named by relative paths."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("weights").write_text("heavy")
    x, y = np.full((10, 8, 8), 9, np.uint8), np.arange(10) % 2
    np.savez("images.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where the work goes to."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def arrays(name: str = "images.npz") -> DataSection:
    return DataSection(name="arrays", path=name)


def test_work_without_files_is_what_it_was(there: Path) -> None:
    assert deserialize(serialize(sorted), there) is sorted


def test_files_are_taken_where_they_lie(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = serialize(Reader(Path("weights"), arrays()))
    monkeypatch.chdir(there)
    work = deserialize(parcel, there / "received")
    assert work.path == here / "weights"
    assert work([1]) == [("heavy", 8)]
    assert not (there / "received").exists()


def test_files_that_are_not_there_are_asked_for_once(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parcel = serialize(Reader(Path("weights"), arrays()))
    content = {digest: parcel.find_file(digest).read_bytes() for place in parcel.paths for _, digest in place.files}
    assert set(content) == {sha256(b"heavy").hexdigest()}
    here.rename(here.with_name("gone"))
    monkeypatch.chdir(there)
    with pytest.raises(MissingFilesError) as missing:
        deserialize(parcel, there / "received")
    assert len(missing.value.digests) == 2
    for digest, name in zip(missing.value.digests, ("weights", "images.npz"), strict=True):
        store_file((here.with_name("gone") / name).read_bytes(), digest, there / "received")
    _load_cached.cache_clear()
    work = deserialize(parcel, there / "received")
    assert work([1]) == [("heavy", 8)]
    assert work.path.is_relative_to(there)
    assert work.data == arrays()


def test_another_file_at_the_same_place_is_not_taken(here: Path, there: Path) -> None:
    parcel = serialize(Path("weights"))
    (here / "weights").write_text("light")
    with pytest.raises(MissingFilesError):
        deserialize(parcel, there)
    store_file(b"heavy", sha256(b"heavy").hexdigest(), there)
    assert deserialize(parcel, there).read_text() == "heavy"


def test_a_worker_may_have_the_data_in_a_folder_of_its_own(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = serialize(arrays())
    monkeypatch.chdir(there)
    (here / "images.npz").rename(there / "images.npz")
    monkeypatch.setenv("EVO_DATA", str(there))
    deserialize(parcel, there / "received")
    assert paths.candidate_paths("images.npz") == [there / "images.npz"]


def test_a_data_set_of_several_files_keeps_their_names(here: Path, there: Path) -> None:
    folder = here / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in ("batches.meta", "data_batch_1"):
        (folder / name).write_text(name)
    parcel = serialize(DataSection(name="cifar10"))
    content = {sha256(name.encode()).hexdigest(): name.encode() for name in ("batches.meta", "data_batch_1")}
    (here / "data").rename(here / "gone")
    for digest, found in content.items():
        store_file(found, digest, there)
    deserialize(parcel, there)
    moved = paths.candidate_paths("data")[0]
    assert moved.is_relative_to(there)
    assert (moved / "cifar-10-batches-py" / "data_batch_1").read_text() == "data_batch_1"


def test_a_table_travels_with_its_name(here: Path, there: Path) -> None:
    Path("scores.csv.gz").write_bytes(b"packed")
    parcel = serialize(TabularSection(path="scores.csv.gz"))
    content = Path("scores.csv.gz").read_bytes()
    Path("scores.csv.gz").unlink()
    store_file(content, sha256(content).hexdigest(), there)
    deserialize(parcel, there)
    assert paths.candidate_paths("scores.csv.gz")[0].name == "scores.csv.gz"


def test_the_file_of_a_data_set_of_one_s_own_travels(here: Path, there: Path) -> None:
    parcel = serialize(DataSection(name="own", path="images.npz"))
    content = (here / "images.npz").read_bytes()
    (here / "images.npz").unlink()
    store_file(content, sha256(content).hexdigest(), there)
    deserialize(parcel, there)
    assert paths.candidate_paths("images.npz")[0].read_bytes() == content
    assert serialize(DataSection(name="own")).settings_paths == ()


def test_settings_without_files_name_nothing(there: Path) -> None:
    assert serialize((DataSection(), TabularSection(path="no/such.csv"))).settings_paths == ()


def test_a_folder_is_made_here_and_must_be_seen_there(here: Path, there: Path) -> None:
    parcel = serialize(Path("runs/digits"))
    assert deserialize(parcel, there) == here / "runs" / "digits"
    (here / "runs").rename(here / "gone")
    with pytest.raises(EvoError, match=r"does not see the folder .*/runs/digits: put it on storage that all workers"):
        deserialize(parcel, there)


def test_photographs_are_never_sent(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("photos").mkdir()
    parcel = serialize(DataSection(name="images", path="photos"))
    deserialize(parcel, there)
    assert paths.candidate_paths("photos") == [here / "photos"]
    (here / "photos").rename(here / "gone")
    paths._redirected.clear()
    monkeypatch.setenv("EVO_DATA", str(there))  # another folder of photographs, who knows
    with pytest.raises(EvoError, match="does not see the folder .*/photos"):
        deserialize(parcel, there)


def test_weights_that_have_vanished_are_told(here: Path) -> None:
    with pytest.raises(EvoError, match=r"round-01\.safetensors is missing"):
        serialize(Path("round-01.safetensors"))


def test_a_file_that_was_sent_is_whole_or_not_there(here: Path, there: Path) -> None:
    parcel = serialize(Path("weights"))
    Path("weights").unlink()
    store_file(b"heavy", sha256(b"heavy").hexdigest(), there)
    assert deserialize(parcel, there).read_text() == "heavy"
    assert not [path.name for path in there.iterdir() if "draft" in path.name]
