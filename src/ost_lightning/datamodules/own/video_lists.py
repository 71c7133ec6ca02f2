"""Your own videos in lists: `path label` lines or CSV, with a label space."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.own.below_root import find_list, label_space, list_file
from ost_lightning.datamodules.own.named_sets import named_sets
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.video.annotations import ClassIndex, read_records
from ost_lightning.vocabulary import EvaluationStage, Part


@dataclass(frozen=True)
class VideoList:
    """One list of videos.

    Attributes:
        list: File of `path label` lines, or CSV with a header; below `root` or relative to the working folder.
            Prediction needs no labels.
        labels: Name of a label space, or its folder below `root` or relative to the working folder; defaults to that of
            the data module.
        root: Base of the list's paths (see `VideoLists`); defaults to that of the data module.
        optional: Whether the list may be missing; the data then has no such set.
    """

    list: Path
    labels: str | None = None
    root: str | None = None
    optional: bool = False


_KEYS: Final = tuple(field.name for field in fields(VideoList))


class VideoLists(VideoDataModule):
    """Videos from one or several lists.

    A list is given by its file alone, or as `{list: FILE, labels: LABELS, root: ROOT}`.

    Args:
        root: Base of the lists' paths: a folder of videos, frame folders or tar shards, or a URL. The lists themselves
            and the label spaces are searched for there first, and then in the working folder.
        train: Training list.
        shots: Number of videos per class to draw from the training list, with the seed of `loading` or of the run; all
            if not given.
        val: Validation list, or several by name; a single one is named `val`.
        test: Test list, or several by name; a single one is named `test`. Also used by `predict`.
        labels: Name or folder of the label space for lists given without one. None for that of the other lists, or, if
            no list has one, for the root itself, which then contains classes.txt.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> data = VideoLists("videos", test=Path("test.txt"), clips=ClipSettings(frames=8))  # videos/test.txt
        >>> data.has_part("train")
        False
    """

    def __init__(
        self,
        root: str,
        train: Path | VideoList | None = None,
        shots: int | None = None,
        val: Path | VideoList | dict[str, Path | VideoList] | None = None,
        test: Path | VideoList | dict[str, Path | VideoList] | None = None,
        labels: str | None = None,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.root, self.shots, self.labels = root, shots, labels
        self.train = None if train is None else _video_list(train)
        self.val, self.test = _video_lists(val, "val"), _video_lists(test, "test")

    def has_part(self, part: Part) -> bool:
        """Returns whether a part has videos; only training is optional."""
        return part != "train" or self.train is not None

    def training_videos(self) -> LabeledVideos:
        """Returns the videos of the training list."""
        if self.train is None:
            raise UserError(
                "There is nothing to train on: set the data's `train` to a list of videos and its label space."
            )
        return self._read(self.train, self.shots)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns the lists of a stage, without optional ones that are missing."""
        lists, labeled = self.val if stage == "val" else self.test, stage != "predict"
        return {
            name: self._read(listed, labeled=labeled)
            for name, listed in lists.items()
            if not listed.optional or find_list(listed.list, self._root_of(listed)) is not None
        }

    def _root_of(self, listed: VideoList) -> str:
        return str(listed.root or self.root)

    def _read(self, listed: VideoList, shots: int | None = None, *, labeled: bool = True) -> LabeledVideos:
        root = self._root_of(listed)
        labels = label_space(listed.labels or self._default_labels(listed), root)
        file = list_file(listed.list, root)
        records = read_records(file, ClassIndex(labels.names, labels.published), labeled=labeled)
        videos = locate(records, root, labels, source=str(file))
        return videos if shots is None else videos.draw_shots(shots, self.seed)

    def _default_labels(self, listed: VideoList) -> str | None:
        """Returns the label space of a list given without one; None for the root itself."""
        lists = (*([self.train] if self.train else ()), *self.val.values(), *self.test.values())
        given = {self.labels} if self.labels is not None else {other.labels for other in lists} - {None}
        if len(given) > 1:
            raise UserError(
                f"The list {listed.list} has no label space, and the other lists have several. Set the data's `labels` "
                f"to one, or give it with the list: {{list: {listed.list}, labels: FOLDER}}."
            )
        return next(iter(given), None)


def _video_lists(
    given: Path | VideoList | Mapping[str, Path | VideoList] | None, part: EvaluationStage
) -> dict[str, VideoList]:
    sets: dict[str, Path | VideoList] = named_sets(given, part, _KEYS)
    return {name: _video_list(listed) for name, listed in sets.items()}


def _video_list(listed: Path | VideoList) -> VideoList:
    return listed if isinstance(listed, VideoList) else VideoList(Path(listed))
