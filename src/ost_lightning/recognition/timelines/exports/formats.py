"""The formats in which timelines are saved, by name and suffix."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ost_lightning.analysis.pictures import HINT, can_draw
from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.recognition.timelines.exports.activitynet import write_annotations, write_detections
from ost_lightning.recognition.timelines.exports.elan import write_elan
from ost_lightning.recognition.timelines.exports.fiftyone import write_labels
from ost_lightning.recognition.timelines.exports.label_studio import write_configuration, write_tasks
from ost_lightning.recognition.timelines.exports.labeled_video import write_labeled_video
from ost_lightning.recognition.timelines.exports.names import by_name, video_stem
from ost_lightning.recognition.timelines.exports.page import write_page
from ost_lightning.recognition.timelines.exports.picture import draw_timeline
from ost_lightning.recognition.timelines.exports.subtitles import write_srt, write_webvtt
from ost_lightning.recognition.timelines.exports.table import write_csv
from ost_lightning.recognition.timelines.exports.timeline_json import write_json
from ost_lightning.recognition.timelines.timeline import Timeline

Writer = Callable[[Path, Sequence[Timeline]], None]


@dataclass(frozen=True, slots=True)
class TimelineFormat:
    """A kind of file that holds timelines.

    Attributes:
        write: Writer of a file, given its path and the timelines.
        suffixes: Suffixes of its files, the usual one first.
        many: Whether one file holds several videos.
    """

    write: Writer
    suffixes: tuple[str, ...]
    many: bool = False


FORMATS: Final[dict[str, TimelineFormat]] = {
    "json": TimelineFormat(write_json, (".json",), many=True),
    "csv": TimelineFormat(write_csv, (".csv",), many=True),
    "html": TimelineFormat(write_page, (".html", ".htm")),
    "webvtt": TimelineFormat(write_webvtt, (".vtt",)),
    "srt": TimelineFormat(write_srt, (".srt",)),
    "elan": TimelineFormat(write_elan, (".eaf",)),
    "picture": TimelineFormat(draw_timeline, (".png", ".svg", ".pdf")),
    "video": TimelineFormat(write_labeled_video, (".mp4",)),
    "activitynet": TimelineFormat(write_detections, (".json",), many=True),
    "activitynet_annotations": TimelineFormat(write_annotations, (".json",), many=True),
    "label_studio": TimelineFormat(write_tasks, (".json",), many=True),
    "label_studio_configuration": TimelineFormat(write_configuration, (".xml",), many=True),
    "fiftyone": TimelineFormat(write_labels, (".json",), many=True),
}
"""Formats by name; of several formats with one suffix, the first is that of a file without a named format."""


def timeline_format(output: Path, format: str | None = None) -> str:
    """Returns the name of the format of a file, before there is anything to save.

    Args:
        output: File to write, or folder for one file per video.
        format: Name of the format; if not given, the suffix chooses it.

    Raises:
        UserError: If the format is unknown, doesn't fit the suffix, or needs a package that is not installed.
    """
    suffix = output.suffix.lower()
    if format is None:
        name = next((name for name, entry in FORMATS.items() if suffix in entry.suffixes), None)
        if name is None:
            suffixes = dict.fromkeys(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
            raise UserError(
                f"The output {output} has {f'the unknown suffix {suffix}' if suffix else 'no suffix'}: choose one of "
                f"{', '.join(suffixes)}, or name a folder and a format."
            )
    elif format not in FORMATS:
        raise UserError(f"There is no format {format!r} for timelines: choose one of {', '.join(FORMATS)}.")
    else:
        name = format
    if suffix not in FORMATS[name].suffixes and not _is_folder(output):
        raise UserError(
            f"The output {output} is not a file of the format {name}: give it the suffix "
            f"{' or '.join(FORMATS[name].suffixes)}, or name a folder."
        )
    if name == "picture" and not can_draw():
        raise UserError(f"Pictures of timelines need matplotlib: {HINT}.")
    return name


def save_timeline(
    timelines: Timeline | Sequence[Timeline], output: str | Path, format: str | None = None
) -> list[Path]:
    """Saves timelines in a format of this or another program.

    Args:
        timelines: One timeline, or those of several videos.
        output: File to write, or folder for one file per video, which is named after the video.
        format: Name of the format, one of `FORMATS`; if not given, the suffix of the file chooses it.

    Returns:
        Files that were written.

    Raises:
        UserError: If the format is unknown or doesn't fit, or a video that it needs can't be read.
    """
    every, path = [timelines] if isinstance(timelines, Timeline) else list(timelines), Path(output)
    name = timeline_format(path, format)
    kind = FORMATS[name]
    if path.suffix.lower() in kind.suffixes and not path.is_dir():
        if len(every) != 1 and not kind.many:
            raise UserError(
                f"A file of the format {name} is about one video, but there are {len(every)}: name a folder instead of "
                f"{path}, or use one of the formats {', '.join(name for name, entry in FORMATS.items() if entry.many)}."
            )
        _save(path, every, kind)
        return [path]
    files = []
    for stem, timeline in by_name(every, [video_stem(timeline.video) for timeline in every]).items():
        files.append(path / f"{stem}{kind.suffixes[0]}")
        _save(files[-1], [timeline], kind)
    return files


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix


def _save(file: Path, timelines: Sequence[Timeline], kind: TimelineFormat) -> None:
    for timeline in timelines:
        with suppress(OSError):  # one of them doesn't exist, or is a URL
            if os.path.samefile(file, timeline.video):
                raise UserError(f"The output {file} is the video itself: choose another name or folder.")
    with atomic_write(file) as temporary:
        kind.write(temporary, timelines)
