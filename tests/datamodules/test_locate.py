import os
import tarfile
from pathlib import Path

import pytest

from ost_lightning.datamodules.locate import locate
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord

LABELS = LabelSpace(("first", "second"))


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def addresses(root: Path, *paths: str, folders: tuple[str, ...] = ("",)) -> list[str]:
    records = [VideoRecord(path, 0, path) for path in paths]
    videos = locate(records, str(root), LABELS, lambda _: folders)
    return ["" if k in videos.missing else str(record.path) for k, record in enumerate(videos.records)]


def test_the_listed_name_wins_over_another_extension_and_a_file_over_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "a.avi", tmp_path / "a.mp4", tmp_path / "b.mkv", tmp_path / "b/img.jpg", tmp_path / "c/img.jpg")
    found = addresses(tmp_path, "a.avi", "b.avi", "c.avi", "a.webm", "d.avi", "b")
    assert found == [f"{tmp_path}/{name}" if name else "" for name in ("a.avi", "b.mkv", "c", "a.avi", "", "b")]


def test_dots_in_names_are_not_extensions(tmp_path: Path) -> None:
    touch(tmp_path / "Dr. No 1.5.avi", tmp_path / "Dr. Who.avi")
    assert addresses(tmp_path, "Dr. No 1.5.avi", "Dr. No 1.avi", "Dr. avi") == [f"{tmp_path}/Dr. No 1.5.avi", "", ""]


def test_folders_are_tried_in_order(tmp_path: Path) -> None:
    touch(tmp_path / "one/a.mp4", tmp_path / "two/a.mp4", tmp_path / "b.mp4")
    found = addresses(tmp_path, "a.mp4", "b.mp4", "c.mp4", folders=("two", "one", ""))
    assert found == [f"{tmp_path}/two/a.mp4", f"{tmp_path}/b.mp4", ""]
    videos = locate([VideoRecord("c.mp4", 1, "c")], str(tmp_path), LABELS, lambda _: ("two", ""))
    assert videos.tried_paths == f"two/c.mp4, c.mp4 below {tmp_path}"
    assert (len(videos.records), list(videos.found)) == (1, [])


def test_shards_are_searched(tmp_path: Path) -> None:
    touch(tmp_path / "loose/a.mp4", tmp_path / "loose/b.webm")
    with tarfile.open(tmp_path / "videos-0.tar", "w") as shard:
        shard.add(tmp_path / "loose/b.webm", "class/b.webm")
    found = addresses(tmp_path, "a.mp4", "b.mp4", "c.mp4", folders=("class", "loose"))
    assert found == [f"{tmp_path}/loose/a.mp4", f"{tmp_path}/videos-0.tar/class/b.webm", ""]


def test_absolute_paths_and_urls_are_kept(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.mp4")
    (tmp_path / "root").mkdir()
    absolute = f"{tmp_path}/elsewhere/a.mp4"
    assert addresses(tmp_path / "root", absolute, "https://host/b.mp4") == [absolute, "https://host/b.mp4"]
    assert addresses(tmp_path / "root", f"{tmp_path}/elsewhere/c.mp4") == [""]


def test_nothing_is_looked_up_at_a_url() -> None:
    videos = locate([VideoRecord("a.mp4", 0, "a")], "memory://nowhere", LABELS, lambda _: ("part", ""))
    assert (str(videos.records[0].path), videos.missing) == ("memory://nowhere/part/a.mp4", frozenset())


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist\. Set the data's `root`"):
        addresses(tmp_path / "nowhere", "a.mp4")


def test_a_number_before_the_label_may_belong_to_the_path(tmp_path: Path) -> None:
    touch(tmp_path / "take/0.jpg", tmp_path / "clip 2/0.jpg")
    records = [VideoRecord(path, 0, path, frames=frames) for path, frames in (("take", 1), ("clip", 2), ("none", 3))]
    videos = locate(records, str(tmp_path), LABELS)
    assert [(record.id, record.frames) for record in videos.records] == [("take", 1), ("clip 2", None), ("none", 3)]
    assert [str(record.path) for record in videos.found] == [f"{tmp_path}/take", f"{tmp_path}/clip 2"]
    assert videos.missing == {2}


def test_a_list_in_another_encoding_is_told_as_such(tmp_path: Path) -> None:
    touch(tmp_path / "café.mp4")
    name = os.fsdecode("café.mp4".encode("latin-1"))
    videos = locate([VideoRecord(name, 0, name)], str(tmp_path), LABELS)
    assert videos.remedy.startswith("The list is not UTF-8 text. Save it as UTF-8")
