"""Lists of videos in the usual `path label` text format; CSV and Parquet are recognized by their suffixes."""

from collections.abc import Sequence
from pathlib import Path

from ost_lightning.video.annotations.annotation_files import require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.numbering import check_class_folders
from ost_lightning.video.annotations.path_lines import PathLine, read_path_lines
from ost_lightning.video.annotations.records import UNLABELED, AnnotationError, VideoRecord
from ost_lightning.video.annotations.table_files import TABLE_SUFFIXES
from ost_lightning.video.annotations.tables import read_table


def read_records(list_file: Path, classes: ClassIndex | Sequence[str], *, labeled: bool = True) -> list[VideoRecord]:
    """Reads a list of videos: a table if the suffix is `.csv` or `.parquet`, `path label` lines otherwise.

    Every malformed line is an error that names the file and the line; lines are never skipped, and labels never
    guessed. Lists of extracted frames may have lines `folder frames label`; the first `frames` pictures are used.

    Args:
        list_file: File with the list.
        classes: Classes of the label space; a label is an index or a name.
        labeled: Whether each video must have a label. If not, a line that does not end in a number is just a path.

    Returns:
        Records whose paths are as listed, relative to the videos' root.

    Raises:
        AnnotationError: If the list is missing, or a line is malformed.
    """
    index = classes if isinstance(classes, ClassIndex) else ClassIndex(classes)
    if list_file.suffix.lower() in TABLE_SUFFIXES:
        return read_table(list_file, index, labeled=labeled)
    lines = read_path_lines(list_file, index.index_of, labeled=labeled)
    return require_nonempty(_records(lines, list_file, index, labeled), list_file)


def _records(lines: Sequence[PathLine], list_file: Path, classes: ClassIndex, labeled: bool) -> list[VideoRecord]:
    records = []
    for line in lines:
        where = f"{list_file}:{line.number}"
        if line.label:
            label = classes.written(line.label, where)
        elif not labeled:
            label = UNLABELED
        elif len(parts := line.text.rsplit(maxsplit=1)) > 1:
            label = classes.numbered(parts[1], where)
        else:
            raise AnnotationError(
                f"{where}: '{line.text}' has no label. Expected `path label`, for example `clips/a.mp4 17`."
            )
        records.append(VideoRecord(line.path, label, line.path, frames=line.frames, line=line.number))
    check_class_folders(records, classes, list_file)
    return records
