"""Base of the data modules of published data sets: label spaces, shots, released lists."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_records
from ost_lightning.video.annotations.few_shot import draw_shots
from ost_lightning.vocabulary import EvaluationStage, Part


@dataclass(frozen=True)
class ListFiles:
    """Lists in place of the publisher's files: `path label` lines as released with ViFi-CLIP, OST and X-CLIP.

    `{split}`, `{shots}` and `{labels}` in a name stand for the number of the split, the shots and the label space.

    Attributes:
        train: Training list. With `{shots}` in its name it holds the drawn videos already.
        test: Test list.
        ignore_name_mismatch: Trust the numbers of a list even where a file name says another class.
    """

    train: str | None = None
    test: str | None = None
    ignore_name_mismatch: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationSplit:
    """What one evaluation set consists of.

    Attributes:
        labels: Label space.
        split: Number of the publisher's split, if there are several.
    """

    labels: str
    split: int | None = None


class PublishedDataModule(VideoDataModule):
    """A published data set.

    A subclass reads the publisher's files (`read_annotations`) and lists the folders in which copies keep the videos
    (`video_folders`). One with arguments of its own passes the others on as `**kwargs`; the command line still knows
    and checks each of them.

    Attributes:
        label_space: Label space of the publisher's files, which has all classes of the data set.
        mirrorable: Whether a mirrored video still shows its class.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        labels: Label space of training; all classes of the data set if not given.
        test_labels: Label spaces of evaluation, such as the base and the novel classes; that of training if not given.
        annotations: Folder of the publisher's annotation files; searched for below the root if not given.
        lists: Lists in place of the publisher's files.
        shots: Videos per class to train on; all if not given.
        shots_seed: Seed for drawing the few-shot subset.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    label_space: ClassVar[str]
    mirrorable: ClassVar[bool] = True

    def __init__(
        self,
        root: str,
        labels: str | None = None,
        test_labels: Sequence[str] | None = None,
        annotations: Path | None = None,
        lists: ListFiles = ListFiles(),  # frozen
        shots: int | None = None,
        shots_seed: int = 0,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.root, self.annotations, self.lists = root, annotations, lists
        self.labels = labels or self.label_space
        self.test_labels = tuple(test_labels or (self.labels,))
        self.shots, self.shots_seed = shots, shots_seed

    @abstractmethod
    def read_annotations(
        self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
    ) -> list[VideoRecord]:
        """Reads the publisher's files.

        Args:
            part: `train`, or `test` for what the data set is tested on.
            split: Number of the split, if there are several.
            classes: All classes of the data set.
            wanted: Labels of the classes that will be kept.

        Returns:
            Records labeled by `classes`; their paths are looked for in `video_folders`.
        """

    @abstractmethod
    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Folders below the root where videos of a class may be, the likeliest first.

        Args:
            part: `train` or `test`.
            class_name: The publisher's spelling of the class.
        """

    def class_in_name(self, path: str) -> str | None:
        """The publisher's spelling of the class that a file name contains, or None if it contains none."""
        return None

    @property
    def training_split(self) -> int | None:
        """Number of the publisher's split that is trained on, if there are several."""
        return None

    def test_splits(self) -> Mapping[str, EvaluationSplit]:
        """Evaluation sets by name; validation uses the first only."""
        return {Path(labels).name: EvaluationSplit(labels) for labels in self.test_labels}

    def training_videos(self) -> LabeledVideos:
        """The training part, or K videos of each of its classes."""
        listed = self._listed("train", EvaluationSplit(self.labels, self.training_split), self.lists.train)
        if self.shots is None:
            return listed
        if self.lists.train is not None and "{shots}" in self.lists.train:
            self._check_shots(listed)
            return listed
        ids, labels = zip(*((record.id, record.label) for record in listed.records), strict=True)
        drawn = draw_shots(ids, labels, self.shots, self.shots_seed)
        missing = frozenset(place for place, origin in enumerate(drawn) if origin in listed.missing)
        return replace(listed, records=[listed.records[place] for place in drawn], missing=missing)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """All test sets; for validation the first."""
        chosen = list(self.test_splits().items())[: 1 if stage == "val" else None]
        return {name: self._listed("test", wanted, self.lists.test) for name, wanted in chosen}

    def find_annotations(self, names: Sequence[str], below: Sequence[str]) -> Path:
        """The first of the publisher's files that exists.

        Args:
            names: Usual names of the file.
            below: Usual folders below the root; ignored if the user named the folder.

        Raises:
            UserError: If there is no such file.
        """
        folders = [self.annotations] if self.annotations is not None else [Path(self.root) / name for name in below]
        for folder in folders:
            for name in names:
                if (folder / name).exists():
                    return folder / name
        raise UserError(
            f"The publisher's annotation file {' or '.join(names)} is not in {', '.join(map(str, folders))}. Set the "
            f"data's `annotations` to its folder, or use lists (`lists.train`, `lists.test`)."
        )

    def _listed(self, part: Part, wanted: EvaluationSplit, list_file: str | None) -> LabeledVideos:
        labels = LabelSpace.load(wanted.labels)
        if list_file is None:
            records, first = self._annotated(part, wanted.split, labels), []
        else:
            file = self._list_file(list_file, wanted)
            records, first = read_records(file, ClassIndex(labels.names, labels.published)), [""]
            self._check_names(records, labels, file)
        folders = [[*first, *self.video_folders(part, class_name)] for class_name in labels.published]
        return locate(records, self.root, labels, lambda record: folders[record.label], mirrorable=self.mirrorable)

    def _annotated(self, part: Part, split: int | None, labels: LabelSpace) -> list[VideoRecord]:
        """The publisher's records of the classes of a label space, with its labels."""
        whole = LabelSpace.load(self.label_space)
        index = ClassIndex(whole.names, whole.published)
        label_of: dict[int, int] = {}
        for label, (name, published) in enumerate(zip(labels.names, labels.published, strict=True)):
            place = index.index_of.get(published, index.index_of.get(name))
            if place is None:
                raise UserError(
                    f"The label space {labels.origin} has a class '{name}', which {self.label_space} does not have. "
                    f"Give the publisher's spelling behind a tab in its classes.txt, or use lists of your own."
                )
            label_of[place] = label
        records = self.read_annotations(part, split, index, sorted(label_of))
        chosen = [replace(record, label=label_of[record.label]) for record in records if record.label in label_of]
        if not chosen:
            raise UserError(f"The publisher's files have no {part} video of any class of {labels.origin}.")
        return chosen

    def _list_file(self, pattern: str, wanted: EvaluationSplit) -> Path:
        values = {"split": wanted.split, "shots": self.shots, "labels": Path(wanted.labels).name}
        try:
            return Path(pattern.format(**{name: value for name, value in values.items() if value is not None}))
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"The list {pattern} has a field in braces that this run gives no value for. Allowed are {{split}} "
                f"(for data sets with several splits), {{shots}} (if `shots` is set) and {{labels}}."
            ) from error

    def _check_shots(self, listed: LabeledVideos) -> None:
        """Raises unless a released few-shot list has as many videos of each class as were asked for."""
        counts = Counter(record.label for record in listed.records)
        for label, name in enumerate(listed.labels.names):
            if counts[label] != self.shots:
                raise UserError(
                    f"{self.lists.train} is not a list of {self.shots} shots: it has {counts[label]} videos of "
                    f"'{name}'."
                )

    def _check_names(self, records: Sequence[VideoRecord], labels: LabelSpace, file: Path) -> None:
        """Raises if a list's numbers contradict the classes in its file names."""
        if self.lists.ignore_name_mismatch:
            return
        known = set(labels.published)
        wrong = [
            (record, named)
            for record in records
            if (named := self.class_in_name(str(record.path))) in known and named != labels.published[record.label]
        ]
        if wrong:
            record, named = wrong[0]
            raise UserError(
                f"{file}: by its name {record.id} shows '{named}', but its label {record.label} is "
                f"'{labels.names[record.label]}' in {labels.origin}; {len(wrong)} of {len(records)} lines differ like "
                f"this. Use the label space that the list was made for, or trust the numbers with "
                f"--data.lists.ignore_name_mismatch true."
            )
