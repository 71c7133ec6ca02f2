"""Annotations of Something-Something V2 as published: JSON with the labels, the training and the validation videos."""

from pathlib import Path
from typing import Final

from ost_lightning.video.annotations.annotation_files import read_json, require_nonempty
from ost_lightning.video.annotations.class_index import ClassIndex
from ost_lightning.video.annotations.records import AnnotationError, VideoRecord

_BRACKETS: Final = str.maketrans("", "", "[]")


def read_ssv2(file: Path, classes: ClassIndex) -> list[VideoRecord]:
    """Reads the training or the validation file.

    The class of a video is its template without the brackets around the placeholders.

    Args:
        file: JSON list of objects with `id` and `template`.
        classes: All classes of the data set.

    Returns:
        Records with paths `id.webm`.

    Raises:
        AnnotationError: If the file is missing, or an entry is malformed.
    """
    content = read_json(file)
    if not isinstance(content, list):
        raise AnnotationError(f"{file} is not a list of videos. Expected a JSON list of objects with id and template.")
    records = []
    for index, entry in enumerate(content):
        where = f"{file}: [{index}]"
        id_ = entry.get("id") if isinstance(entry, dict) else None
        template = entry.get("template") if isinstance(entry, dict) else None
        if isinstance(id_, int) and not isinstance(id_, bool):
            id_ = str(id_)
        if not isinstance(id_, str) or not (id_.isascii() and id_.isdigit()):
            raise AnnotationError(f"{where}: the id {id_!r} is not the number of a video.")
        if not isinstance(template, str):
            raise AnnotationError(
                f"{where}: the video {id_} has no template. (The publisher's test file has no templates.)"
            )
        label = classes.named(template.translate(_BRACKETS), f"{where}.template")
        records.append(VideoRecord(f"{id_}.webm", label, id_))
    return require_nonempty(records, file)


def check_ssv2_labels(file: Path, classes: ClassIndex) -> None:
    """Checks that the publisher numbers the classes in the same way as the label space.

    Args:
        file: JSON object that maps class names to numbers, the numbers as text.
        classes: All classes of the data set.

    Raises:
        AnnotationError: If the numbering differs.
    """
    content = read_json(file)
    if not isinstance(content, dict):
        raise AnnotationError(f"{file} is not a mapping of class names to numbers.")
    for name, number in content.items():
        label = classes.named(name, f"{file}: {name!r}")
        if str(number) != str(label):
            raise AnnotationError(f"{file}: '{name}' has the number {number}; in the label space it is {label}.")
