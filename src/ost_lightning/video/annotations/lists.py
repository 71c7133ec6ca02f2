"""Lists of videos in the usual `path label` text format; CSV and Parquet are recognized by their suffixes."""

from collections.abc import Sequence
from pathlib import Path

from ost_lightning.video.annotations.annotation_files import read_text, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.records import UNLABELED, AnnotationError, VideoRecord
from ost_lightning.video.annotations.table_files import TABLE_SUFFIXES
from ost_lightning.video.annotations.tables import read_table


def read_records(list_file: Path, classes: ClassIndex | Sequence[str], *, labeled: bool = True) -> list[VideoRecord]:
    """Reads a list of videos: a table if the suffix is `.csv` or `.parquet`, `path label` lines otherwise.

    Every malformed line is an error that names the file and the line; lines are never skipped, and labels never
    guessed.

    Args:
        list_file: File with the list.
        classes: Classes of the label space; a label is an index or, in tables, also a name.
        labeled: Whether each video must have a label. If not, a line that does not end in a number is just a path.

    Returns:
        Records whose paths are as listed, relative to the videos' root.

    Raises:
        AnnotationError: If the list is missing, or a line is malformed.
    """
    index = classes if isinstance(classes, ClassIndex) else ClassIndex(classes)
    if list_file.suffix.lower() in TABLE_SUFFIXES:
        return read_table(list_file, index, labeled=labeled)
    return require_nonempty(_parse(read_text(list_file), list_file, index, labeled), list_file)


def _parse(text: str, list_file: Path, classes: ClassIndex, labeled: bool) -> list[VideoRecord]:
    """Parses lines `path label`; the label follows the last blank, so paths may contain blanks."""
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{list_file}:{number}"
        parts = line.strip().rsplit(maxsplit=1)
        if not labeled and (len(parts) < 2 or not (parts[1].isascii() and parts[1].isdigit())):
            records.append(VideoRecord(line.strip(), UNLABELED, line.strip()))
            continue
        if len(parts) < 2:
            raise AnnotationError(
                f"{where}: '{line.strip()}' has no label. Expected `path label`, for example `clips/a.mp4 17`."
            )
        records.append(VideoRecord(parts[0], classes.numbered(parts[1], where), parts[0]))
    return records
