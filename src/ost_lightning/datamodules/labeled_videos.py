"""Videos together with the label space of their labels."""

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
        tried_paths: Paths tried for the first missing video, for messages.
        mirrorable: Whether a mirrored video still shows its class.
    """

    records: Sequence[VideoRecord]
    labels: LabelSpace
    missing: frozenset[int] = frozenset()
    tried_paths: str = ""
    mirrorable: bool = True

    @property
    def found(self) -> Sequence[VideoRecord]:
        """Videos that exist."""
        if not self.missing:
            return self.records
        return [record for index, record in enumerate(self.records) if index not in self.missing]

    def missing_message(self, name: str) -> str:
        """Returns a sentence with the number of missing videos of a set, and the first one."""
        first = self.records[min(self.missing)]
        return (
            f"{len(self.missing):,} of {len(self.records):,} listed videos of {name} are missing. The first is "
            f"{first.id} (tried {self.tried_paths})."
        )

    @property
    def remedy(self) -> str:
        """Remedy for missing videos, as a sentence."""
        if "\\" in self.tried_paths:
            return "Paths in lists must use / between folders, not \\."
        root, count = "Set the data's `root` to the folder of the videos", len(self.found)
        if not count:
            return f"{root}."
        return f"{root}, or continue with the {count:,} that exist: --data.loading.on_missing skip."
