import io
import os
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition import find_videos, require_a_source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with videos, frames of a video, and other files."""
    for name in (
        "clip 10.mp4",
        "clip 2.MP4",
        "notes.txt",
        ".hidden.mp4",
        "cover.jpg",
        "deep/er/b.mkv",
        "frames/1.jpg",
        "frames/2.jpg",
        "empty/notes.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_searched_in_natural_order(folder: Path) -> None:
    found = [os.path.relpath(video, folder) for video in find_videos([folder])]
    assert found == ["clip 2.MP4", "clip 10.mp4", "deep/er/b.mkv", "frames"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.mp4", ["clip 10.mp4"]),
        ("**/*.mkv", ["deep/er/b.mkv"]),
        ("clip *", ["clip 2.MP4", "clip 10.mp4"]),
        ("d*", ["deep/er/b.mkv"]),
        ("clip 1[0-9].mp4", ["clip 10.mp4"]),
    ],
)
def test_patterns(folder: Path, pattern: str, expected: list[str]) -> None:
    assert list(find_videos([pattern])) == expected


def test_a_file_with_a_pattern_character_is_a_file(folder: Path) -> None:
    (folder / "what?.mp4").touch()
    assert list(find_videos(["what?.mp4"])) == ["what?.mp4"]


def test_every_video_comes_once(folder: Path) -> None:
    assert list(find_videos(["clip 10.mp4", "clip*.mp4", "clip 10.mp4"])) == ["clip 10.mp4"]


def test_lines_of_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a b.mp4\r\n\nhttps://host/c.mp4\n"))
    assert list(find_videos(["-"])) == ["a b.mp4", "https://host/c.mp4"]


def test_urls_are_listed_by_their_file_system(folder: Path) -> None:
    pattern = f"file://{folder}/*.mp4"
    assert list(find_videos([pattern])) == [f"file://{folder}/clip 10.mp4"]
    assert list(find_videos(["https://host/a.mp4"])) == ["https://host/a.mp4"]


@pytest.mark.parametrize("source", ["empty", "*.mov"])
def test_nothing_to_recognize_is_an_error(folder: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"contains no videos|No video matches"):
        list(find_videos([source]))


def test_missing_files_are_left_to_the_reader(folder: Path) -> None:
    assert list(find_videos(["missing.mp4"])) == ["missing.mp4"]


def test_at_least_one_source_must_exist(folder: Path) -> None:
    for sources in (["missing.mp4", "."], ["-"], ["*.mov"], ["https://host/a.mp4"], []):
        require_a_source(sources)
    with pytest.raises(UserError, match=r"There is no file or folder missing\.mp4: name"):
        require_a_source(["missing.mp4"])
    with pytest.raises(UserError, match=r"missing\.mp4 \(nor any of the others\)"):
        require_a_source(["missing.mp4", "nor this"])
