"""HMDB51 (Kuehne et al., ICCV 2011)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.published import ListFiles, Part, PublishedDataModule, by_split, find_annotations
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_hmdb51

_FOLDERS: Final = ("", "testTrainMulti_7030_splits", "test_train_splits", "splits", "annotations")
_MARKS: Final = re.compile(r"_[a-z]_[cn]m_np\d+_\w\w_\w+_\d+(\.\w+)?$")
"""What follows the class in a file name: visible parts, camera, people, viewpoint, quality, number."""


class HMDB51(PublishedDataModule):
    """HMDB51: 51 classes, three splits of 3,570 training and 1,530 test videos.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL; all videos together or by class.
        splits: Splits that are tested. The first is the one that is trained on: few-shot scores are of that one only,
            because the training videos of a split are in the test sets of the others.
        labels: Label space of training.
        test_labels: Label spaces of evaluation, such as `hmdb51-novel`; that of training if not given.
        annotations: Folder of the publisher's `CLASS_test_splitN.txt`; looked for below the root if not given.
        lists: Lists in place of the publisher's files.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole = "hmdb51"

    def __init__(
        self,
        root: str,
        splits: Sequence[int] = (1,),
        labels: str = "hmdb51",
        test_labels: Sequence[str] | None = None,
        annotations: Path | None = None,
        lists: ListFiles = ListFiles(),  # frozen
        shots: int | None = None,
        shots_seed: int = 0,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        tests = by_split(labels, test_labels, splits, 3)
        super().__init__(
            root, annotations, lists, labels, tests, splits[0], shots, shots_seed, clips=clips, loading=loading
        )
        names = LabelSpace.load(self.whole).published
        self._by_length = sorted(names, key=len, reverse=True)

    def published(self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]) -> list[VideoRecord]:
        """Reads one file a class."""
        number = split or 1
        first = f"{classes.published[wanted[0]]}_test_split{number}.txt"
        folder = find_annotations([first], self.annotations, self.root, _FOLDERS).parent
        return read_hmdb51(folder, part, number, classes, wanted)

    def folders(self, part: Part, published: str) -> Sequence[str]:
        """By class or all together, also below `videos`."""
        return published, "", f"videos/{published}", "videos"

    def named_class(self, path: str) -> str | None:
        """What stands before the marks, `..._kick_ball_f_cm_np1_ba_bad_1.avi`."""
        name, found = _MARKS.subn("", path)
        return next((known for known in self._by_length if found and name.endswith(f"_{known}")), None)
