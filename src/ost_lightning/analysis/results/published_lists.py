"""Published lists of videos, recognized by their content, whatever file they were read from."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import yaml

from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace, LabelSpaceError
from ost_lightning.video import UNLABELED, VideoRecord
from ost_lightning.video.annotations import ClassFolders, plain_name
from ost_lightning.video.annotations.video_ids import list_digest, video_id

_SHORTFALL: Final = 0.1
"""Largest share of a list that may have vanished since it was published."""
_EXCESS: Final = 0.02
_REPEATED: Final = 0.01
"""Largest share of videos that may be listed twice, as parts of one recording are in Kinetics."""
_PART_FOLDER: Final = re.compile(
    r"(train(ing)?|val|validat(e|ion)|test(ing)?)([ _-]?(set|part|videos|\d+))?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A published list of videos.

    Attributes:
        name: Name of the list, for example `hmdb51-split1`.
        benchmark: Data set that the list belongs to.
        part: Part of the data set: `split 1`, `validation`, `base`, `novel`, `16 shots`. What sets a list apart from
            the usual one of its part follows a comma: `split 1, labels as released`.
        label_space: Name of the classes.
        videos: Number of listed videos; None if copies of the list differ.
        digest: Hash of the videos' ids (`list_digest`); None if it is unknown, or copies differ.
        labels: Hash of the videos with their classes (`labels_digest`), in the publisher's spelling; None if `digest`
            is None.
        about: Approximate number of listed videos, if copies differ a little.
    """

    name: str
    benchmark: str
    part: str
    label_space: str
    videos: int | None = None
    digest: str | None = None
    labels: str | None = None
    about: int | None = None

    @property
    def is_split(self) -> bool:
        """Whether the list is one of several splits of its data set."""
        return self.part.startswith("split ")

    @property
    def is_for_training(self) -> bool:
        """Whether the list is a few-shot training list."""
        return self.part.endswith(" shots")

    @property
    def draws_on_all_parts(self) -> bool:
        """Whether the list names videos of the publisher's training part too, as those of Kinetics-600 do."""
        return self.is_split and ", " not in self.part

    def may_have(self, count: int) -> bool:
        """Returns whether a copy of the list may have so many videos."""
        if self.videos is not None:
            return count == self.videos
        return self.about is None or (1 - _SHORTFALL) * self.about <= count <= (1 + _EXCESS) * self.about


@dataclass(frozen=True, slots=True)
class Identification:
    """Comparison of a set of videos with the published lists.

    Attributes:
        list: List with the same videos and labels; None if there is none.
        doubt: Reason why a set with the videos or classes of a published list is not that list, as a sentence without
            a subject; empty if there is none.
    """

    list: PublishedList | None
    doubt: str = ""


@cache
def published_lists() -> tuple[PublishedList, ...]:
    """Reads the lists in `data/published_lists.yaml`."""
    content = yaml.safe_load((shipped("data") / "published_lists.yaml").read_text(encoding="utf-8"))
    return tuple(PublishedList(name, **entry) for name, entry in content.items())


def identify(records: Sequence[VideoRecord], labels: LabelSpace, *, for_training: bool = False) -> Identification:
    """Finds the published list that a set of videos is equal to.

    A list with a digest has to have the same videos with the same classes. Lists whose videos vanish over time are
    recognized by their classes and number of videos, unless folders in the paths contradict the part or the labels.

    Args:
        records: Videos of the set.
        labels: Classes of the videos.
        for_training: Whether to search the training lists, instead of the test lists.
    """
    candidates = [entry for entry in published_lists() if entry.is_for_training == for_training]
    same_number = [entry for entry in candidates if entry.digest is not None and entry.videos == len(records)]
    digest = list_digest(video_id(record.id) for record in records) if same_number else None
    same_videos = [entry for entry in same_number if entry.digest == digest]
    for entry in same_videos:
        if labels_digest(records, _spelled_as_in(labels, entry.label_space)) == entry.labels:
            return Identification(entry)
    if same_videos:
        name = same_videos[0].name
        return Identification(
            None, f"has the videos of {name}, but other labels or class names, so it is not called {name}."
        )
    same_space = [entry for entry in candidates if entry.digest is None and same_classes(labels, entry.label_space)]
    doubts = [(entry, _contradiction(entry, records, labels)) for entry in same_space]
    matching = [entry for entry, doubt in doubts if doubt is None]
    if len(matching) == 1:
        return Identification(matching[0])
    if matching or not doubts:
        return Identification(None)
    entry, doubt = doubts[0]
    return Identification(None, f"has the classes of {entry.name}, but {doubt}, so it is not called {entry.name}.")


def _contradiction(entry: PublishedList, records: Sequence[VideoRecord], labels: LabelSpace) -> str | None:
    """Returns what speaks against a list without a digest, as a clause; None if nothing does."""
    if not entry.may_have(len(records)):
        expected = f"{entry.videos:,}" if entry.videos is not None else f"about {entry.about:,}"
        return f"{len(records):,} videos instead of {expected}"
    repeated = len(records) - len({video_id(record.id) for record in records})
    if repeated > _REPEATED * len(records):
        return f"{repeated:,} of its videos are listed again"
    if not entry.draws_on_all_parts and (training := sum(_in_training_folder(record.id) for record in records)):
        return f"{training:,} of its videos lie in a folder of training videos"
    folders = ClassFolders(labels.published)
    named = [(record, folders.class_of(record.id)) for record in records]
    wrong = [record for record, name in named if name is not None and name != _class_of(record, labels)]
    if wrong:
        return f"{len(wrong):,} of its videos lie in the folder of another class than their label's ({wrong[0].id})"
    return None


def _in_training_folder(path: str) -> bool:
    """Returns whether the nearest folder that is named after a part of a data set is that of the training part."""
    folders = path.replace("\\", "/").split("/")[-2::-1]
    return next((folder for folder in folders if _PART_FOLDER.fullmatch(folder)), "").lower().startswith("train")


def _class_of(record: VideoRecord, labels: LabelSpace) -> str | None:
    return labels.published[record.label] if record.label != UNLABELED else None


def list_named(name: str | None) -> PublishedList | None:
    """Returns a published list by its name; None if there is none of that name."""
    return next((entry for entry in published_lists() if entry.name == name), None)


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
    known = set(_spellings_of(label_space).values())
    spelled = _spelled_as_in(labels, label_space)
    return bool(known) and len(spelled) == len(known) and set(spelled) == known


def _spelled_as_in(labels: LabelSpace, label_space: str) -> list[str]:
    """Returns each class in the publisher's spelling of a packaged label space; its own if that has no such class."""
    known = _spellings_of(label_space)
    return [
        known.get(plain_name(published), known.get(plain_name(name), published))
        for name, published in zip(labels.names, labels.published, strict=True)
    ]


@cache
def _spellings_of(label_space: str) -> dict[str, str]:
    """Returns the publisher's spelling of each class by its plain name; nothing if there is no such label space."""
    try:
        labels = LabelSpace.load(label_space)
    except LabelSpaceError:
        return {}
    pairs = list(zip(labels.names, labels.published, strict=True))
    return {plain_name(name): published for name, published in pairs} | {plain_name(name): name for _, name in pairs}
