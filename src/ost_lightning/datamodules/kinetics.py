"""Kinetics-400 (Kay et al., 2017) and Kinetics-600 (Carreira et al., 2018)."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

from ost_lightning.datamodules.published import (
    EvaluationSet,
    ListFiles,
    Part,
    PublishedDataModule,
    by_labels,
    by_split,
    find_annotations,
)
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_kinetics

KineticsPart = Literal["train", "val", "test"]
_SPELLINGS: Final = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}


class Kinetics(PublishedDataModule):
    """What both have in common: the publisher's CSV files and the names of the videos.

    Args:
        test_parts: The publisher's parts that are evaluated on, or where the videos of `lists.test` are looked for; if
            not given, val, or all three with a list.
        root: See `PublishedDataModule`; so are the others.
        annotations: Folder of the publisher's CSV files.
        lists: Lists in place of these.
        labels: Label space of training.
        tests: Sets to evaluate on.
        shots: Videos of each class to train on.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    number: ClassVar[str]

    def __init__(
        self,
        test_parts: Sequence[KineticsPart] | None,
        root: str,
        annotations: Path | None,
        lists: ListFiles,
        labels: str,
        tests: dict[str, EvaluationSet],
        shots: int | None,
        shots_seed: int,
        clips: ClipSettings,
        loading: LoadingSettings,
    ) -> None:
        super().__init__(root, annotations, lists, labels, tests, None, shots, shots_seed, clips=clips, loading=loading)
        # a list may name videos of any part; a name in two parts is the same video
        usual: tuple[KineticsPart, ...] = ("val",) if lists.test is None else ("val", "train", "test")
        self.test_parts = usual if test_parts is None else tuple(test_parts)

    def published(self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]) -> list[VideoRecord]:
        """Reads `train.csv`, `val.csv` and the like."""
        chosen: Sequence[KineticsPart] = ("train",) if part == "train" else self.test_parts
        return [record for name in chosen for record in read_kinetics(self._file_of(name), classes)]

    def folders(self, part: Part, published: str) -> Sequence[str]:
        """Below folders of the parts, by class or all together."""
        chosen: Sequence[KineticsPart] = ("train",) if part == "train" else self.test_parts
        parts = [spelling for name in chosen for spelling in _SPELLINGS[name]]
        classes = (published, published.replace(" ", "_"))
        inside = [f"{folder}/{class_}" for folder in parts for class_ in dict.fromkeys(classes)]
        return [*inside, *parts, *dict.fromkeys(classes), ""]

    def _file_of(self, part: KineticsPart) -> Path:
        whole, number = self.whole, self.number
        stems = [spelling for spelling in _SPELLINGS[part]]
        prefixes = ("", f"{whole}_", f"kinetics_{number}_", f"kinetics-{number}_", f"k{number}_", "kinetics_")
        names = [f"{prefix}{stem}.csv" for stem in stems for prefix in prefixes]
        return find_annotations(names, self.annotations, self.root, ("", "annotations", whole))


class Kinetics400(Kinetics):
    """Kinetics-400: 400 classes; about 240,000 training and 20,000 validation videos, of which every copy lacks some.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        labels: Label space of training.
        test_labels: Label spaces of evaluation, such as `kinetics400-base` and `kinetics400-novel`; that of training if
            not given.
        test_parts: The publisher's parts that are evaluated on, or where the videos of `lists.test` are looked for; if
            not given, val, or all three with a list.
        annotations: Folder of the publisher's CSV files; looked for below the root if not given.
        lists: Lists in place of the publisher's files.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole = "kinetics400"
    number = "400"

    def __init__(
        self,
        root: str,
        labels: str = "kinetics400",
        test_labels: Sequence[str] | None = None,
        test_parts: Sequence[KineticsPart] | None = None,
        annotations: Path | None = None,
        lists: ListFiles = ListFiles(),  # frozen
        shots: int | None = None,
        shots_seed: int = 0,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        tests = by_labels(labels, test_labels)
        super().__init__(test_parts, root, annotations, lists, labels, tests, shots, shots_seed, clips, loading)


class Kinetics600(Kinetics):
    """Kinetics-600: 600 classes, and three zero-shot splits of 160 that Kinetics-400 has not.

    The released lists of the zero-shot splits draw on the publisher's training, validation and test parts; to use them,
    set `lists.test`: their videos are looked for in all three.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        splits: Zero-shot splits that are tested; none tests on all classes of `labels`.
        labels: Label space of training.
        test_parts: The publisher's parts that are evaluated on, or where the videos of `lists.test` are looked for; if
            not given, val, or all three with a list.
        annotations: Folder of the publisher's CSV files; looked for below the root if not given.
        lists: Lists in place of the publisher's files.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole = "kinetics600"
    number = "600"

    def __init__(
        self,
        root: str,
        splits: Sequence[int] = (1, 2, 3),
        labels: str = "kinetics600",
        test_parts: Sequence[KineticsPart] | None = None,
        annotations: Path | None = None,
        lists: ListFiles = ListFiles(),  # frozen
        shots: int | None = None,
        shots_seed: int = 0,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        tests = by_labels(labels, None)
        if splits:
            tests = {
                name: EvaluationSet(name, wanted.split) for name, wanted in by_split("k600", None, splits, 3).items()
            }
        super().__init__(test_parts, root, annotations, lists, labels, tests, shots, shots_seed, clips, loading)
