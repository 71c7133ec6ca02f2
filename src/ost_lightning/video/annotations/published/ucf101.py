"""UCF101's annotations as published: classInd.txt, trainlist0N.txt and testlist0N.txt."""

from pathlib import Path

from ost_lightning.video.annotations.annotation_files import read_text, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.records import AnnotationError, VideoRecord
from ost_lightning.vocabulary import Part


def read_ucf101(folder: Path, part: Part, split: int, classes: ClassIndex) -> list[VideoRecord]:
    """Reads one part of one of the three splits.

    The class is the folder in each line. In training lists a number follows, which has to be that of the class in
    classInd.txt.

    Args:
        folder: Folder with the publisher's files.
        part: Part to read, `train` or `test`.
        split: Number of the split, 1 to 3.
        classes: All classes of the data set.

    Returns:
        Records whose paths are file names, `v_ApplyEyeMakeup_g08_c01.avi`, without the folder of the class.

    Raises:
        AnnotationError: If a file is missing, or a line is malformed.
    """
    file = folder / f"{part}list{split:02d}.txt"
    numbers = _class_numbers(folder / "classInd.txt", classes) if part == "train" else {}
    records = []
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        where, fields = f"{file}:{number}", line.split()
        if len(fields) != (2 if part == "train" else 1) or fields[0].count("/") != 1:
            raise AnnotationError(
                f"{where}: '{line.strip()}' is not a line of {part}list{split:02d}.txt. Expected "
                f"`Class/video.avi{' number' if part == 'train' else ''}`."
            )
        published, name = fields[0].split("/")
        label = classes.named(published, where)
        if not name:
            raise AnnotationError(f"{where}: '{fields[0]}' names no video.")
        if part == "train" and numbers.get(fields[1]) != label:
            raise AnnotationError(
                f"{where}: the number {fields[1]} is not that of {published} in {folder / 'classInd.txt'}."
            )
        records.append(VideoRecord(name, label, name))
    return require_nonempty(records, file)


def _class_numbers(file: Path, classes: ClassIndex) -> dict[str, int]:
    """Reads the class index of each of the publisher's numbers."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        where, fields = f"{file}:{number}", line.split()
        if len(fields) != 2 or not (fields[0].isascii() and fields[0].isdigit()) or fields[0] in numbers:
            raise AnnotationError(f"{where}: '{line.strip()}' is not `number ClassName`, each number once.")
        numbers[fields[0]] = classes.named(fields[1], where)
    return numbers
