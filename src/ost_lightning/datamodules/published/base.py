"""Base class for published data sets: label spaces, few-shot subsets, released lists."""

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
from ost_lightning.vocabulary import EvaluationStage, Part, counted


@dataclass(frozen=True)
class ListFiles:
    """Lists that replace the publisher's files: `path label` lines as released with ViFi-CLIP, OST and X-CLIP.

    `{split}`, `{shots}` and `{labels}` in a name stand for the split number, the number of shots and the label space.

    Attributes:
        train: Training list; with `{shots}` in its name, it already is the few-shot subset.
        test: Test list.
        ignore_name_mismatch: Whether to trust the labels of a list even where a path names another class.
    """

    train: str | None = None
    test: str | None = None
    ignore_name_mismatch: bool = False


@dataclass(frozen=True, slots=True)
class EvaluationSplit:
    """Definition of one evaluation set.

    Attributes:
        labels: Label space.
        split: Number of the publisher's split; None if there is only one.
    """

    labels: str
    split: int | None = None


class PublishedDataModule(VideoDataModule):
    """A published data set.

    A subclass reads the publisher's files (`read_annotations`) and lists the folders in which copies keep the videos
    (`video_folders`). A subclass with additional arguments passes the others on as `**kwargs`; the command line still
    lists and checks each of them.

    Attributes:
        label_space: Label space of the publisher's files, with all classes of the data set.
        mirrorable: Whether a mirrored video still shows its class.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        labels: Label space for training; all classes of the data set if not given.
        test_labels: Label spaces for evaluation, such as the base and the novel classes; defaults to that of training.
        annotations: Folder of the publisher's annotation files; searched for below the root if not given.
        lists: Lists that replace the publisher's files.
        shots: Number of training videos per class; all if not given.
        shots_seed: Seed for drawing the few-shot subset.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.
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
            part: `train`, or `test` for the part that the data set is tested on.
            split: Number of the split; None if there is only one.
            classes: All classes of the data set.
            wanted: Labels of the classes to keep.

        Returns:
            Records with labels that index `classes`; their paths are looked up in `video_folders`.
        """

    @abstractmethod
    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Returns the folders below the root that may contain videos of a class, most likely first.

        Args:
            part: `train` or `test`.
            class_name: The publisher's spelling of the class.
        """

    def class_in_name(self, path: str) -> str | None:
        """Returns the publisher's spelling of the class that a path names, or None if it names none."""
        return None

    @property
    def training_split(self) -> int | None:
        """Number of the publisher's split for training; None if there is only one."""
        return None

    def test_splits(self) -> Mapping[str, EvaluationSplit]:
        """Returns the evaluation sets by name; validation uses only the first."""
        return {Path(labels).name: EvaluationSplit(labels) for labels in self.test_labels}

    def training_videos(self) -> LabeledVideos:
        """Returns the training part, or the few-shot subset of it."""
        listed = self._listed("train", EvaluationSplit(self.labels, self.training_split), self.lists.train)
        if self.shots is None:
            return listed
        if self.lists.train is not None and "{shots}" in self.lists.train:
            self._check_shots(listed)
            return listed
        return listed.draw_shots(self.shots, self.shots_seed)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns all test sets; for validation only the first."""
        chosen = list(self.test_splits().items())[: 1 if stage == "val" else None]
        return {name: self._listed("test", wanted, self.lists.test) for name, wanted in chosen}

    def find_annotations(self, names: Sequence[str], below: Sequence[str]) -> Path:
        """Returns the first of the publisher's files that exists.

        Args:
            names: Usual names of the file.
            below: Usual folders below the root; ignored if `annotations` is set.

        Raises:
            UserError: If none of them exists.
        """
        folders = [self.annotations] if self.annotations is not None else [Path(self.root) / name for name in below]
        for folder in folders:
            for name in names:
                if (folder / name).exists():
                    return folder / name
        raise UserError(
            f"The publisher's annotation file {' or '.join(names)} was not found in {', '.join(map(str, folders))}. "
            f"Set the data's `annotations` to its folder, or use lists (`lists.train`, `lists.test`)."
        )

    def _listed(self, part: Part, wanted: EvaluationSplit, list_file: str | None) -> LabeledVideos:
        labels = LabelSpace.load(wanted.labels)
        if list_file is None:
            records, first, source = self._annotated(part, wanted.split, labels), [], ""
        else:
            file = self._list_file(list_file, wanted)
            records, first, source = read_records(file, ClassIndex(labels.names, labels.published)), [""], str(file)
            self._check_names(records, labels, file)
        folders = [[*first, *self.video_folders(part, class_name)] for class_name in labels.published]
        return locate(
            records,
            self.root,
            labels,
            lambda record: folders[record.label],
            mirrorable=self.mirrorable,
            source=source,
            contradictions=list_file is None,
        )

    def _annotated(self, part: Part, split: int | None, labels: LabelSpace) -> list[VideoRecord]:
        """Returns the publisher's records of the classes of a label space, with its labels."""
        all_classes = LabelSpace.load(self.label_space)
        index = ClassIndex(all_classes.names, all_classes.published)
        label_of: dict[int, int] = {}
        for label, (name, published) in enumerate(zip(labels.names, labels.published, strict=True)):
            publisher_label = index.index_of.get(published, index.index_of.get(name))
            if publisher_label is None:
                raise UserError(
                    f"The label space {labels.origin} has a class '{name}', which {self.label_space} does not have. "
                    f"Add the publisher's spelling after a tab in its classes.txt, or use your own lists."
                )
            label_of[publisher_label] = label
        records = self.read_annotations(part, split, index, sorted(label_of))
        chosen = [replace(record, label=label_of[record.label]) for record in records if record.label in label_of]
        if not chosen:
            raise UserError(f"The publisher's files contain no {part} video of any class of {labels.origin}.")
        return chosen

    def _list_file(self, pattern: str, wanted: EvaluationSplit) -> Path:
        values = {"split": wanted.split, "shots": self.shots, "labels": Path(wanted.labels).name}
        try:
            return Path(pattern.format(**{name: value for name, value in values.items() if value is not None}))
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(
                f"The list {pattern} has a field in braces that has no value in this run. Allowed are {{split}} "
                f"(for data sets with several splits), {{shots}} (if `shots` is set) and {{labels}}."
            ) from error

    def _check_shots(self, listed: LabeledVideos) -> None:
        """Raises unless a released few-shot list has the requested number of videos per class."""
        counts = Counter(record.label for record in listed.records)
        for label, name in enumerate(listed.labels.names):
            if counts[label] != self.shots:
                raise UserError(
                    f"{self.lists.train} is not a list of {self.shots} shots: it has "
                    f"{counted(counts[label], 'video')} of '{name}'."
                )

    def _check_names(self, records: Sequence[VideoRecord], labels: LabelSpace, file: Path) -> None:
        """Raises if the labels of a list contradict the classes in its paths."""
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
                f"{file}: the path {record.id} says '{named}', but its label {record.label} is "
                f"'{labels.names[record.label]}' in {labels.origin}; {len(wrong)} of {len(records)} lines have such a "
                f"mismatch. Use the label space that the list was written for, or trust the labels with "
                f"--data.lists.ignore_name_mismatch true."
            )
