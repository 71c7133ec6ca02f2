"""Marks of videos whose files are gone or have changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.library import IndexedSource, NewSegment, SegmentTable
from ost_lightning.library.checking import check_table
from ost_lightning.library.segments import Failure
from ost_lightning.library.sources import video_digest

pytest.importorskip("lance", reason="needs the extra `library`")


def stored(segments: list[NewSegment], video: str, digest: str) -> list[NewSegment]:
    key = f"{abs(hash(video)):x}"[:16]
    source = IndexedSource(key, video, Path(video).name, digest)
    return [replace(segment, source=source) for segment in segments]


def test_missing_changed_incomplete_and_unreadable_videos_are_marked(
    table: SegmentTable, new_segments: Callable[..., list[NewSegment]], tmp_path: Path
) -> None:
    for name in ("same", "changed", "moved", "repeated", "shard.tar"):
        (tmp_path / name).write_text(name)
    names = ["same", "changed", "moved", "shard.tar/in/it.mp4"]
    addresses = [str(tmp_path / name) for name in names]
    for address in addresses:
        table.append(stored(new_segments("v", 2), address, video_digest(address)))
    table.append(stored(new_segments("v"), "https://host/a.mp4", ""))
    table.append(stored(new_segments("v"), str(tmp_path / "repeated"), video_digest(str(tmp_path / "repeated"))) * 2)
    table.append([], failures=[Failure(IndexedSource("0", "/v/broken.mp4", "broken", "d"), "not a video")])
    (tmp_path / "changed").write_text("changed again")
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    found = check_table(SegmentTable(table.folder))
    assert (found.segments, found.videos) == (11, 6)
    marks = sorted((Path(one.video).name, one.mark) for one in found.marked)
    assert marks == [
        ("broken.mp4", "unreadable"),
        ("changed", "changed"),
        ("moved", "missing"),
        ("repeated", "incomplete"),
    ]
    (tmp_path / "shard.tar").unlink()
    assert sum(one.mark == "missing" for one in check_table(table).marked) == 2
    assert len(table) == 11
