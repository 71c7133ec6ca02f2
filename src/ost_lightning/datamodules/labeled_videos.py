"""Videos together with the classes that their labels stand for."""

from collections.abc import Sequence
from dataclasses import dataclass

from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord


@dataclass(frozen=True, slots=True)
class LabeledVideos:
    """Videos and the label space that their labels index.

    Attributes:
        records: All listed videos.
        labels: Label space.
        missing: Indices into `records` of the videos that do not exist.
        looked_in: Places where the first missing video was looked for, for messages.
        mirrorable: Whether a mirrored video still shows its class.
    """

    records: Sequence[VideoRecord]
    labels: LabelSpace
    missing: frozenset[int] = frozenset()
    looked_in: str = ""
    mirrorable: bool = True

    @property
    def found(self) -> Sequence[VideoRecord]:
        """The videos that exist."""
        if not self.missing:
            return self.records
        return [record for place, record in enumerate(self.records) if place not in self.missing]

    def told_missing(self, name: str) -> str:
        """How many of the videos of a set are not there, and the first of them."""
        first = self.records[min(self.missing)]
        return (
            f"{len(self.missing):,} of {len(self.records):,} listed videos of {name} are missing, the first of them "
            f"{first.id} (looked for {self.looked_in})."
        )

    @property
    def remedy(self) -> str:
        """What to do about missing videos."""
        if "\\" in self.looked_in:
            return "Paths in lists have / between folders, not \\."
        root, there = "Set the data's `root` to where the videos are", len(self.found)
        if not there:
            return f"{root}."
        return f"{root}, or go on with the {there:,} that are there: --data.loading.on_missing skip."
