"""Published lists of videos, recognized by their content, whatever file they were read from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import yaml

from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace, LabelSpaceError
from ost_lightning.video import UNLABELED, VideoRecord
from ost_lightning.video.annotations.video_ids import list_digest, video_id


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A published list of videos.

    Attributes:
        name: Name of the list, for example `hmdb51-split1`.
        benchmark: Data set that the list belongs to.
        part: Part of the data set: `split 1`, `validation`, `base`, `novel`, `16 shots`.
        label_space: Name of the classes.
        videos: Number of listed videos; None if copies of the list differ.
        digest: Hash of the videos' ids (`list_digest`); None if copies differ.
        about: Approximate number of listed videos, if copies differ a little.
    """

    name: str
    benchmark: str
    part: str
    label_space: str
    videos: int | None = None
    digest: str | None = None
    about: int | None = None

    @property
    def is_split(self) -> bool:
        """Whether the list is one of several splits of its data set."""
        return self.part.startswith("split ")

    @property
    def is_for_training(self) -> bool:
        """Whether the list is a few-shot training list."""
        return self.part.endswith(" shots")


@cache
def published_lists() -> tuple[PublishedList, ...]:
    """Reads the lists in `data/published_lists.yaml`."""
    content = yaml.safe_load((shipped("data") / "published_lists.yaml").read_text(encoding="utf-8"))
    return tuple(PublishedList(name, **entry) for name, entry in content.items())


def identify(digest: str, labels: LabelSpace, *, for_training: bool = False) -> PublishedList | None:
    """Returns the published list that a set of videos is equal to, or None.

    A list with a digest is recognized by its videos, others by their classes, if only one such list has them.

    Args:
        digest: Hash of the videos' ids (`list_digest`).
        labels: Classes of the videos.
        for_training: Whether to search the training lists, instead of the test lists.
    """
    candidates = [entry for entry in published_lists() if entry.is_for_training == for_training]
    for entry in candidates:
        if entry.digest == digest:
            return entry
    same = [entry for entry in candidates if entry.digest is None and same_classes(labels, entry.label_space)]
    return same[0] if len(same) == 1 else None


def labels_digest(records: Iterable[VideoRecord], class_names: Sequence[str]) -> str:
    """Hashes the videos of a list together with the names of their classes, in any order.

    Args:
        records: Videos; parts of a video are told apart by their times.
        class_names: Name of each class, by label.

    Returns:
        16 hexadecimal digits.
    """
    return list_digest(
        f"{video_id(record.id)}\t{class_names[record.label] if record.label != UNLABELED else ''}{_times(record)}"
        for record in records
    )


def _times(record: VideoRecord) -> str:
    return "" if record.span == (None, None) else f"\t{record.start}-{record.end}"


def same_classes(labels: LabelSpace, label_space: str) -> bool:
    """Returns whether the classes are those of a packaged label space, in any order and spelling."""
    return frozenset(labels.published) == _classes_of(label_space)


@cache
def _classes_of(label_space: str) -> frozenset[str] | None:
    try:
        return frozenset(LabelSpace.load(label_space).published)
    except LabelSpaceError:
        return None
