"""One's own videos in one folder a class."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ost_lightning.datamodules.base import EvaluationStage, VideoDataModule
from ost_lightning.datamodules.labelled_videos import LabelledVideos
from ost_lightning.datamodules.locate import VIDEO_SUFFIXES, locate
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex


class VideoFolder(VideoDataModule):
    """Videos in `root/train/CLASS/...`, `root/val/CLASS/...` and `root/test/CLASS/...`.

    What lies in a class's folder is a video if it is a file with a video's extension, or a folder (of frames). The
    classes are those of `labels`; without it those of `root/classes.txt`; without that file they are called as the
    folders, `_` read as a blank.

    Args:
        root: Folder.
        labels: Label space: a name, or a folder.
        train: Folder below the root to train on.
        val: Folder to validate on; none if it is not there.
        test: Folder to test on; `.` is the root itself.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    def __init__(
        self,
        root: Path,
        labels: str | None = None,
        train: str = "train",
        val: str = "val",
        test: str = "test",
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.root, self.labels, self.train, self.val, self.test = root, labels, train, val, test

    def training_videos(self) -> LabelledVideos:
        """The training folder."""
        return self._read(self.train)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabelledVideos]:
        """The validation folder, if there is one, or the test folder."""
        if stage == "val":
            return {"val": self._read(self.val)} if (self.root / self.val).is_dir() else {}
        return {"test": self._read(self.test)}

    def _read(self, part: str) -> LabelledVideos:
        folder = self.root / part
        classes = _subfolders(folder)
        if not classes:
            raise UserError(f"{folder} has no folders. Expected one folder a class, each with its videos.")
        labels = self._label_space(classes)
        index = ClassIndex(labels.names, labels.published)
        records = []
        for name in classes:
            label = index.named(name, str(folder / name))
            with os.scandir(folder / name) as entries:
                videos = [entry.name for entry in entries if entry.is_dir() or _is_video(entry.name)]
            ids = [f"{name}/{video}" for video in sorted(videos) if not video.startswith(".")]
            records += [VideoRecord(id_, label, id_) for id_ in ids]
        if not records:
            raise UserError(f"The folders of classes in {folder} hold no videos.")
        return locate(records, str(folder), labels)

    def _label_space(self, classes: Sequence[str]) -> LabelSpace:
        if self.labels is not None:
            return LabelSpace.load(self.labels)
        if (self.root / "classes.txt").is_file():
            return LabelSpace.load(self.root)
        training = _subfolders(self.root / self.train) if (self.root / self.train).is_dir() else ()
        published = tuple(sorted({*training, *classes}))
        names = tuple(name.replace("_", " ") for name in published)
        return LabelSpace(names, source=f"folders of {self.root}", origin=str(self.root), published=published)


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Set the data's `root`, and `train`, `val` or `test` below it.")
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES
