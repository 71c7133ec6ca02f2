"""Looks into many videos, in parallel, with a record on disk that a killed survey goes on from."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.video.annotations import VideoRecord
from ost_lightning.video.maintenance.inspection import Inspection, inspect_video
from ost_lightning.video.maintenance.parallel import map_in_processes

_HEADER: Final = [field.name for field in fields(Inspection)]
_TYPES: Final = [type(field.default) if isinstance(field.default, int | float) else str for field in fields(Inspection)]


def survey(records: Sequence[VideoRecord], file: Path, *, decode: int = 8, workers: int = 0) -> list[Inspection]:
    """Inspects videos.

    What is found is appended to `file` at once. A later call with the same file looks only at what is new, was changed
    or missing, or was not decoded as far.

    Args:
        records: Videos; each distinct part of a file is looked at once.
        file: The record, CSV.
        decode: How many frames of each are decoded; see `inspect_video`.
        workers: Processes; 0 works in this one.

    Returns:
        One inspection for each distinct part, in the order of the records.

    Raises:
        UserError: If `file` is something else.
    """
    wanted = {Inspection.key(record): record for record in records}
    known = _read(file).items()
    entries = {key: entry for key, entry in known if key not in wanted or entry.still_holds(wanted[key], decode)}
    rest = [record for key, record in wanted.items() if key not in entries]
    look = partial(inspect_video, decode=decode)
    killed = partial(Inspection.failure, reason="reading it kills the process", decode=decode)
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, entries.values())
    with file.open("a", newline="", encoding="utf-8", buffering=1) as handle:
        rows = csv.writer(handle)
        found = map_in_processes(look, rest, workers, killed)
        for entry in tqdm(found, total=len(wanted), initial=len(wanted) - len(rest), unit="video"):
            rows.writerow(astuple(entry))
            entries[entry.path, entry.start, entry.end] = entry
    return [entries[key] for key in wanted]


def _read(file: Path) -> dict[tuple[str, str, str], Inspection]:
    """What an earlier survey found. A line that was cut off when it was killed is left out."""
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as handle:
        header, *rows = list(csv.reader(handle)) or [[]]
    if header != _HEADER:
        raise UserError(f"{file} is not the record of a survey of videos: give another place, or delete it.")
    entries = {}
    for row in rows:
        try:
            values: list[Any] = [kind(text) for kind, text in zip(_TYPES, row, strict=True)]
        except ValueError:
            continue
        entry = Inspection(*values)
        entries[entry.path, entry.start, entry.end] = entry
    return entries


def _write(file: Path, entries: Iterable[Inspection]) -> None:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    with unfinished.open("w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(_HEADER)
        rows.writerows(astuple(entry) for entry in entries)
    unfinished.replace(file)
