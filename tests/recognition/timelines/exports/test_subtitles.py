"""Subtitles, read back with FFmpeg."""

import re
from pathlib import Path

import av
import pytest

from ost_lightning.recognition.timelines import Segment, Timeline, save_timeline
from tests.recognition.timelines.exports.examples import HOSTILE, empty, hostile, ordinary


def shown(file: Path) -> list[tuple[int, int, str]]:
    """Start and end in milliseconds and text of each subtitle, as FFmpeg's decoder shows it."""
    found = []
    with av.open(str(file)) as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            if packet.pts is not None:
                assert packet.time_base is not None
                start, length = (round(1000 * ticks * packet.time_base) for ticks in (packet.pts, packet.duration))
                for subtitle in stream.codec_context.decode2(packet):
                    text = subtitle.ass.decode().split(",", 8)[8]
                    # FFmpeg keeps backslashes from being commands by an invisible character after them
                    found.append((start, start + length, text.replace("\\N", "\n").replace("\u2060", "")))
    return found


@pytest.mark.parametrize("suffix", [".vtt", ".srt"])
def test_times_are_exact_to_the_millisecond_and_gaps_are_named(tmp_path: Path, suffix: str) -> None:
    save_timeline(ordinary(), tmp_path / f"x{suffix}")
    assert shown(tmp_path / f"x{suffix}") == [
        (2000, 6500, "archery"),
        (10000, 11500, "unknown: the connection was lost"),
        (41500, 50000, "surfing"),
    ]
    content = (tmp_path / f"x{suffix}").read_text()
    assert content.index("archery") < content.index("unknown") < content.index("surfing")


@pytest.mark.parametrize("suffix", [".vtt", ".srt"])
def test_names_stay_text(tmp_path: Path, suffix: str) -> None:
    save_timeline(hostile(), tmp_path / f"x{suffix}")
    texts = [text for _, _, text in shown(tmp_path / f"x{suffix}")]
    assert len(texts) == len(HOSTILE) + 1
    assert "script" in texts[0]
    assert "--" in texts[1]
    assert "bold" in texts[2]
    assert "an8" in texts[2]
    assert texts[3] == "say \"x\" and 'y' then z"
    assert texts[4] == r"left \u202etfel\u2066 line"
    assert "\x1b" not in texts[6]
    assert texts[7] == HOSTILE[7]
    assert all("\n" not in text for text in texts)


def test_webvtt_keeps_every_character(tmp_path: Path) -> None:
    save_timeline(hostile(), tmp_path / "x.vtt")
    content = (tmp_path / "x.vtt").read_text(encoding="utf-8")
    assert content.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n&lt;/script&gt;&lt;script&gt;")
    assert "<" not in content
    times = re.compile(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}")
    arrows = [line for line in content.splitlines() if "-->" in line]
    assert len(arrows) == len(HOSTILE) + 1
    assert all(times.fullmatch(line) for line in arrows)


@pytest.mark.parametrize(
    ("suffix", "first"), [(".vtt", "03:02:01.001 --> 03:02:01.002"), (".srt", "03:02:01,001 --> ")]
)
def test_hours_and_very_short_segments(tmp_path: Path, suffix: str, first: str) -> None:
    segment = Segment(10921.0012, 10921.0013, "blink", 0.1)
    save_timeline(Timeline("long.mp4", 11000.0, ("blink",), (segment,)), tmp_path / f"x{suffix}")
    assert first in (tmp_path / f"x{suffix}").read_text()


def test_a_timeline_without_segments_is_a_file_without_cues(tmp_path: Path) -> None:
    save_timeline(empty(), tmp_path / "x.vtt")
    assert (tmp_path / "x.vtt").read_text() == "WEBVTT\n"
