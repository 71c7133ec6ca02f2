"""Indexing of real videos with the tiny CLIP."""

import math
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.library import (
    IndexProgress,
    IndexSettings,
    Library,
    SegmentSettings,
    SegmentTable,
    VideoSource,
    claims,
    record_sources,
)
from ost_lightning.library.known import KnownVideos
from ost_lightning.models import TemporalTransformer, VideoCLIP
from ost_lightning.recognition.timelines import StretchSettings, look_steps, stretch_spans
from ost_lightning.video import UNLABELED, VideoRecord
from tests.full_disk import disk_of, files_of_at_most
from tests.library.contents import rows
from tests.videos import damage_packets, write_video

pytest.importorskip("lance", reason="needs the extra `library`")
EXACT = SegmentSettings(precision="float32")
STRETCHES = SegmentSettings(lengths=(1.0, 2.0), stride=0.5, longest_clip=2.0, precision="float32")
_HOLD = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
spec = spec_from_file_location("claims", sys.argv[3])  # alone, because the package takes seconds to import
claims = module_from_spec(spec)
spec.loader.exec_module(claims)
with claims.Claims(Path(sys.argv[1])) as claims:
    print(claims.take(sys.argv[2]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("tiny", labels=["juggling", "running"], device="cpu")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Five short videos, the last one in a subfolder."""
    for number in range(4):
        write_video(tmp_path / f"clips/{number}.mp4", count=9 + number, seed=number)
    write_video(tmp_path / "clips/sub/4.mp4", count=13, seed=4)
    return tmp_path / "clips"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.open(tmp_path / "library", create=True)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds at 25 frames per second."""
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", count=100, seed=7)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def reasons(table: SegmentTable) -> list[str]:
    table.refresh()
    return [str(reason) for reason in table.error_dataset.to_table()["reason"].to_pylist()]


def test_short_videos_are_whole_clips_as_in_recognition(clips: Path, library: Library, recognizer: Recognizer) -> None:
    progress = library.index(files(clips), recognizer, EXACT)
    assert (progress.indexed, progress.segments, progress.remaining) == (5, 5, 0)
    for segment in library.table().segments(range(5), embeddings=True):
        read = recognizer._read(segment.video)
        assert read.frames is not None
        assert segment.embeddings is not None
        with torch.inference_mode():
            expected = recognizer.model.video_clip.encode_frames(read.frames)[0]
        torch.testing.assert_close(segment.embeddings, expected, atol=1e-5, rtol=0)
        assert segment.frame_times == pytest.approx(read.seconds)
        count = 9 + int(Path(segment.video).stem)
        assert (segment.start, segment.end, segment.duration) == (0, *[pytest.approx(count / 25)] * 2)
        assert (segment.label, segment.damaged) == (None, 0)


def test_threads_and_batches_do_not_matter(clips: Path, library: Library, recognizer: Recognizer) -> None:
    library.index(files(clips), recognizer, EXACT)
    other = Library.open(library.folder / "other", create=True)
    reports: list[IndexProgress] = []
    settings = IndexSettings(threads=3, batch_size=4, commit_seconds=0)
    other.index(files(clips), recognizer, EXACT, settings, reports.append)
    for mine, theirs in zip(rows(library.table()), rows(other.table()), strict=True):
        assert mine[:-1] == theirs[:-1]
        assert mine[-1] == pytest.approx(theirs[-1], abs=1e-5)
    assert [report.remaining for report in reports] == sorted((one.remaining for one in reports), reverse=True)
    assert reports[-1].remaining == 0
    assert reports[-1].videos_per_second == pytest.approx(5 / reports[-1].seconds)
    assert reports[-1].seconds_left == 0


def test_a_second_run_stores_only_what_is_new_or_has_changed(
    clips: Path, library: Library, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(files(clips), recognizer)
    monkeypatch.chdir(clips)
    again = library.index(["0.mp4", "./sub/../1.mp4", *files(clips)], recognizer)
    assert (again.stored, again.todo, again.indexed) == (5, 0, 0)
    before = {row[0]: row for row in rows(library.table())}
    write_video(clips / "new.mp4", count=10, seed=10)
    write_video(clips / "1.mp4", count=8, seed=11)
    progress = library.index(files(clips), recognizer)
    assert (progress.stored, progress.indexed) == (4, 2)
    after = {row[0]: row for row in rows(library.table())}
    assert len(library.table()) == len(after) == 6
    assert {Path(video).name for video, row in before.items() if after[video] != row} == {"1.mp4"}


def test_a_long_video_is_embedded_once_and_cut_into_stretches(
    long_video: Path, library: Library, recognizer: Recognizer
) -> None:
    progress = library.index([long_video], recognizer, STRETCHES)
    table, embedded = library.table(), recognizer.embed(long_video)
    spans = stretch_spans(embedded.runs(), 4.0, StretchSettings(lengths=(1.0, 2.0), stride=0.5))
    found = table.segments(range(len(table)), embeddings=True)
    assert progress.segments == len(found) == len(spans)
    assert [(one.start, one.end) for one in found] == [(a / 4, b / 4) for a, b in spans.tolist()]
    steps = look_steps(spans, 8)
    for segment, chosen in zip(found, steps, strict=True):
        assert segment.embeddings is not None
        assert torch.equal(segment.embeddings, embedded.embeddings[embedded.rows[chosen]])
        assert segment.frame_times == pytest.approx((chosen / 4).tolist())
        assert segment.duration == pytest.approx(4)
    stored = table.frames(long_video)
    assert torch.equal(stored.embeddings, embedded.embeddings)
    assert torch.equal(stored.rows, embedded.rows)
    # which a recognizer accepts in place of the video
    assert recognizer.stretch_scores(stored).evidence.equal(recognizer.stretch_scores(long_video).evidence)


def test_damaged_parts_of_a_long_video_are_left_out_and_counted(
    tmp_path: Path, library: Library, recognizer: Recognizer
) -> None:
    video = write_video(tmp_path / "long.mp4", count=100, options={"g": "10"})
    video = damage_packets(video, range(40, 60))
    library.index([video], recognizer, STRETCHES)
    table, embedded = library.table(), recognizer.embed(video)
    assert embedded.gaps
    found = table.segments(range(len(table)))
    assert {one.damaged for one in found} == {int((embedded.rows < 0).sum())}
    gap = embedded.gaps[0]
    assert not any(one.start < gap.end and (one.end or 0) > gap.start for one in found)
    assert table.frames(video).gaps == embedded.gaps


def test_an_encoder_that_relates_frames_embeds_each_stretch(long_video: Path, library: Library) -> None:
    video_clip = VideoCLIP("tiny", temporal_head=lambda width: TemporalTransformer(width, layers=1, positions=8))
    tiny = Recognizer.load("tiny", labels=["juggling"], device="cpu").model
    model = replace(tiny, video_clip=video_clip.eval())
    library.index([long_video], model, STRETCHES)
    table = library.table()
    assert table.settings.temporal_head == "TemporalTransformer"
    spans = stretch_spans([(0, 16)], 4.0, StretchSettings(lengths=(1.0, 2.0), stride=0.5))
    found = table.segments(range(len(table)), embeddings=True)
    assert [(one.start, one.end) for one in found] == [(a / 4, b / 4) for a, b in spans.tolist()]
    part = VideoSource(VideoRecord(long_video, UNLABELED, "part", found[3].start, found[3].end))
    library.index([part], model, STRETCHES)
    table.refresh()
    (clip,) = table.segments([len(table) - 1], embeddings=True)
    torch.testing.assert_close(clip.embeddings, found[3].embeddings, atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="no frames of"):
        table.frames(long_video)


def test_records_of_a_data_set_are_clips_with_labels(
    long_video: Path, library: Library, recognizer: Recognizer
) -> None:
    records = [VideoRecord(long_video, 1, "all"), VideoRecord(long_video, 0, "part", 1.0, 2.0)]
    records.append(VideoRecord(long_video, UNLABELED, "unknown", 3.0, 9.0))
    library.index(record_sources(records, ["juggling", "running"]), recognizer, STRETCHES)
    table = library.table()
    found = sorted(table.segments(range(len(table))), key=lambda one: one.video_id)
    assert [(one.video_id, one.label, one.start, one.end) for one in found] == [
        ("all", "running", 0, pytest.approx(4)),
        ("part", "juggling", 1, 2),
        ("unknown", None, 3, pytest.approx(4)),
    ]
    assert 1 <= found[1].frame_times[0] < found[1].frame_times[-1] < 2
    # the same labels are there, and another one replaces the segment
    records[1] = replace(records[1], label=1)
    progress = library.index(record_sources(records, ["juggling", "running"]), recognizer, STRETCHES)
    assert (progress.stored, progress.indexed) == (2, 1)
    table.refresh()
    assert sorted(str(one.label) for one in table.segments(range(3))) == ["None", "running", "running"]


def test_unreadable_videos_are_listed_once_and_tried_again_when_they_change(
    clips: Path, library: Library, recognizer: Recognizer
) -> None:
    (clips / "broken.mp4").write_bytes(b"not a video")
    videos = [*files(clips), clips / "missing.mp4"]
    first = library.index(videos, recognizer, settings=IndexSettings(threads=2))
    table = library.table()
    assert (first.indexed, len(first.failures), len(table)) == (5, 2, 5)
    assert sorted(reason.split(": ")[0].rpartition("/")[2] for reason in reasons(table)) == [
        "broken.mp4",
        "missing.mp4",
    ]
    second = library.index(videos, recognizer)
    # a file that doesn't exist may exist now
    assert (second.stored, second.failed, second.todo) == (5, 1, 1)
    assert library.index(videos, recognizer, settings=IndexSettings(retry=True)).todo == 2
    assert len(reasons(table)) == 2
    write_video(clips / "broken.mp4", count=10)
    third = library.index(videos, recognizer)
    assert (third.indexed, third.failed) == (1, 0)
    assert len(reasons(table)) == 1
    assert len(table) == 6


def test_a_video_that_becomes_unreadable_keeps_its_segments(
    clips: Path, library: Library, recognizer: Recognizer
) -> None:
    library.index(files(clips), recognizer)
    (clips / "0.mp4").write_bytes(b"not a video")
    assert len(library.index(files(clips), recognizer).failures) == 1
    again = library.index(files(clips), recognizer)
    assert (again.stored, again.failed, again.todo) == (4, 1, 0)
    assert len(library.table()) == 5


def test_a_folder_of_frames_has_no_times(tmp_path: Path, library: Library, recognizer: Recognizer) -> None:
    from PIL import Image

    from tests.videos import pictures

    for number, picture in enumerate(pictures(12)):
        file = tmp_path / f"frames/{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(file)
    library.index([tmp_path / "frames"], recognizer, replace(EXACT, longest_clip=0))
    (segment,) = library.table().segments([0])
    assert (segment.start, segment.end, segment.duration) == (0, None, None)
    assert all(map(math.isnan, segment.frame_times))


def test_frames_whose_segments_were_not_stored_are_deleted(
    long_video: Path, clips: Path, library: Library, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ost_lightning.library.table.append_rows", fail_at_segments)
        with pytest.raises(KeyboardInterrupt):
            library.index([long_video], recognizer, STRETCHES)
    table = library.table()
    assert len(table) == 0
    count = table.frame_dataset.count_rows()
    assert count > 0
    library.index(files(clips), recognizer, STRETCHES)
    table.refresh()
    assert table.frame_dataset.count_rows() == 0
    library.index([long_video], recognizer, STRETCHES)
    table.refresh()
    assert table.frame_dataset.count_rows() == count


def fail_at_segments(dataset: object, new: object) -> None:
    if "place" in new.schema.names:  # type: ignore[attr-defined]
        raise KeyboardInterrupt
    dataset.insert(new, mode="append")  # type: ignore[attr-defined]


def test_videos_that_a_living_process_has_claimed_are_waited_for(
    clips: Path, library: Library, recognizer: Recognizer
) -> None:
    library.index(files(clips)[:1], recognizer)
    table = library.table()
    key = VideoSource(VideoRecord(clips / "2.mp4", UNLABELED, "")).key
    command = [sys.executable, "-c", _HOLD, str(table.folder), key, str(claims.__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        remaining: list[int] = []

        def report(progress: IndexProgress) -> None:
            remaining.append(progress.remaining)
            if progress.remaining == 1:
                other.kill()

        progress = library.index(files(clips), recognizer, report=report)
    assert remaining[-1] == 0
    assert progress.indexed == 4
    assert sorted(Path(row[0]).name for row in rows(table)) == [f"{number}.mp4" for number in range(5)]


def test_what_others_have_stored_is_not_embedded_again(clips: Path, library: Library, recognizer: Recognizer) -> None:
    library.index(files(clips)[:1], recognizer)
    table = library.table()
    known = KnownVideos(table)
    library.index(files(clips), recognizer)
    sources = [VideoSource(VideoRecord(video, UNLABELED, "")) for video in files(clips)]
    assert [known.state(source.identity()) for source in sources] == ["stored", *["new"] * 4]
    assert known.refresh() == {source.key for source in sources[1:]}
    assert {known.state(source.identity()) for source in sources} == {"stored"}
    library.compact()
    known.refresh()
    assert {known.state(source.identity()) for source in sources} == {"stored"}
    assert known.refresh() == set()


def test_other_segments_are_refused_and_other_weights_are_another_table(
    clips: Path, library: Library, recognizer: Recognizer
) -> None:
    library.index(files(clips)[:2], recognizer)
    with pytest.raises(UserError, match=r"stride is 1\.0, in the table 2\.0"):
        library.index(files(clips), recognizer, SegmentSettings(stride=1.0))
    longer = replace(recognizer.model, clips=replace(recognizer.clips, frames=4))
    library.index(files(clips), longer)
    assert sorted((one.frames, len(library.table(one.digest))) for one in library.tables) == [(4, 5), (8, 2)]


def test_a_full_disk_is_reported_and_the_library_stays_readable(
    clips: Path, library: Library, recognizer: Recognizer
) -> None:
    library.index(files(clips)[:2], recognizer)
    before = rows(library.table())
    with files_of_at_most(500), pytest.raises(UserError, match=r"can't be written.*Free some space"):
        library.index(files(clips), recognizer)
    assert rows(library.table()) == before
    assert library.index(files(clips), recognizer).indexed == 3
    assert len(library.table()) == 5


def test_a_disk_that_is_really_full_loses_nothing(clips: Path, recognizer: Recognizer, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with disk_of(1 << 20, disk):
        library = Library.open(disk / "library", create=True)
        library.index(files(clips)[:2], recognizer)
        before = rows(library.table())
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        with pytest.raises(UserError, match=r"can't be written.*No space left.*Free some space"):
            library.index(files(clips), recognizer)
        assert rows(library.table()) == before
        assert Library.open(disk / "library").find("juggling", n=1).segments
        filler.unlink()
        assert library.index(files(clips), recognizer).indexed == 3
        assert len(library.table()) == 5
