"""Timelines as subtitles, WebVTT and SubRip (.srt), that players show over the video."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ost_lightning.characters import one_line
from ost_lightning.recognition.timelines.exports.names import milliseconds
from ost_lightning.recognition.timelines.timeline import Timeline

# WebVTT: https://www.w3.org/TR/webvtt1/#webvtt-cue-text
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# SubRip has no escapes: players take <...> and {\...} for markup, and --> for a time
_LOOKALIKES: Final = str.maketrans({"<": "‹", ">": "›", "{": "(", "}": ")"})  # noqa: RUF001


def write_webvtt(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes the labels of one video's segments and the reasons of its gaps as WebVTT."""
    cues = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text.translate(_ENTITIES)}\n"
        for start, end, text in _cues(timelines[0])
    ]
    file.write_text("\n".join(["WEBVTT\n", *cues]), encoding="utf-8")


def write_srt(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes the labels of one video's segments and the reasons of its gaps as SubRip."""
    cues = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text.translate(_LOOKALIKES)}\n"
        for number, (start, end, text) in enumerate(_cues(timelines[0]), start=1)
    ]
    file.write_text("\n".join(cues), encoding="utf-8")


def _cues(timeline: Timeline) -> Iterator[tuple[int, int, str]]:
    """Start and end in milliseconds, and text on one line, in order of time."""
    shown = [(segment.start, segment.end, segment.label) for segment in timeline.segments]
    shown += [(gap.start, gap.end, f"unknown: {gap.reason}") for gap in timeline.gaps]
    for start, end, text in sorted(shown):
        # without any text, players would end the cue early
        yield *milliseconds(start, end), one_line(text) or "?"


def _clock(milliseconds_: int, point: str) -> str:
    seconds, fraction = divmod(milliseconds_, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{fraction:03}"
