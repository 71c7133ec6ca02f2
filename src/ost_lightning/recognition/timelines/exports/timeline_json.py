"""Timelines as JSON with everything that is known, written and read."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ost_lightning.errors import UserError
from ost_lightning.files import ESCAPE_BYTES, unescape_bytes
from ost_lightning.recognition.timelines.timeline import Timeline

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_FORMAT: Final = "ost_lightning timelines"
_VERSION: Final = 1


def write_json(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes timelines with everything that is known about them; `load_timelines` reads the file."""
    content = {"format": _FORMAT, "version": _VERSION, "timelines": [_as_object(timeline) for timeline in timelines]}
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load_timelines(file: str | Path) -> tuple[Timeline, ...]:
    """Reads timelines from a JSON file of `save_timeline`.

    Args:
        file: Path of the file.

    Raises:
        UserError: If there is no such file, or it is not such a file; the message names the entry.
    """
    from pydantic import ValidationError  # reading is rare, and the import takes time

    path = Path(file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except ValueError as error:  # JSON and UTF-8
        raise UserError(f"{path} is not a JSON file ({error}): expected a file that `save_timeline` wrote.") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise UserError(f"{path} has no timelines: expected a JSON file that `save_timeline` wrote in the format json.")
    if content.get("version") != _VERSION:
        raise UserError(
            f"{path} has version {content.get('version')!r} of the format, but this package reads version {_VERSION}: "
            "update the package."
        )
    try:
        found = _adapter().validate_json(json.dumps(_without_bytes(content.get("timelines"))), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise UserError(f"{path}: timelines{where}: {first['msg']}") from error
    return tuple(replace(timeline, video=unescape_bytes(timeline.video)) for timeline in found)


def load_timeline(file: str | Path) -> Timeline:
    """Reads the timeline of one video; see `load_timelines`.

    Raises:
        UserError: If the file can't be read, or has another number of timelines.
    """
    found = load_timelines(file)
    if len(found) != 1:
        raise UserError(f"{file} has {len(found)} timelines: read it with `load_timelines`.")
    return found[0]


def _as_object(timeline: Timeline) -> dict[str, Any]:
    # JSON has no infinity
    conditions = {
        name: str(value) if isinstance(value, float) and not isfinite(value) else value
        for name, value in timeline.conditions.items()
    }
    return asdict(replace(timeline, conditions=conditions))


@cache
def _adapter() -> "TypeAdapter[tuple[Timeline, ...]]":
    from pydantic import TypeAdapter

    return TypeAdapter(tuple[Timeline, ...])


def _without_bytes(timelines: Any) -> Any:
    """Escapes the bytes in names of videos that are not UTF-8, which pydantic refuses."""
    if not isinstance(timelines, list):
        return timelines
    return [
        {**entry, "video": entry["video"].encode(errors=ESCAPE_BYTES).decode()}
        if isinstance(entry, dict) and isinstance(entry.get("video"), str)
        else entry
        for entry in timelines
    ]
