"""Data sets with several official splits into training and test videos."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ost_lightning.datamodules.published.base import EvaluationSplit, PublishedDataModule
from ost_lightning.errors import UserError


class SplitDataModule(PublishedDataModule):
    """A published data set with several official splits; scores are averaged over them.

    Attributes:
        split_count: Number of official splits, numbered from 1.

    Args:
        root: Folder of videos, frame folders or tar shards, or a URL.
        splits: Splits to test on. Training uses the first of them, and few-shot scores are valid for that one only: the
            training videos of a split are in the test sets of the others.
        **kwargs: Arguments of `PublishedDataModule`.

    Raises:
        UserError: If a split does not exist or is repeated.
    """

    split_count: ClassVar[int] = 3

    def __init__(self, root: str, splits: Sequence[int] = (1,), **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.splits = checked_splits(splits, self.split_count)

    @property
    def training_split(self) -> int:
        """First of the splits."""
        return self.splits[0]

    def test_splits(self) -> Mapping[str, EvaluationSplit]:
        """Returns every split of every label space, named `LABELS-splitN`."""
        return {
            f"{Path(labels).name}-split{split}": EvaluationSplit(labels, split)
            for labels in self.test_labels
            for split in self.splits
        }


def checked_splits(splits: Sequence[int], count: int) -> tuple[int, ...]:
    """Returns the splits if they are one or more distinct numbers from 1 to `count`.

    Raises:
        UserError: Otherwise.
    """
    if not splits or not set(splits) <= set(range(1, count + 1)) or len(set(splits)) < len(splits):
        raise UserError(f"splits is {list(splits)}: expected one or more distinct numbers from 1 to {count}.")
    return tuple(splits)
