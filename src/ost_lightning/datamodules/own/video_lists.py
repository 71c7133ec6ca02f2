"""Your own videos in lists: `path label` lines or CSV, with a label space."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.own.named_sets import named_sets
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.text import LabelSpace
from ost_lightning.video.annotations import ClassIndex, read_records
from ost_lightning.vocabulary import EvaluationStage, Part


@dataclass(frozen=True)
class VideoList:
    """One list of videos.

    Attributes:
        list: File of `path label` lines, or CSV with a header. Prediction needs no labels.
        labels: Name or folder of the label space; defaults to that of the data module.
        root: Base of the list's paths (see `VideoLists`); defaults to that of the data module.
    """

    list: Path
    labels: str | None = None
    root: str | None = None


_KEYS: Final = tuple(field.name for field in fields(VideoList))


class VideoLists(VideoDataModule):
    """Videos from one or several lists.

    A list is given by its file alone, or as `{list: FILE, labels: LABELS, root: ROOT}`.

    Args:
        root: Base of the lists' paths: a folder of videos, frame folders or tar shards, or a URL.
        train: Training list.
        shots: Number of videos per class to draw from the training list, with the seed of `loading` or of the run; all
            if not given.
        val: Validation list, or several by name; a single one is named `val`.
        test: Test list, or several by name; a single one is named `test`. Also used by `predict`.
        labels: Name or folder of the label space for lists given without one; defaults to that of the other lists, if
            they agree.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> data = VideoLists("videos", test=Path("videos/test.txt"), labels="videos", clips=ClipSettings(frames=8))
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
        """Returns the lists of a stage."""
        lists, labeled = self.val if stage == "val" else self.test, stage != "predict"
        return {name: self._read(listed, labeled=labeled) for name, listed in lists.items()}

    def _read(self, listed: VideoList, shots: int | None = None, *, labeled: bool = True) -> LabeledVideos:
        labels = LabelSpace.load(listed.labels or self._default_labels(listed))
        records = read_records(listed.list, ClassIndex(labels.names, labels.published), labeled=labeled)
        videos = locate(records, listed.root or self.root, labels, source=str(listed.list))
        return videos if shots is None else videos.draw_shots(shots, self.seed)

    def _default_labels(self, listed: VideoList) -> str:
        """Returns the label space of a list given without one."""
        lists = (*([self.train] if self.train else ()), *self.val.values(), *self.test.values())
        given = {self.labels} if self.labels is not None else {other.labels for other in lists} - {None}
        if len(given) == 1 and (labels := given.pop()) is not None:
            return labels
        raise UserError(
            f"The list {listed.list} has no label space. Set the data's `labels` to the name or folder of one, or give "
            f"it with the list: {{list: {listed.list}, labels: FOLDER}}."
        )


def _video_lists(
    given: Path | VideoList | Mapping[str, Path | VideoList] | None, part: EvaluationStage
) -> dict[str, VideoList]:
    sets: dict[str, Path | VideoList] = named_sets(given, part, _KEYS)
    return {name: _video_list(listed) for name, listed in sets.items()}


def _video_list(listed: Path | VideoList) -> VideoList:
    return listed if isinstance(listed, VideoList) else VideoList(Path(listed))
