"""Tables of a library: what is stored comes back, also after changes and removals."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ost_lightning.errors import NonFiniteError, UserError
from ost_lightning.library import (
    IndexedSource,
    Library,
    NewFrames,
    NewSegment,
    SegmentSettings,
    SegmentTable,
    TableSettings,
)
from ost_lightning.library.segments import Failure
from ost_lightning.library.video_names import VideoNames
from ost_lightning.recognition.timelines import EmbeddedVideo, Gap

pytest.importorskip("lance", reason="needs the extra `library`")

Make = Callable[..., list[NewSegment]]


def videos(table: SegmentTable) -> list[str]:
    return [segment.video_id for segment in table.segments(range(len(table)))]


def test_segments_come_back_as_they_were_stored(table: SegmentTable, new_segments: Make) -> None:
    stored = [*new_segments("a", 3, label="surfing"), *new_segments("b")]
    table.append(stored)
    found = table.segments(range(4), embeddings=True)
    for row, (mine, theirs) in enumerate(zip(stored, found, strict=True)):
        assert (theirs.row, theirs.video, theirs.video_id) == (row, mine.source.video, mine.source.video_id)
        assert (theirs.start, theirs.end, theirs.duration) == (mine.start, mine.end, mine.duration)
        assert (theirs.label, theirs.frame_times) == (mine.source.label, mine.frame_times)
        assert theirs.embeddings is not None
        assert torch.equal(theirs.embeddings, mine.embeddings)
    assert table.segments([2, 0])[0].start == 4.0
    with pytest.raises(IndexError, match="0 to 4 of a table with 4"):
        table.segments([0, 4])


def test_scans_give_all_rows_in_order(table: SegmentTable, new_segments: Make) -> None:
    stored = [segment for k in range(5) for segment in new_segments(f"video {k}", 2)]
    for first in range(0, 10, 2):
        table.append(stored[first : first + 2])
    expected = torch.stack([segment.embeddings for segment in stored])
    batches = list(table.batches(4))
    assert [batch.rows for batch in batches] == [range(4), range(4, 8), range(8, 10)]
    assert torch.equal(torch.cat([batch.embeddings for batch in batches]), expected)
    means = torch.cat([batch.means for batch in table.means(3)])
    torch.testing.assert_close(means, expected.mean(1))


def test_a_scan_returns_freed_memory(table: SegmentTable, new_segments: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    table.append(new_segments("video", 10))
    returned: list[None] = []
    monkeypatch.setattr("ost_lightning.library.table.return_free_memory", lambda: returned.append(None))
    size = table.settings.frames * table.settings.width * 4
    monkeypatch.setattr("ost_lightning.library.table._RETURNED_BYTES", 4 * size)
    assert len(list(table.batches(2))) == 5
    assert len(returned) == 3  # before the first row, after the fourth and the eighth


def test_the_size_of_batches_is_bounded_in_bytes(
    table: SegmentTable, new_segments: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.append(new_segments("video", 10))
    row = table.settings.frames * table.settings.width * 4
    monkeypatch.setattr("ost_lightning.library.table._BATCH_BYTES", 3 * row + 1)
    assert [len(batch.rows) for batch in table.batches()] == [3, 3, 3, 1]
    monkeypatch.setattr("ost_lightning.library.table._BATCH_BYTES", row - 1)
    assert [len(batch.rows) for batch in table.batches()] == [1] * 10


def test_half_precision_is_rounded_once(tmp_path: Path, settings: TableSettings, new_segments: Make) -> None:
    half = replace(settings, segments=SegmentSettings(precision="float16"))
    table = Library.open(tmp_path / "half", create=True).create_table(half)
    (segment,) = new_segments("a")
    table.append([segment])
    (batch,), (means,) = table.batches(), table.means()
    assert torch.equal(batch.embeddings[0], segment.embeddings.half())
    assert torch.equal(means.means[0], segment.embeddings.half().float().mean(0))


def test_a_video_without_times(table: SegmentTable, new_segments: Make) -> None:
    (segment,) = new_segments("a")
    table.append([NewSegment(segment.source, 0, 0.0, None, None, (), segment.embeddings)])
    (found,) = table.segments([0])
    assert (found.end, found.duration) == (None, None)
    assert all(map(math.isnan, found.frame_times))


def test_names_that_are_not_utf8(table: SegmentTable, new_segments: Make) -> None:
    (segment,) = new_segments("a")
    source = IndexedSource("0" * 16, "/v/caf\udce9.mp4", "caf\udce9", "", "日本 🏄")
    table.append([NewSegment(source, 0, 0.0, 1.0, 1.0, (), segment.embeddings)])
    (found,) = table.segments([0])
    assert (found.video, found.video_id, found.label) == ("/v/caf\udce9.mp4", "caf\udce9", "日本 🏄")
    assert table.remove(VideoNames(["/v/caf\udce9.mp4"])) == 1


def test_a_table_shows_what_others_have_written_only_after_a_refresh(table: SegmentTable, new_segments: Make) -> None:
    other = SegmentTable(table.folder)
    other.append(new_segments("a"))
    assert (len(table), len(other)) == (0, 1)
    assert table.refresh()
    assert len(table) == 1
    assert not table.refresh()


def test_segments_of_a_changed_video_are_replaced_in_one_commit(table: SegmentTable, new_segments: Make) -> None:
    table.append([*new_segments("a", 3), *new_segments("b", 2)])
    before = table.dataset.version
    (key,) = {segment.source.key for segment in new_segments("a")}
    table.append([*new_segments("a", 2, "changed"), *new_segments("c")], changed=[key])
    assert table.dataset.version == before + 1
    found = table.segments(range(len(table)))
    assert sorted((one.video_id, one.start, one.video_digest) for one in found) == [
        ("a", 0.0, "changed"),
        ("a", 2.0, "changed"),
        ("b", 0.0, "a"),
        ("b", 2.0, "a"),
        ("c", 0.0, "a"),
    ]


def test_videos_are_removed_by_path_folder_pattern_and_name(table: SegmentTable, new_segments: Make) -> None:
    table.append([segment for name in ("a", "b", "x/c", "x/d", "y1", "y2") for segment in new_segments(name, 2)])
    library = Library.open(table.folder.parents[1])
    with pytest.raises(UserError, match=r"no video /videos/z\.mp4"):
        library.remove(["/videos/a.mp4", "/videos/z.mp4"])
    assert library.remove(["/videos/a.mp4", "b"]) == 4
    assert library.remove(["/videos/x/"]) == 4
    assert library.remove(["/videos/y[1]*"]) == 2
    table.refresh()
    assert videos(table) == ["y2", "y2"]
    assert library.compact() > 0
    assert videos(SegmentTable(table.folder)) == ["y2", "y2"]


def test_a_video_is_removed_from_all_tables_that_have_it(
    table: SegmentTable, settings: TableSettings, new_segments: Make
) -> None:
    library = Library.open(table.folder.parents[1])
    other = library.create_table(replace(settings, digest="f" * 16))
    table.append([*new_segments("a"), *new_segments("b")])
    other.append(new_segments("a"), failures=[Failure(new_segments("c")[0].source, "unreadable")])
    assert library.remove(["a", "c"]) == 2
    table.refresh()
    other.refresh()
    assert (len(table), len(other), other.error_dataset.count_rows()) == (1, 0, 0)


def test_a_failure_is_stored_once_until_the_video_is_read(table: SegmentTable, new_segments: Make) -> None:
    (segment,) = new_segments("a")
    for reason in ("first", "second"):
        table.append([], failures=[Failure(segment.source, reason)])
    assert table.error_dataset.to_table().column("reason").to_pylist() == ["second"]
    table.append([segment])
    assert table.error_dataset.count_rows() == 0


def test_frames_of_a_long_video_come_back_with_their_gaps(table: SegmentTable, new_segments: Make) -> None:
    source = new_segments("a")[0].source
    rows = torch.tensor([0, 0, 1, -1, -1, 2, 3, 3, -1])
    unit = torch.nn.functional.normalize(torch.randn(4, table.settings.width), dim=-1)
    gaps = (Gap(1.5, 2.5, "damaged"), Gap(4.0, 4.3, "damaged"))
    long = EmbeddedVideo(source.video, 4.3, 2.0, unit, rows, table.settings.frame_digest, gaps)
    table.append(new_segments("a"), [NewFrames(source, long)])
    table.append(new_segments("b"), [NewFrames(new_segments("b")[0].source, long)])
    for name in ("a", "/videos/a.mp4"):
        found = table.frames(name)
        assert (found.video, found.duration, found.rate, found.digest) == (long.video, 4.3, 2.0, long.digest)
        assert torch.equal(found.rows, rows)
        assert torch.equal(found.embeddings, unit)
        assert found.gaps == gaps
    with pytest.raises(UserError, match="no frames of c"):
        table.frames("c")


@pytest.mark.parametrize(("shape", "value"), [((7, 128), 0.1), ((8, 64), 0.1), ((8, 128), math.nan)])
def test_embeddings_that_do_not_fit_are_refused(
    table: SegmentTable, new_segments: Make, shape: tuple[int, int], value: float
) -> None:
    (segment,) = new_segments("a")
    wrong = NewSegment(segment.source, 0, 0.0, 1.0, 1.0, (), torch.full(shape, value))
    with pytest.raises(UserError, match=r"don't fit the table|not finite") as caught:
        table.append([segment, wrong])
    assert isinstance(caught.value, NonFiniteError) == math.isnan(value)
    assert len(table) == 0
