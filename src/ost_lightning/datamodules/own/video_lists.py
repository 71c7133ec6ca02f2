"""Your own videos in lists: `path label` lines or CSV, with a label space."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
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
        labels: Name or folder of the label space.
        root: Base of the list's paths (see `VideoLists`); defaults to that of the data module.
    """

    list: Path
    labels: str
    root: str | None = None


class VideoLists(VideoDataModule):
    """Videos from one or several lists.

    Args:
        root: Base of the lists' paths: a folder of videos, frame folders or tar shards, or a URL.
        train: Training list.
        shots: Number of videos per class to draw from the training list, with the seed of `loading` or of the run; all
            if not given.
        val: Validation lists, by name.
        test: Test lists, by name; also used by `predict`.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> test = {"own": VideoList(Path("videos/test.txt"), labels="videos")}
        >>> data = VideoLists("videos", test=test, clips=ClipSettings(frames=8))
        >>> data.has_part("train")
        False
    """

    def __init__(
        self,
        root: str,
        train: VideoList | None = None,
        shots: int | None = None,
        val: dict[str, VideoList] | None = None,
        test: dict[str, VideoList] | None = None,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.shots = shots
        self.root, self.train, self.val, self.test = root, train, val or {}, test or {}

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
        labels = LabelSpace.load(listed.labels)
        records = read_records(listed.list, ClassIndex(labels.names, labels.published), labeled=labeled)
        videos = locate(records, listed.root or self.root, labels, source=str(listed.list))
        return videos if shots is None else videos.draw_shots(shots, self.seed)
