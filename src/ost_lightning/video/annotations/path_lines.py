"""Lines of video lists: `path label`, a path alone, or `folder frames label` as lists of extracted frames have them.

Paths may contain blanks, and so may class names.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ost_lightning.video.annotations.annotation_files import read_lines
from ost_lightning.video.annotations.records import AnnotationError
from ost_lightning.video.storage.suffixes import VIDEO_SUFFIXES

_SUFFIXES: Final = "|".join(re.escape(suffix) for suffix in sorted(VIDEO_SUFFIXES, key=len, reverse=True))
_VIDEO: Final = re.compile(rf"(.*[^/\s](?:{_SUFFIXES}))\s+(\S.*)", re.IGNORECASE | re.DOTALL)
"""Path of a video file, and what follows it."""
_COUNTED: Final = re.compile(r"(.*\S)\s+([0-9]{1,9})", re.DOTALL)
_BLANKS: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class PathLine:
    """One line of a list.

    Attributes:
        number: Number of the line, from 1.
        text: The line without blanks around it.
        path: Path as listed.
        label: Class number or name; empty if the line has none.
        frames: Number of frames to use, in lists of extracted frames.
    """

    number: int
    text: str
    path: str
    label: str = ""
    frames: int | None = None


def read_path_lines(file: Path, names: Collection[str] = (), *, labeled: bool = True) -> list[PathLine]:
    """Reads the lines of a list.

    The label is the longest name of a class at the end of the line, or a number after the last blank. If every line
    has another number before the label, and it can't be part of the path, the lines are `folder frames label`.

    Args:
        file: The list.
        names: Names of classes; without them, all that follows a video file is a label.
        labeled: Whether each line must have a label. If not, a class name counts as one only after a video file.

    Raises:
        AnnotationError: If the file is missing or not text, or its lines have more than two numbers.
    """
    longest = max((len(_BLANKS.findall(name)) for name in names), default=0) + 1
    lines = [
        _parsed(number, line.strip(), names, longest, labeled)
        for number, line in enumerate(read_lines(file), start=1)
        if line.strip()
    ]
    return _with_counts(lines, file)


def _parsed(number: int, text: str, names: Collection[str], longest: int, labeled: bool) -> PathLine:
    blanks = list(_BLANKS.finditer(text))
    for blank in blanks[-longest:]:  # the longest name first
        label = text[blank.end() :]
        if label in names and not label.isdigit() and (labeled or _VIDEO.fullmatch(text[: blank.start()] + " x")):
            return PathLine(number, text, text[: blank.start()], label)
    last = text[blanks[-1].end() :] if blanks else ""
    if last.isascii() and last.isdigit():
        return PathLine(number, text, text[: blanks[-1].start()], last)
    video = _VIDEO.fullmatch(text)
    if video is None or Path(video[2]).suffix.lower() in VIDEO_SUFFIXES:
        return PathLine(number, text, text)
    return PathLine(number, text, video[1], video[2])


def _with_counts(lines: Sequence[PathLine], file: Path) -> list[PathLine]:
    """Separates the numbers of frames from the paths, if every line has one."""
    counted = [_COUNTED.fullmatch(line.path) if line.label else None for line in lines]
    found = [match for match in counted if match is not None]
    if not found or len(found) < len(lines) or not _are_paths([match[1] for match in found]):
        return list(lines)
    first = lines[0]
    if all(_COUNTED.fullmatch(match[1]) for match in found):
        raise AnnotationError(
            f"{file}:{first.number}: '{first.text}' has three numbers after the path. Expected `path label`, or "
            "`folder frames label` for extracted frames."
        )
    if empty := [line for line, match in zip(lines, found, strict=True) if int(match[2]) == 0]:
        raise AnnotationError(f"{file}:{empty[0].number}: '{empty[0].text}' names a folder with 0 frames. Remove it.")
    return [replace(line, path=match[1], frames=int(match[2])) for line, match in zip(lines, found, strict=True)]


def _are_paths(texts: Sequence[str]) -> bool:
    """Whether the texts before a number are paths by themselves: video files, or different folders without blanks."""
    plain = [_COUNTED.sub(r"\1", text) for text in texts]
    if all(Path(text).suffix.lower() in VIDEO_SUFFIXES for text in plain):
        return True
    return len(set(texts)) == len(texts) and not any(_BLANKS.search(text.rpartition("/")[2]) for text in plain)
