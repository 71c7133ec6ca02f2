"""Your own videos, in one folder per class."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.characters import escaped
from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.own.below_root import label_space
from ost_lightning.datamodules.own.class_folders import videos_below
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.files import is_utf8
from ost_lightning.text import LabelSpace
from ost_lightning.text.label_files import CLASSES, SELECTION, subfolders
from ost_lightning.video import UNLABELED, VideoRecord
from ost_lightning.video.annotations import ClassIndex
from ost_lightning.video.storage.suffixes import VIDEO_SUFFIXES
from ost_lightning.vocabulary import EvaluationStage, Part

_SHOWN: Final = 5


class VideoFolder(VideoDataModule):
    """Videos in `root/train/CLASS/...`, `root/val/CLASS/...` and `root/test/CLASS/...`.

    In a class folder, every file with a video extension is a video, and so is every folder (of frames). The classes are
    those of `labels`, else those of `root/classes.txt`. Without either, they are the folder names with a blank for
    every `_`, with the descriptors of `root/descriptors.json`. A folder name may use `_` for any blank of its class.

    Prediction needs no classes in the folders. It takes all videos at any depth of the test folder, or of the root if
    that has no test folder; `labels` or `root/classes.txt` says which classes there are.

    Args:
        root: Folder that contains the folders of the parts.
        labels: Name of the label space, or its folder below `root` or relative to the working folder.
        train: Training folder below the root.
        val: Validation folder below the root; no validation if it does not exist.
        test: Test folder below the root; `.` is the root itself.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> data = VideoFolder(Path("videos"), clips=ClipSettings(frames=8))
        >>> data.has_part("val")  # there is no folder videos/val
        False
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

    def training_videos(self) -> LabeledVideos:
        """Returns the videos of the training folder."""
        return self._read(self.train)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns the validation folder, if it exists, or the videos to test on or to recognize."""
        if stage == "val":
            return {"val": self._read(self.val)} if self.has_part("val") else {}
        return {"test": self._read_unlabeled() if stage == "predict" else self._read(self.test)}

    def has_part(self, part: Part) -> bool:
        """Returns whether the folder of a part exists."""
        return (self.root / {"train": self.train, "val": self.val, "test": self.test}[part]).is_dir()

    def _read(self, part: str) -> LabeledVideos:
        folder = self.root / part
        if not folder.is_dir():
            raise UserError(
                f"The folder {folder} does not exist. Set the data's `root`, and `train`, `val` or `test` below it."
            )
        classes = subfolders(folder)
        if not classes:
            raise UserError(f"{folder} has no subfolders. Expected one folder per class, each with its videos.")
        _require_text(folder, classes)
        labels = self._label_space(classes)
        index = ClassIndex(labels.names, labels.published)
        known = _by_folder(index)
        # another part may hold another video of the same class and name
        part_name = os.path.normpath(part)
        prefix = part_name if part_name != "." else self.root.resolve().name
        records: list[VideoRecord] = []
        empty: list[str] = []
        skipped: list[str] = []
        for name in classes:
            label = index.index_of.get(name, known.get(name.replace(" ", "_")))
            if label is None:
                label = index.named(name, str(folder / name))
            videos, others = _contents(folder / name)
            records += [VideoRecord(f"{name}/{video}", label, f"{prefix}/{name}/{video}") for video in videos]
            skipped += [f"{name}/{other}" for other in others]
            empty += [] if videos else [name]
        notes = _notes(skipped, empty)
        if not records:
            raise UserError(f"The class folders in {folder} contain no videos. {notes}")
        if notes:
            rank_zero_info(escaped(f"{folder}: {notes}"))
        return locate(records, str(folder), labels)

    def _read_unlabeled(self) -> LabeledVideos:
        """Returns all videos of the test folder; those in a class folder have its label."""
        folder = self.root / self.test if self.has_part("test") else self.root
        if not folder.is_dir():
            raise UserError(f"The folder {folder} does not exist. Set the data's `root`.")
        labels = self._label_space(subfolders(folder))
        index = ClassIndex(labels.names, labels.published)
        known = _by_folder(index)
        records: list[VideoRecord] = []
        skipped: list[str] = []
        for path in sorted(videos_below(folder, skipped)):
            top = path.partition("/")[0] if "/" in path else ""
            label = index.index_of.get(top, known.get(top.replace(" ", "_"), UNLABELED))
            records.append(VideoRecord(path, label, path))
        notes = _notes(skipped, ())
        if not records:
            raise UserError(f"The folder {folder} contains no videos. {notes}".rstrip())
        if notes:
            rank_zero_info(escaped(f"{folder}: {notes}"))
        return locate(records, str(folder), labels)

    def _label_space(self, classes: Sequence[str]) -> LabelSpace:
        if self.labels is not None:
            return label_space(self.labels, str(self.root))
        if any((self.root / name).is_file() for name in (CLASSES, SELECTION)):
            return LabelSpace.load(self.root)
        training = subfolders(self.root / self.train) if (self.root / self.train).is_dir() else ()
        if not training and not classes:
            raise UserError(
                f"Nothing says which classes the videos of {self.root} may show. Set the data's `labels` to the name "
                "or folder of a label space."
            )
        return LabelSpace.of_class_folders(self.root, (*training, *classes))


def _require_text(folder: Path, classes: Sequence[str]) -> None:
    """Raises if the name of a class folder is not UTF-8: videos may have any name, but classes are encoded as text."""
    for name in classes:
        if not is_utf8(name):
            raise UserError(
                f"The name of the class folder {folder / name} is not UTF-8 text, so it can't be a class name. Rename "
                f"the folder; its bytes are {os.fsencode(name)!r}."
            )


def _by_folder(index: ClassIndex) -> dict[str, int]:
    """Returns class indices by name with `_` for every blank; ambiguous names are omitted."""
    labels: dict[str, set[int]] = {}
    for name, label in index.index_of.items():
        labels.setdefault(name.replace(" ", "_"), set()).add(label)
    return {name: candidates.pop() for name, candidates in labels.items() if len(candidates) == 1}


def _contents(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the videos and of the other files in a class folder; hidden files are ignored."""
    videos: list[str] = []
    others: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                is_video = entry.is_dir() or Path(entry.name).suffix.lower() in VIDEO_SUFFIXES
                (videos if is_video else others).append(entry.name)
    return sorted(videos), sorted(others)


def _notes(skipped: Sequence[str], empty: Sequence[str]) -> str:
    """Returns sentences about skipped files and classes without videos."""
    notes = []
    if skipped:
        notes.append(f"Skipped files without a video extension: {len(skipped):,}, such as {skipped[0]}.")
    if empty:
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        notes.append(f"Classes without videos: {', '.join(empty[:_SHOWN])}{more}.")
    return " ".join(notes)
