"""UCF101 (Soomro et al., 2012)."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.published.splits import SplitDataModule
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_ucf101
from ost_lightning.vocabulary import Part

_FOLDERS: Final = ("", "ucfTrainTestlist", "UCF101TrainTestSplits-RecognitionTask/ucfTrainTestlist", "annotations")
_NAME: Final = re.compile(r"v_([A-Za-z]+)_g\d+_c\d+")


class UCF101(SplitDataModule):
    """UCF101: 101 classes, three splits with 3,783, 3,734 and 3,696 test videos (`testlist0N.txt`).

    CLIP reads class names as words ("apply eye makeup"); `ucf101-raw` keeps the publisher's (`ApplyEyeMakeup`).

    Examples:
        >>> data = UCF101("videos/ucf101", shots=16)  # few-shot training on split 1
        >>> data.label_space
        'ucf101'
    """

    label_space = "ucf101"

    def read_annotations(
        self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
    ) -> list[VideoRecord]:
        """Reads `trainlist0N.txt` or `testlist0N.txt`."""
        number = split or 1
        file = self.find_annotations([f"{part}list{number:02d}.txt"], _FOLDERS)
        return read_ucf101(file.parent, part, number, classes)

    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Returns the class folder and the root, also below `UCF-101` or `videos`."""
        return class_name, "", f"UCF-101/{class_name}", f"videos/{class_name}", "UCF-101", "videos"

    def class_in_name(self, path: str) -> str | None:
        """Returns the class between `v_` and the group, with fixed capitals: some files say HandStandPushups."""
        match = _NAME.match(Path(path).name)
        return self._spelling.get(match[1].lower()) if match else None

    @cached_property
    def _spelling(self) -> dict[str, str]:
        return {name.lower(): name for name in LabelSpace.load(self.label_space).published}
