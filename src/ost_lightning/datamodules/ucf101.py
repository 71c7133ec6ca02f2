"""UCF101 (Soomro et al., 2012)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.published import ListFiles, Part, PublishedDataModule, by_split, find_annotations
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_ucf101

_FOLDERS: Final = ("", "ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist", "annotations")
_NAME: Final = re.compile(r"v_([A-Za-z]+)_g\d+_c\d+")


class UCF101(PublishedDataModule):
    """UCF101: 101 classes, three splits with 3,783, 3,734 and 3,696 test videos.

    CLIP reads the class names as words ("apply eye makeup"); `ucf101-raw` gives it the publisher's (`ApplyEyeMakeup`).

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL; all videos together or by class.
        splits: Splits that are tested. The first is the one that is trained on: few-shot scores are of that one only,
            because the training videos of a split are in the test sets of the others.
        labels: Label space of training.
        test_labels: Label spaces of evaluation, such as `ucf101-novel`; that of training if not given.
        annotations: Folder of the publisher's classInd.txt and lists; looked for below the root if not given.
        lists: Lists in place of the publisher's files.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole = "ucf101"

    def __init__(
        self,
        root: str,
        splits: Sequence[int] = (1,),
        labels: str = "ucf101",
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
        self._spelling = {name.lower(): name for name in LabelSpace.load(self.whole).published}

    def published(self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]) -> list[VideoRecord]:
        """Reads `trainlist0N.txt` or `testlist0N.txt`."""
        number = split or 1
        file = find_annotations([f"{part}list{number:02d}.txt"], self.annotations, self.root, _FOLDERS)
        return read_ucf101(file.parent, part, number, classes)

    def folders(self, part: Part, published: str) -> Sequence[str]:
        """By class or all together, also below `UCF-101` or `videos`."""
        return published, "", f"UCF-101/{published}", f"videos/{published}", "UCF-101", "videos"

    def named_class(self, path: str) -> str | None:
        """What stands between `v_` and the group, in the class's capitals: files say HandStandPushups."""
        match = _NAME.match(Path(path).name)
        return self._spelling.get(match[1].lower()) if match else None
