"""Detection of labels that count from 1 where they should count from 0."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.video.annotations.class_index import ClassFolders, ClassIndex
from ost_lightning.video.annotations.records import UNLABELED, AnnotationError, VideoRecord

_ENOUGH: Final = 2
"""Number of classes from which on labels that are one too high are no coincidence."""


def check_class_folders(records: Sequence[VideoRecord], classes: ClassIndex, source: Path) -> None:
    """Refuses labels that are one higher than those of the classes whose folders contain the videos.

    Args:
        records: Records of a list, as listed.
        classes: Classes of the label space.
        source: The list, for error messages.

    Raises:
        AnnotationError: If labels of several classes are one too high, and no label contradicts its folder otherwise.
    """
    folders = ClassFolders(classes.index_of)
    shifted: list[VideoRecord] = []
    named = 0
    for record in records:
        name = folders.class_of(str(record.path)) if record.label != UNLABELED else None
        if name is None:
            continue
        label = classes.index_of[name]
        named += 1
        if record.label == label + 1:
            shifted.append(record)
        elif record.label != label:
            return
    if len({record.label for record in shifted}) >= _ENOUGH:
        first = shifted[0]
        raise AnnotationError(
            f"{source}:{first.line}: {first.path} has the label {first.label}, '{classes.names[first.label]}', but its "
            f"folder is that of class {first.label - 1}. {len(shifted):,} of {named:,} labels are one too high: labels "
            "count from 0."
        )
