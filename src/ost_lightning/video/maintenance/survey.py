"""Inspection of many videos in parallel, recorded on disk so that an interrupted survey can be resumed."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter, csv_text
from ost_lightning.files import ESCAPE_BYTES, atomic_write, open_csv, unescape_bytes
from ost_lightning.video.annotations import VideoRecord
from ost_lightning.video.maintenance.inspection import Inspection, inspect_video
from ost_lightning.video.maintenance.parallel import map_in_processes

_HEADER: Final = [field.name for field in fields(Inspection)]
_TYPES: Final = [type(field.default) if isinstance(field.default, int | float) else str for field in fields(Inspection)]


def survey_videos(records: Sequence[VideoRecord], file: Path, *, decode: int = 8, workers: int = 0) -> list[Inspection]:
    """Inspects videos.

    Each result is appended to `file` at once. A later call with the same file inspects only videos that are new, have
    changed, were missing, or of which fewer frames were decoded.

    Args:
        records: Videos; each distinct part of a file is inspected once.
        file: CSV file of the results.
        decode: Number of frames of each video to decode; see `inspect_video`.
        workers: Number of processes; 0 runs everything in this process.

    Returns:
        One inspection for each distinct part, in the order of the records.

    Raises:
        UserError: If `file` exists and is not a file of results.
    """
    wanted = {Inspection.key(record): record for record in records}
    known = _read(file).items()
    entries = {key: entry for key, entry in known if key not in wanted or entry.still_holds(wanted[key], decode)}
    rest = [record for key, record in wanted.items() if key not in entries]
    inspect = partial(inspect_video, decode=decode)
    killed = partial(Inspection.failure, reason="reading it kills the process", decode=decode)
    _write(file, entries.values())
    with file.open("a", newline="", encoding="utf-8", errors=ESCAPE_BYTES, buffering=1) as handle:
        rows = CsvWriter(handle)
        found = map_in_processes(inspect, rest, workers, killed)
        for entry in tqdm(found, total=len(wanted), initial=len(wanted) - len(rest), unit="video"):
            rows.writerow(astuple(entry))
            entries[entry.path, entry.start, entry.end] = entry
    return [entries[key] for key in wanted]


def _read(file: Path) -> dict[tuple[str, str, str], Inspection]:
    """Reads the results of an earlier survey; an incomplete last line is ignored."""
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as handle:
        header, *rows = [[unescape_bytes(text) for text in row] for row in csv.reader(handle)] or [[]]
    if header != _HEADER:
        raise UserError(f"{file} is not the record of a survey of videos: choose another path, or delete the file.")
    entries = {}
    for row in rows:
        try:
            values: list[Any] = [kind(csv_text(text)) for kind, text in zip(_TYPES, row, strict=True)]
        except ValueError:
            continue
        entry = Inspection(*values)
        entries[entry.path, entry.start, entry.end] = entry
    return entries


def _write(file: Path, entries: Iterable[Inspection]) -> None:
    with atomic_write(file) as temporary, open_csv(temporary) as handle:
        rows = CsvWriter(handle)
        rows.writerow(_HEADER)
        rows.writerows(astuple(entry) for entry in entries)
