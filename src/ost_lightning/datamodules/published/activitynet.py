"""ActivityNet 1.3 (Caba Heilbron et al., CVPR 2015)."""

from collections.abc import Sequence
from typing import Any, Final

from ost_lightning.datamodules.published.base import PublishedDataModule
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_activitynet
from ost_lightning.video.annotations.published.activitynet import Unit
from ost_lightning.vocabulary import Part

_FILES: Final = ("activity_net.v1-3.min.json", "activity_net.v1-3.json")
_ARCHIVES: Final = tuple(f"{version}/{name}" for version in ("v1-2", "v1-3") for name in ("train", "val", "train_val"))


class ActivityNet(PublishedDataModule):
    """ActivityNet 1.3: 200 classes, 10,024 training and 4,926 validation videos with the times of their activities.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        unit: Unit of recognition: each annotated `segment`, or the complete `video`.
        **kwargs: Arguments of `PublishedDataModule`.

    Examples:
        >>> data = ActivityNet("videos/activitynet", unit="video")
        >>> data.label_space
        'activitynet'
    """

    label_space = "activitynet"

    def __init__(self, root: str, unit: Unit = "video", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.unit: Unit = unit

    def read_annotations(
        self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
    ) -> list[VideoRecord]:
        """Reads the training or validation subset."""
        file = self.find_annotations(_FILES, ("", "annotations"))
        return read_activitynet(file, "training" if part == "train" else "validation", classes, self.unit)

    def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
        """Returns the root, folders per part, and the folders that the publisher's archives unpack to."""
        parts = ("train", "training") if part == "train" else ("val", "validation")
        return "", "videos", *parts, *_ARCHIVES
