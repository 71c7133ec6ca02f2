"""Kinetics-400 (Kay et al., 2017) and Kinetics-600 (Carreira et al., 2018)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ost_lightning.datamodules.published.base import EvaluationSplit, PublishedDataModule
from ost_lightning.datamodules.published.splits import checked_splits
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassFolders, ClassIndex, read_kinetics
from ost_lightning.vocabulary import Part

_SPELLINGS: Final[Mapping[Part, tuple[str, ...]]] = {
    "train": ("train",),
    "val": ("val", "validate", "validation"),
    "test": ("test",),
}


class Kinetics(PublishedDataModule):
    """Base class for both versions: the publisher's CSV files and the names of the videos.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        test_parts: Publisher's parts to evaluate on, or to search for the videos of `lists.test`; defaults to `val`, or
            to all three with a list.
        **kwargs: Arguments of `PublishedDataModule`.
    """

    def __init__(self, root: str, test_parts: Sequence[Part] | None = None, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        # a list may name videos of any part; a name in two parts is the same video
        usual: tuple[Part, ...] = ("val",) if self.lists.test is None else ("val", "train", "test")
        self.test_parts = usual if test_parts is None else tuple(test_parts)

    def read_annotations(
        self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
    ) -> list[VideoRecord]:
        """Reads the CSV file of each part, such as `train.csv`."""
        return [record for name in self._parts(part) for record in read_kinetics(self._csv_file(name), classes)]

    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Returns the class folders below each part, then parts, class folders and the root."""
        parts = [spelling for name in self._parts(part) for spelling in _SPELLINGS[name]]
        classes = dict.fromkeys((class_name, class_name.replace(" ", "_")))
        inside = [f"{folder}/{spelling}" for folder in parts for spelling in classes]
        return [*inside, *parts, *classes, ""]

    def class_in_name(self, path: str) -> str | None:
        """Returns the class whose folder the video lies in, as in `val/playing_guitar/id_000012_000022.mp4`."""
        return self._class_folders.class_of(path)

    @cached_property
    def _class_folders(self) -> ClassFolders:
        return ClassFolders(LabelSpace.load(self.label_space).published)

    def _parts(self, part: Part) -> Sequence[Part]:
        return ("train",) if part == "train" else self.test_parts

    def _csv_file(self, part: Part) -> Path:
        name = self.label_space
        number = name.removeprefix("kinetics")
        prefixes = ("", f"{name}_", f"kinetics_{number}_", f"kinetics-{number}_", f"k{number}_", "kinetics_")
        names = [f"{prefix}{stem}.csv" for stem in _SPELLINGS[part] for prefix in prefixes]
        return self.find_annotations(names, ("", "annotations", name))


class Kinetics400(Kinetics):
    """Kinetics-400: 400 classes, about 240,000 training and 20,000 validation videos; every copy is incomplete.

    Examples:
        >>> Kinetics400("videos/kinetics400").test_parts
        ('val',)
    """

    label_space = "kinetics400"


class Kinetics600(Kinetics):
    """Kinetics-600: 600 classes, and three zero-shot splits of 160 classes that Kinetics-400 does not have.

    The released lists of the zero-shot splits contain videos of the publisher's training, validation and test parts. To
    use them, set `lists.test`; the videos are then searched for in all three parts.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        splits: Zero-shot splits to test on, each with its own label space; an empty list tests on all classes of
            `labels`.
        **kwargs: Arguments of `Kinetics`.

    Examples:
        >>> data = Kinetics600("videos/kinetics600", splits=[1])  # the first zero-shot split
        >>> data.label_space
        'kinetics600'
    """

    label_space = "kinetics600"

    def __init__(self, root: str, splits: Sequence[int] = (1, 2, 3), **kwargs: Any) -> None:
        super().__init__(root, test_labels=None, **kwargs)  # follow from the splits
        self.splits = checked_splits(splits, 3) if splits else ()

    def test_splits(self) -> Mapping[str, EvaluationSplit]:
        """Returns the zero-shot splits, named like their label spaces."""
        return {f"k600-split{k}": EvaluationSplit(f"k600-split{k}", k) for k in self.splits} or super().test_splits()
