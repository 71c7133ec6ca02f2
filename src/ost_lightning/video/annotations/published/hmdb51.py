"""HMDB51's annotations as published: a file `CLASS_test_splitN.txt` for each class and split."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ost_lightning.video.annotations.annotation_files import read_text, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.records import AnnotationError, VideoRecord
from ost_lightning.vocabulary import Part

_USES: Final = {"0": None, "1": "train", "2": "test"}
"""Part for each published number; 0 marks a video that the split does not use."""


def read_hmdb51(folder: Path, part: Part, split: int, classes: ClassIndex, wanted: Iterable[int]) -> list[VideoRecord]:
    """Reads one part of one of the three splits.

    Args:
        folder: Folder with the publisher's files, such as testTrainMulti_7030_splits.
        part: Part to read, `train` or `test`.
        split: Number of the split, 1 to 3.
        classes: All classes of the data set.
        wanted: Indices of the classes whose files are read.

    Returns:
        Records whose paths are file names, without the folder of the class.

    Raises:
        AnnotationError: If a file is missing, or a line is malformed.
    """
    records = []
    for label in wanted:
        published = classes.published[label]
        file = folder / f"{published}_test_split{split}.txt"
        for number, line in enumerate(read_text(file).split("\n"), start=1):
            if not line.strip():
                continue
            fields = line.strip().rsplit(maxsplit=1)
            if len(fields) < 2 or fields[1] not in _USES or "/" in fields[0]:
                raise AnnotationError(
                    f"{file}:{number}: '{line.strip()}' is not `name.avi use` with a use of 0 (none), 1 (training) or "
                    f"2 (test)."
                )
            if _USES[fields[1]] == part:
                records.append(VideoRecord(fields[0], label, fields[0]))
    return require_nonempty(records, folder)
