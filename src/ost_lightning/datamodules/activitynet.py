"""ActivityNet 1.3 (Caba Heilbron et al., CVPR 2015)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.published import ListFiles, Part, PublishedDataModule, by_labels, find_annotations
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, read_activitynet
from ost_lightning.video.annotations.activitynet import Unit

_FILES: Final = ("activity_net.v1-3.min.json", "activity_net.v1-3.json")
_PARTS: Final = {"train": ("train", "training"), "test": ("val", "validation")}


class ActivityNet(PublishedDataModule):
    """ActivityNet 1.3: 200 classes, 10,024 training and 4,926 validation videos with the times of their activities.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        unit: What is recognized: each annotated `segment` by its times, or a whole `video`.
        labels: Label space of training.
        test_labels: Label spaces of evaluation; that of training if not given.
        annotations: Folder of the publisher's JSON file; looked for below the root if not given.
        lists: Lists in place of it.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole = "activitynet"

    def __init__(
        self,
        root: str,
        unit: Unit = "video",
        labels: str = "activitynet",
        test_labels: Sequence[str] | None = None,
        annotations: Path | None = None,
        lists: ListFiles = ListFiles(),  # frozen
        shots: int | None = None,
        shots_seed: int = 0,
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        tests = by_labels(labels, test_labels)
        super().__init__(root, annotations, lists, labels, tests, None, shots, shots_seed, clips=clips, loading=loading)
        self.unit: Unit = unit

    def published(self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]) -> list[VideoRecord]:
        """Reads the training or validation subset."""
        file = find_annotations(_FILES, self.annotations, self.root, ("", "annotations"))
        return read_activitynet(file, "training" if part == "train" else "validation", classes, self.unit)

    def folders(self, part: Part, published: str) -> Sequence[str]:
        """All together, by part, or as the publisher's archives unpack."""
        archives = [f"{version}/{name}" for version in ("v1-2", "v1-3") for name in ("train", "val", "train_val")]
        return ["", "videos", *_PARTS[part], *archives]
