"""HMDB51 (Kuehne et al., ICCV 2011)."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from ost_lightning.datamodules.published.splits import SplitDataModule
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_hmdb51
from ost_lightning.vocabulary import Part

_FOLDERS: Final = ("", "testTrainMulti_7030_splits", "test_train_splits", "splits", "annotations")
_SUFFIX: Final = re.compile(r"_[a-z]_[cn]m_np\d+_\w\w_\w+_\d+(\.\w+)?$")
"""Suffix after the class in a file name: visible body parts, camera, people, viewpoint, quality, number."""


class HMDB51(SplitDataModule):
    """HMDB51: 51 classes, three splits of 3,570 training and 1,530 test videos (`CLASS_test_splitN.txt`).

    Examples:
        >>> data = HMDB51("videos/hmdb51", splits=[1, 2, 3])
        >>> data.label_space
        'hmdb51'
    """

    label_space = "hmdb51"

    def read_annotations(
        self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
    ) -> list[VideoRecord]:
        """Reads the publisher's lists, one file per class."""
        number = split or 1
        first = f"{classes.published[wanted[0]]}_test_split{number}.txt"
        return read_hmdb51(self.find_annotations([first], _FOLDERS).parent, part, number, classes, wanted)

    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Returns the class folder and the root, also below `videos`."""
        return class_name, "", f"videos/{class_name}", "videos"

    def class_in_name(self, path: str) -> str | None:
        """Returns the class before the suffix, as in `..._kick_ball_f_cm_np1_ba_bad_1.avi`."""
        name, found = _SUFFIX.subn("", path)
        return next((known for known in self._longest_first if found and name.endswith(f"_{known}")), None)

    @cached_property
    def _longest_first(self) -> list[str]:
        """Class names, longest first: `kick_ball` before `ball`."""
        return sorted(LabelSpace.load(self.label_space).published, key=len, reverse=True)
