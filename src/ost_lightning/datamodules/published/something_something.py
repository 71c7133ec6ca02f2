"""Something-Something V2 (Goyal et al., ICCV 2017)."""

from collections.abc import Sequence
from typing import Final

from ost_lightning.datamodules.published.base import PublishedDataModule
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, check_ssv2_labels, read_ssv2
from ost_lightning.vocabulary import Part

_FOLDERS: Final = ("", "labels", "annotations")
_PREFIX: Final = "something-something-v2-"


class SomethingSomethingV2(PublishedDataModule):
    """Something-Something V2: 174 classes, 168,913 training and 24,777 validation videos.

    Some classes depend on left and right, so training does not mirror videos unless `clips.flip` is set.

    Examples:
        >>> SomethingSomethingV2("videos/ssv2").mirrorable
        False
    """

    label_space = "ssv2"
    mirrorable = False

    def read_annotations(
        self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
    ) -> list[VideoRecord]:
        """Reads the training or validation file, and checks the publisher's numbering if its file exists."""
        stem = "train" if part == "train" else "validation"
        file = self.find_annotations([f"{_PREFIX}{stem}.json", f"{stem}.json"], _FOLDERS)
        for name in (f"{_PREFIX}labels.json", "labels.json"):
            if (file.parent / name).is_file():
                check_ssv2_labels(file.parent / name, classes)
        return read_ssv2(file, classes)

    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Returns the folder that the publisher's archive unpacks to, `videos`, and the root."""
        return "20bn-something-something-v2", "videos", ""
