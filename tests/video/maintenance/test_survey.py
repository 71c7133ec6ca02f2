from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.errors import UserError
from ost_lightning.video import VideoRecord
from ost_lightning.video.maintenance.inspection import ALL_FRAMES, inspect_video
from ost_lightning.video.maintenance.survey import survey_videos
from tests.videos import write_video


@pytest.fixture
def records(tmp_path: Path) -> list[VideoRecord]:
    """A good video, a part of it, a video that stops in the middle, a text file, and a missing file."""
    write_video(tmp_path / "good.mp4", 30, width=64, height=48)
    stops = write_video(tmp_path / "stops.avi", 60, codec="mpeg4", options={"g": "1"})
    data = bytearray(stops.read_bytes())
    data[len(data) // 3 :] = bytes(len(data) - len(data) // 3)
    stops.write_bytes(data)
    (tmp_path / "text.mp4").write_text("not a video")
    whole = [VideoRecord(tmp_path / name, 0, name) for name in ("good.mp4", "stops.avi", "text.mp4", "none.mp4")]
    return [*whole, VideoRecord(tmp_path / "good.mp4", 0, "part", 0.4, 0.8)]


def test_results_of_inspecting_one_video(records: list[VideoRecord]) -> None:
    good, stops, text, missing, part = (inspect_video(record) for record in records)
    assert (good.state, good.frames, good.rate, good.seconds) == ("ok", 30, 25.0, 1.2)
    assert (good.width, good.height, good.codec) == (64, 48, "h264")
    assert good.size == records[0].path.stat().st_size
    assert (part.state, part.frames) == ("ok", 10)
    assert stops.state == text.state == "undecodable"
    assert "not a readable video file" in text.reason
    assert (missing.state, missing.reason) == ("missing", "there is no such file")
    late = inspect_video(replace(records[4], start=5.0, end=6.0))
    assert late.state == "undecodable"
    assert "no frame between" in late.reason


@pytest.mark.parametrize("decode", [0, 1, 7, 100, ALL_FRAMES])
def test_any_number_of_frames_can_be_decoded(records: list[VideoRecord], decode: int) -> None:
    entry = inspect_video(records[0], decode)
    assert (entry.state, entry.frames, entry.decoded) == ("ok", 30, decode)


def test_one_damaged_frame_is_found_by_decoding_all(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 60, codec="mpeg4", options={"g": "1"})
    data = bytearray(video.read_bytes())
    starts = [k for k in range(len(data)) if data[k : k + 4] == b"\x00\x00\x01\xb6"]
    data[starts[20] : starts[21]] = bytes(starts[21] - starts[20])
    video.write_bytes(data)
    record = VideoRecord(video, 0, "v")
    assert inspect_video(record, decode=1).state == "ok"
    assert inspect_video(record, decode=ALL_FRAMES).state == "undecodable"


def test_an_interrupted_survey_is_resumed(records: list[VideoRecord], tmp_path: Path) -> None:
    file = tmp_path / "out" / "videos.csv"
    first = survey_videos(records, file)
    assert [entry.state for entry in first] == ["ok", "undecodable", "undecodable", "missing", "ok"]
    # the state after a kill: the last line is incomplete, two entries are missing
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 6
    file.write_text("".join(lines[:3]) + lines[3][:20])
    assert _inspected(records, file) == ["text.mp4", "none.mp4", "part"]
    assert survey_videos(records, file) == first
    assert _inspected(records, file) == ["none.mp4"]


def _inspected(records: list[VideoRecord], file: Path) -> list[str]:
    """Runs a survey and returns the ids of the records that it inspects."""
    with pytest.MonkeyPatch.context() as patch:
        seen: list[str] = []
        patch.setattr(
            "ost_lightning.video.maintenance.survey.inspect_video",
            lambda record, decode: seen.append(record.id) or inspect_video(record, decode),
        )
        survey_videos(records, file)
    return seen


def test_changed_and_insufficiently_decoded_files_are_inspected_again(
    records: list[VideoRecord], tmp_path: Path
) -> None:
    file = tmp_path / "videos.csv"
    survey_videos(records[:1], file, decode=2)
    assert _inspected(records[:1], file) == ["good.mp4"]  # 8 frames are more than 2
    assert _inspected(records[:1], file) == []
    write_video(records[0].path, 31)
    assert survey_videos(records[:1], file)[0].frames == 31


def test_other_files_are_not_overwritten(records: list[VideoRecord], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not the record of a survey"):
        survey_videos(records, tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


def test_worker_processes_give_the_same_survey(records: list[VideoRecord], tmp_path: Path) -> None:
    assert survey_videos(records, tmp_path / "a.csv", workers=1) == survey_videos(records, tmp_path / "b.csv")
