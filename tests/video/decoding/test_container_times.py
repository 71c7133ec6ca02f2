from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ost_lightning.video import VideoReader
from tests.video.decoding.coded_files import assert_shows, decoded, remux
from tests.videos import write_video

CODECS = {
    "h264": {"options": {"g": "12", "bf": "2"}},
    "mpeg2": {"codec": "mpeg2video", "options": {"bf": "2", "g": "9"}},
}
WRAP = 2**33 * 25 // 90_000
"""Frames after which the 33 bits of a clock begin anew."""


@pytest.mark.parametrize("name", ["h264.ts", "mpeg2.ts", "mpeg2.mpg"])
@pytest.mark.parametrize("frames", [0, 7.5, 40, 100_000, -7.5, -40, -100_000, WRAP - 40])
def test_joined_recordings_are_shown_one_after_the_other(
    folder: Path, tmp_path: Path, name: str, frames: float
) -> None:
    """The clock of the second one is that of the first, or many frames before or after it."""
    codec, suffix = name.split(".")
    parts = [folder / f"{which}_{name}" for which in ("first", "second")]
    for seed, part in enumerate(parts):
        if not part.exists():
            write_video(part, 20 + 4 * seed, seed=seed, **CODECS[codec])
    begin = [max(0.0, -frames), max(0.0, frames)]
    path, reference = tmp_path / f"joined.{suffix}", []
    for part, ahead in zip(parts, begin, strict=True):

        def shift(position: int, packet: object, ticks: int, ahead: float = ahead) -> None:
            packet.pts += round(ahead * ticks)
            packet.dts += round(ahead * ticks)

        moved = remux(part, tmp_path / f"{part.stem}_moved.{suffix}", shift) if ahead else part
        with path.open("ab") as file:
            file.write(moved.read_bytes())
        reference.append(decoded(part))
    assert_shows(path, torch.cat(reference))
    with VideoReader(path) as video:
        if 0 < frames < 250:  # may be a gap in one recording
            return
        steps = [after - before for before, after in pairwise(video._seconds())]
        assert steps == pytest.approx([0.04] * 43, abs=1e-3)
        assert video.span(0.79, 1.01) == range(20, 26)


def test_a_clock_that_wraps_within_a_recording(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.ts", 30, **CODECS["h264"])

    def shift(position: int, packet: object, ticks: int) -> None:
        packet.pts += (WRAP - 12) * ticks
        packet.dts += (WRAP - 12) * ticks

    path = remux(source, tmp_path / "a.ts", shift)
    assert_shows(path, decoded(source))
    with VideoReader(path) as video:
        assert video._seconds() == pytest.approx([k / 25 for k in range(30)])
