"""Choice of a format by suffix or name, and of one file or a folder."""

from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.recognition.timelines import save_timeline, timeline_format
from ost_lightning.recognition.timelines.exports import formats
from tests.recognition.timelines.exports.examples import empty, ordinary


@pytest.mark.parametrize(
    ("output", "format", "chosen"),
    [
        ("x.json", None, "json"),
        ("x.VTT", None, "webvtt"),
        ("x.eaf", None, "elan"),
        ("x.svg", None, "picture"),
        ("x.mp4", None, "video"),
        ("x.xml", None, "label_studio_configuration"),
        ("x.json", "fiftyone", "fiftyone"),
        ("folder", "srt", "srt"),
    ],
)
def test_the_suffix_or_the_name_chooses(output: str, format: str | None, chosen: str) -> None:
    assert timeline_format(Path(output), format) == chosen


@pytest.mark.parametrize(
    ("output", "format", "message"),
    [
        ("x.txt", None, r"unknown suffix \.txt: choose one of \.json, \.csv"),
        ("x", None, "has no suffix"),
        ("x.json", "coco", "no format 'coco' for timelines: choose one of json, csv"),
        ("x.json", "srt", r"not a file of the format srt: give it the suffix \.srt"),
    ],
)
def test_others_are_refused_before_anything_is_computed(output: str, format: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        timeline_format(Path(output), format)


def test_pictures_need_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "can_draw", lambda: False)
    with pytest.raises(UserError, match="need matplotlib: install it with"):
        timeline_format(Path("x.png"))


def test_several_videos_are_several_files_of_a_folder(tmp_path: Path) -> None:
    videos = [ordinary("a/x.mp4"), empty("b/y.z.webm")]
    files = save_timeline(videos, tmp_path / "found", "webvtt")
    assert files == [tmp_path / "found/x.vtt", tmp_path / "found/y.z.vtt"]
    assert all(file.read_text().startswith("WEBVTT") for file in files)
    with pytest.raises(UserError, match=r"about one video, but there are 2: name a folder instead of .*x\.vtt"):
        save_timeline(videos, tmp_path / "x.vtt")
    assert save_timeline(videos, tmp_path, "csv") == [tmp_path / "x.csv", tmp_path / "y.z.csv"]


def test_a_video_is_never_replaced_by_its_labels(tmp_path: Path) -> None:
    video = tmp_path / "x.mp4"
    video.write_bytes(b"precious")
    (tmp_path / "link.mp4").symlink_to(video)
    for output in (video, tmp_path / "link.mp4"):
        with pytest.raises(UserError, match="is the video itself"):
            save_timeline(ordinary(str(video)), output)
    with pytest.raises(UserError, match="is the video itself"):
        save_timeline(ordinary(str(video)), tmp_path, "video")
    assert video.read_bytes() == b"precious"


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"old")
    with pytest.raises(UserError, match="no such file"):
        save_timeline(ordinary(str(tmp_path / "missing.mp4")), tmp_path / "x.mp4")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.mp4", b"old")]
