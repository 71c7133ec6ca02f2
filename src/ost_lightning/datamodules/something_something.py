"""Something-Something V2 (Goyal et al., ICCV 2017)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ost_lightning.datamodules.published import ListFiles, Part, PublishedDataModule, by_labels, find_annotations
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex, check_ssv2_labels, read_ssv2

_FOLDERS: Final = ("", "labels", "annotations")
_PREFIX: Final = "something-something-v2-"


class SomethingSomethingV2(PublishedDataModule):
    """Something-Something V2: 174 classes, 168,913 training and 24,777 validation videos.

    Left and right are part of some classes, so training does not mirror unless `clips.flip` is set.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        labels: Label space of training.
        test_labels: Label spaces of evaluation, such as `ssv2-base` and `ssv2-novel`; that of training if not given.
        annotations: Folder of the publisher's JSON files; looked for below the root if not given.
        lists: Lists in place of the publisher's files.
        shots: Videos of each class to train on; all if not given.
        shots_seed: Of the draw of these.
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    whole = "ssv2"
    mirrorable = False

    def __init__(
        self,
        root: str,
        labels: str = "ssv2",
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

    def published(self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]) -> list[VideoRecord]:
        """Reads the training or validation file, after a look at the publisher's numbering if its file is there."""
        stem = "train" if part == "train" else "validation"
        file = find_annotations([f"{_PREFIX}{stem}.json", f"{stem}.json"], self.annotations, self.root, _FOLDERS)
        for name in (f"{_PREFIX}labels.json", "labels.json"):
            if (file.parent / name).is_file():
                check_ssv2_labels(file.parent / name, classes)
        return read_ssv2(file, classes)

    def folders(self, part: Part, published: str) -> Sequence[str]:
        """All together, as the publisher's archive unpacks or in `videos`."""
        return "20bn-something-something-v2", "videos", ""
