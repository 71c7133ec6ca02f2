"""What the data modules of published data sets share: label spaces, splits, shots, own lists."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from ost_lightning.datamodules.base import EvaluationStage, VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_records
from ost_lightning.video.annotations.few_shot import draw_shots

Part = Literal["train", "test"]


@dataclass(frozen=True)
class ListFiles:
    """Lists in place of the publisher's files: `path label` lines as released with ViFi-CLIP, OST and X-CLIP.

    `{split}`, `{shots}` and `{labels}` in a name stand for the number of the split, the shots and the label space.

    Attributes:
        train: Training list. With `{shots}` in its name it holds the drawn videos already.
        test: Test list.
        ignore_name_mismatch: Take the numbers as they are, even where file names tell of another class.
    """

    train: str | None = None
    test: str | None = None
    ignore_name_mismatch: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """One set to evaluate on.

    Attributes:
        labels: Label space.
        split: The publisher's split, if there are several.
    """

    labels: str
    split: int | None = None


class PublishedDataModule(VideoDataModule):
    """A published data set.

    A subclass reads the publisher's files (`published`) and knows where copies keep the videos (`folders`).

    Attributes:
        whole: Label space of the publisher's files.
        mirrorable: Whether a mirrored video still shows its class.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        annotations: Folder of the publisher's annotation files; looked for below the root if not given.
        lists: Lists in place of the publisher's files.
        labels: Label space of training.
        tests: Sets to evaluate on, by name; validation looks at the first only.
        split: The publisher's split that is trained on, if there are several.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole: ClassVar[str]
    mirrorable: ClassVar[bool] = True

    def __init__(
        self,
        root: str,
        annotations: Path | None,
        lists: ListFiles,
        labels: str,
        tests: Mapping[str, EvaluationSet],
        split: int | None,
        shots: int | None,
        shots_seed: int,
        clips: ClipSettings,
        loading: LoadingSettings,
    ) -> None:
        super().__init__(clips, loading)
        self.root, self.annotations, self.lists = root, annotations, lists
        self.labels, self.tests, self.split = labels, tests, split
        self.shots, self.shots_seed = shots, shots_seed

    @abstractmethod
    def published(self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]) -> list[VideoRecord]:
        """Reads the publisher's files.

        Args:
            part: train or test.
            split: Number of the split, if there are several.
            classes: All classes of the data set.
            wanted: Those that will be kept.
        """

    @abstractmethod
    def folders(self, part: Part, published: str) -> Sequence[str]:
        """Folders below the root where videos of a class may be.

        Args:
            part: train or test.
            published: The publisher's spelling of the class.
        """

    def named_class(self, path: str) -> str | None:
        """The publisher's spelling of the class that a file name tells, if it tells one."""
        return None

    def training_videos(self) -> LabeledVideos:
        """The training part, or K videos of each of its classes."""
        listed = self._listed("train", EvaluationSet(self.labels, self.split), self.lists.train)
        if self.shots is None:
            return listed
        if self.lists.train is not None and "{shots}" in self.lists.train:
            counts = Counter(record.label for record in listed.records)
            wrong = [name for k, name in enumerate(listed.labels.names) if counts[k] != self.shots]
            if wrong:
                found = counts[listed.labels.names.index(wrong[0])]
                raise UserError(
                    f"{self.lists.train} is not a list of {self.shots} shots: it has {found} videos of '{wrong[0]}'."
                )
            return listed
        ids, labels = zip(*((record.id, record.label) for record in listed.records), strict=True)
        drawn = draw_shots(ids, labels, self.shots, self.shots_seed)
        missing = frozenset(place for place, origin in enumerate(drawn) if origin in listed.missing)
        return replace(listed, records=[listed.records[place] for place in drawn], missing=missing)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """All test sets; for validation the first."""
        chosen = list(self.tests.items())[: 1 if stage == "val" else None]
        return {name: self._listed("test", wanted, self.lists.test) for name, wanted in chosen}

    def _listed(self, part: Part, wanted: EvaluationSet, list_file: str | None) -> LabeledVideos:
        labels = LabelSpace.load(wanted.labels)
        if list_file is None:
            records = self._of_publisher(part, wanted.split, labels)
        else:
            file = self._file(list_file, wanted)
            records = read_records(file, ClassIndex(labels.names, labels.published))
            self._check_names(records, labels, file)

        first = [] if list_file is None else [""]
        known = [[*first, *self.folders(part, published)] for published in labels.published]
        return locate(records, self.root, labels, lambda record: known[record.label], mirrorable=self.mirrorable)

    def _of_publisher(self, part: Part, split: int | None, labels: LabelSpace) -> list[VideoRecord]:
        """The publisher's records of the wanted classes, with their numbers."""
        whole = LabelSpace.load(self.whole)
        places = ClassIndex(whole.names, whole.published).places
        number: dict[int, int] = {}
        for index, (name, published) in enumerate(zip(labels.names, labels.published, strict=True)):
            place = places.get(published, places.get(name))
            if place is None:
                raise UserError(
                    f"The label space {labels.origin} has a class '{name}' that {self.whole} has not. Give the "
                    f"publisher's spelling behind a tab in its classes.txt, or use lists of your own."
                )
            number[place] = index
        records = self.published(part, split, ClassIndex(whole.names, whole.published), sorted(number))
        chosen = [replace(record, label=number[record.label]) for record in records if record.label in number]
        if not chosen:
            raise UserError(f"The publisher's files have no {part} video of a class of {labels.origin}.")
        return chosen

    def _file(self, pattern: str, wanted: EvaluationSet) -> Path:
        values = {"split": wanted.split, "shots": self.shots, "labels": Path(wanted.labels).name}
        try:
            return Path(pattern.format(**{name: value for name, value in values.items() if value is not None}))
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"The list {pattern} has a place in braces that this run gives no value for. There may be {{split}} "
                f"(of a data set with several), {{shots}} (if `shots` is set) and {{labels}}."
            ) from error

    def _check_names(self, records: Sequence[VideoRecord], labels: LabelSpace, file: Path) -> None:
        """Compares a list's numbers with what the file names tell."""
        if self.lists.ignore_name_mismatch:
            return
        known = set(labels.published)
        wrong = [
            (record, named)
            for record in records
            if (named := self.named_class(str(record.path))) in known and named != labels.published[record.label]
        ]
        if wrong:
            record, named = wrong[0]
            raise UserError(
                f"{file}: by its name {record.id} shows '{named}', but its label {record.label} is "
                f"'{labels.names[record.label]}' in {labels.origin}; {len(wrong)} of {len(records)} lines differ so. "
                f"Use the label space that the list was made for, or take the numbers as they are with "
                f"--data.lists.ignore_name_mismatch true."
            )


def by_split(
    labels: str, test_labels: Sequence[str] | None, splits: Sequence[int], allowed: int
) -> dict[str, EvaluationSet]:
    """Test sets of a data set with several splits: `labels-splitN`, or the label space's name alone for its parts.

    Args:
        labels: Label space of training.
        test_labels: Of evaluation; that of training if not given.
        splits: Numbers of the splits.
        allowed: How many splits there are.

    Raises:
        UserError: If a split does not exist.
    """
    if not splits or not set(splits) <= set(range(1, allowed + 1)) or len(set(splits)) < len(splits):
        raise UserError(f"splits is {list(splits)}: expected distinct numbers from 1 to {allowed}.")
    return {
        f"{Path(name).name}-split{split}": EvaluationSet(name, split)
        for name in test_labels or [labels]
        for split in splits
    }


def by_labels(labels: str, test_labels: Sequence[str] | None) -> dict[str, EvaluationSet]:
    """Test sets of a data set without splits, called as their label spaces."""
    return {Path(name).name: EvaluationSet(name) for name in test_labels or [labels]}


def find_annotations(names: Sequence[str], given: Path | None, root: str, below: Sequence[str]) -> Path:
    """The first of the publisher's files that is there.

    Args:
        names: Its usual names.
        given: The folder that the user named; nothing else is looked at then.
        root: Of the videos.
        below: Usual folders below the root.

    Raises:
        UserError: If none is there.
    """
    folders = [given] if given is not None else [Path(root) / folder for folder in below]
    for folder in folders:
        for name in names:
            if (folder / name).exists():
                return folder / name
    places = ", ".join(map(str, folders))
    raise UserError(
        f"The publisher's annotation file {' or '.join(names)} is not in {places}. Set the data's "
        f"`annotations` to its folder, or use lists (`lists.train`, `lists.test`)."
    )
