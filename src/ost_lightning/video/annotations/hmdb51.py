"""HMDB51 as published: a file `CLASS_test_splitN.txt` for each class and split."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ost_lightning.video.annotations.records import AnnotationError, ClassIndex, VideoRecord, read_text, some
from ost_lightning.vocabulary import Part

_USES: Final = {"0": None, "1": "train", "2": "test"}
"""0 marks a video that a split leaves unused."""


def read_hmdb51(folder: Path, part: Part, split: int, classes: ClassIndex, wanted: Iterable[int]) -> list[VideoRecord]:
    """Reads one part of one of the three splits.

    Args:
        folder: With the publisher's files, such as testTrainMulti_7030_splits.
        part: train or test.
        split: 1 to 3.
        classes: All classes of the data set.
        wanted: Classes whose files are read.

    Returns:
        Records with file names; copies keep them by class or all together.

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
    return some(records, folder)
