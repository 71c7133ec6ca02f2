"""Files with the segments that were found: JSON, CSV, and pages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import atomic_write, open_csv
from ost_lightning.library.asking.found import FoundSegment, FoundSegments
from ost_lightning.library.asking.found_page import write_found_page

_COLUMNS: Final = (
    "rank", "score", "video", "start", "end", "second", "label", "video_id", "moved", "query", "ranked_by", "searched",
    "scored",
)  # fmt: skip


def check_found_file(file: Path) -> None:
    """Checks that a file's suffix is one of those that results can be saved with.

    Raises:
        UserError: If it is not.
    """
    if file.suffix.lower() not in _WRITERS:
        raise UserError(f"The output {file} has an unknown suffix: choose one of {', '.join(_WRITERS)}.")


def save_found(found: FoundSegments, file: str | Path) -> Path:
    """Saves results as JSON, CSV, or a page (`.html`) with pictures and players.

    Args:
        found: Segments that were found.
        file: File to write.

    Raises:
        UserError: If the suffix is unknown.
    """
    path = Path(file)
    check_found_file(path)
    with atomic_write(path) as temporary:
        _WRITERS[path.suffix.lower()](found, temporary)
    return path


def _write_json(found: FoundSegments, file: Path) -> None:
    content = {
        "query": found.query,
        "ranked_by": found.ranked_by,
        "searched": found.searched,
        "scored": found.scored,
        "conditions": dict(found.conditions),
        "segments": [_record(rank, one) for rank, one in enumerate(found.segments, start=1)],
    }
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_csv(found: FoundSegments, file: Path) -> None:
    about = {name: getattr(found, name) for name in ("query", "ranked_by", "searched", "scored")}
    with open_csv(file) as handle:
        writer = CsvWriter(handle)
        writer.writerow([*_COLUMNS, *found.conditions])
        for rank, one in enumerate(found.segments, start=1):
            row = {**_record(rank, one), **about}
            writer.writerow(
                [*("" if row[name] is None else row[name] for name in _COLUMNS), *found.conditions.values()]
            )


def _record(rank: int, found: FoundSegment) -> dict[str, Any]:
    stored = found.segment
    return {
        "rank": rank,
        "score": round(found.score, 6),
        "video": stored.video,
        "start": stored.start,
        "end": stored.end,
        "second": None if found.second is None else round(found.second, 3),
        "label": stored.label,
        "video_id": stored.video_id,
        "moved": found.moved,
    }


_WRITERS: Final[dict[str, Callable[[FoundSegments, Path], None]]] = {
    ".json": _write_json,
    ".csv": _write_csv,
    ".html": write_found_page,
    ".htm": write_found_page,
}
