"""Your own videos in lists: `path label` lines or CSV, with a label space."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.own.below_root import find_list, label_space, list_file
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
        labels: Name of a label space, or its folder below `root` or relative to the working folder. None for `root`
            itself, which then contains classes.txt.
        root: Base of the list's paths (see `VideoLists`); defaults to that of the data module.
        optional: Whether the list may be missing; the data then has no such set.
    """

    list: Path
    labels: str | None = None
    root: str | None = None
    optional: bool = False


class VideoLists(VideoDataModule):
    """Videos from one or several lists.

    Args:
        root: Base of the lists' paths: a folder of videos, frame folders or tar shards, or a URL. The lists themselves
            and the label spaces are searched for there first, and then in the working folder.
        train: Training list.
        shots: Number of videos per class to draw from the training list, with the seed of `loading` or of the run; all
            if not given.
        val: Validation lists, by name.
        test: Test lists, by name; also used by `predict`.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> test = {"own": VideoList(Path("test.txt"))}  # videos/test.txt, with the classes in videos/classes.txt
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
        labels = label_space(listed.labels, root)
        file = list_file(listed.list, root)
        records = read_records(file, ClassIndex(labels.names, labels.published), labeled=labeled)
        videos = locate(records, root, labels, source=str(file))
        return videos if shots is None else videos.draw_shots(shots, self.seed)
