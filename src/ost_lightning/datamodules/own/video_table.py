"""Your own videos in CSV or Parquet tables."""

from collections.abc import Mapping
from pathlib import Path

from ost_lightning.datamodules.base import VideoDataModule
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.locate import locate
from ost_lightning.datamodules.own.below_root import label_space, list_file
from ost_lightning.datamodules.own.named_sets import named_sets
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.text import LabelSpace
from ost_lightning.video.annotations import ClassIndex, Columns, read_table, table_classes
from ost_lightning.vocabulary import EvaluationStage, Part


class VideoTable(VideoDataModule):
    """Videos from CSV or Parquet tables, with one row per video or segment of a video.

    Args:
        root: Base of the tables' paths: a folder of videos, frame folders or tar shards, or a URL. The tables
            themselves and the label space are searched for there first, and then in the working folder.
        train: Training table.
        val: Validation table, or several by name; a single one is named `val`.
        test: Test table, or several by name; a single one is named `test`. Also used by `predict`, without labels if
            need be.
        labels: Name or folder of the label space. If not given, the classes are the labels of the training table or,
            without one, of the first test table.
        columns: Names of the columns.
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.

    Examples:
        >>> data = VideoTable("videos", test={"own": Path("videos/test.csv")}, labels="kinetics400")
        >>> data.has_part("train")
        False
    """

    def __init__(
        self,
        root: str,
        train: Path | None = None,
        val: Path | dict[str, Path] | None = None,
        test: Path | dict[str, Path] | None = None,
        labels: str | None = None,
        columns: Columns = Columns(),  # frozen
        clips: ClipSettings = ClipSettings(),  # frozen
        loading: LoadingSettings = LoadingSettings(),  # frozen
    ) -> None:
        super().__init__(clips, loading)
        self.root, self.train = root, train
        self.val, self.test = named_sets(val, "val"), named_sets(test, "test")
        self.labels, self.columns = labels, columns

    def has_part(self, part: Part) -> bool:
        """Returns whether a part has videos; only training is optional."""
        return part != "train" or self.train is not None

    def training_videos(self) -> LabeledVideos:
        """Returns the videos of the training table."""
        if self.train is None:
            raise UserError("There is nothing to train on: set the data's `train` to a table of videos.")
        return self._read(self.train)

    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns the tables of a stage."""
        tables, labeled = self.val if stage == "val" else self.test, stage != "predict"
        return {name: self._read(table, labeled=labeled) for name, table in tables.items()}

    def _read(self, table: Path, *, labeled: bool = True) -> LabeledVideos:
        table = list_file(table, str(self.root))
        labels = self._label_space(table)
        records = read_table(table, ClassIndex(labels.names, labels.published), self.columns, labeled=labeled)
        return locate(records, self.root, labels, source=str(table))

    def _label_space(self, table: Path) -> LabelSpace:
        if self.labels is not None:
            return label_space(self.labels, str(self.root))
        origin = list_file(self.train or next(iter(self.test.values()), table), str(self.root))
        return LabelSpace(table_classes(origin, self.columns), source=f"labels of {origin}", origin=str(origin))
