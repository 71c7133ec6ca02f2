"""What every annotation format is read into, and the checks that all of them share."""

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.video.storage.addresses import VideoAddress

Span = tuple[float | None, float | None]
"""Start and end of a part of a video in seconds, None where it is the video's own."""


UNLABELED: Final = -1
"""Label of a video whose class is not known: it can be predicted, not trained on or scored."""


class AnnotationError(UserError):
    """A list of videos can't be used as it is."""


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video or part of one.

    Attributes:
        path: The file, frame folder, shard member or URL; as parsed, relative to the videos' root (see `VideoRoot`).
        label: Class index, from 0, or UNLABELED.
        id: Name in reports; unique within its list by convention.
        start: Seconds from the video's beginning, or None for all of it.
        end: Seconds, or None.
    """

    path: VideoAddress
    label: int
    id: str
    start: float | None = None
    end: float | None = None

    @property
    def span(self) -> Span:
        """Start and end."""
        return self.start, self.end


class ClassIndex:
    """Class numbers by name: an annotation file may use the names of the label space or the publisher's spelling.

    Args:
        names: Class names of the label space.
        published: The publisher's spelling of each, if there is one.

    Raises:
        AnnotationError: If one class is called what the publisher calls another.
    """

    def __init__(self, names: Sequence[str], published: Sequence[str] = ()) -> None:
        self.names, self.published = tuple(names), tuple(published) or tuple(names)
        self.places = {name: place for place, name in enumerate(self.names)}
        for place, name in enumerate(self.published):
            if self.places.setdefault(name, place) != place:
                raise AnnotationError(
                    f"'{name}' is the name of class {self.places[name]} and the publisher's spelling of class {place}: "
                    f"a file that says '{name}' could mean either. Rename one in the label space."
                )

    def __len__(self) -> int:
        return len(self.names)

    def named(self, name: str, where: str) -> int:
        """The class of a name, in either spelling.

        Raises:
            AnnotationError: If there is none; `where` names the place in the file.
        """
        place = self.places.get(name)
        if place is None:
            close = difflib.get_close_matches(name, self.places, n=1)
            meant = f" Did it mean '{close[0]}'?" if close else ""
            raise AnnotationError(
                f"{where}: '{name}' is not one of the {len(self)} classes of the label space.{meant} Check that the "
                f"file and the label space belong together."
            )
        return place

    def numbered(self, text: str, where: str, first: int = 0) -> int:
        """The class of a number.

        Args:
            text: Decimal digits.
            where: Place in the file.
            first: Number of the first class.

        Raises:
            AnnotationError: If it is none.
        """
        last = first + len(self) - 1
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise AnnotationError(
                f"{where}: the label '{text}' is not a class index. Expected a label from {first} to {last}."
            )
        if not first <= int(text) <= last:
            raise AnnotationError(
                f"{where}: the label {int(text)} is outside the label space, which has {len(self)} classes ({first} to "
                f"{last}). Check that the list and the label space belong together."
            )
        return int(text) - first

    def either(self, text: str, where: str) -> int:
        """The class of a name or, if no class has that name, of a number."""
        if text in self.places:
            return self.places[text]
        if text.isascii() and text.isdigit():
            return self.numbered(text, where)
        raise AnnotationError(
            f"{where}: the label '{text}' is neither a class name of the label space nor an index from 0 to "
            f"{len(self) - 1}."
        )


def read_text(file: Path) -> str:
    """An annotation file's text.

    Raises:
        AnnotationError: If it is missing, or not UTF-8.
    """
    if not file.is_file():
        raise AnnotationError(f"The list of videos {file} does not exist. Check the path in the experiment file.")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}). A list of videos is plain text."
        ) from error


def read_json(file: Path) -> Any:
    """An annotation file's JSON value.

    Raises:
        AnnotationError: If it is missing, or not JSON.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{file}:{error.lineno}: not valid JSON ({error.msg}).") from error
    except RecursionError as error:
        raise AnnotationError(f"{file}: not an annotation file (nested too deeply).") from error


def some(records: list[VideoRecord], file: Path) -> list[VideoRecord]:
    """The records, if there are any.

    Raises:
        AnnotationError: If not.
    """
    if not records:
        raise AnnotationError(f"{file} lists no videos.")
    return records


def seconds(value: Any, name: str, where: str) -> float:
    """A time within a video.

    Raises:
        AnnotationError: If it is not a finite number from 0.
    """
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError) as error:
        raise AnnotationError(f"{where}: the {name} '{value}' is not a number of seconds.") from error
    if not math.isfinite(number) or number < 0:
        raise AnnotationError(f"{where}: the {name} '{value}' is not a time within a video.")
    return number
