"""Videos with the classes that their labels mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord


@dataclass(frozen=True, slots=True)
class LabelledVideos:
    """Videos and the label space that their labels index.

    Attributes:
        records: All listed videos.
        labels: Classes.
        missing: Places in `records` of the videos that are not there.
        looked_in: Where they were looked for, for messages.
        mirrorable: Whether a mirrored video still shows its class.
    """

    records: Sequence[VideoRecord]
    labels: LabelSpace
    missing: frozenset[int] = frozenset()
    looked_in: str = ""
    mirrorable: bool = True

    @property
    def found(self) -> Sequence[VideoRecord]:
        """The videos that are there."""
        if not self.missing:
            return self.records
        return [record for place, record in enumerate(self.records) if place not in self.missing]
