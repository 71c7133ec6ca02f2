"""Videos together with the label space of their labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from ost_lightning.files import is_utf8
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import draw_shots


@dataclass(frozen=True, slots=True)
class LabeledVideos:
    """Videos and the label space that their labels index.

    Attributes:
        records: All listed videos.
        labels: Label space.
        missing: Indices into `records` of the videos that do not exist.
        tried_paths: Paths tried for the first missing video, for messages.
        mirrorable: Whether a mirrored video still shows its class.
        source: List of the records, for messages; empty if they are not from one list.
        repeats: Indices into `records` of the first and of each further occurrence of a video or part of it.
    """

    records: Sequence[VideoRecord]
    labels: LabelSpace
    missing: frozenset[int] = frozenset()
    tried_paths: str = ""
    mirrorable: bool = True
    source: str = ""
    repeats: tuple[tuple[int, int], ...] = ()

    @property
    def found(self) -> Sequence[VideoRecord]:
        """Videos that exist."""
        if not self.missing:
            return self.records
        return [record for index, record in enumerate(self.records) if index not in self.missing]

    def draw_shots(self, shots: int, seed: int) -> Self:
        """Returns a few-shot subset, in which no video occurs twice.

        Args:
            shots: Number of videos per class.
            seed: Seed for the draw.

        Raises:
            UserError: If a class has too few different videos.
        """
        further = {again for _, again in self.repeats}
        different = [index for index in range(len(self.records)) if index not in further]
        candidates = [self.records[index] for index in different]
        drawn = draw_shots([record.id for record in candidates], [record.label for record in candidates], shots, seed)
        origins = [different[index] for index in drawn]
        missing = [index for index, origin in enumerate(origins) if origin in self.missing]
        tried = self.tried_paths
        if missing and origins[missing[0]] != min(self.missing):
            tried = str(self.records[origins[missing[0]]].path)
        records = [self.records[origin] for origin in origins]
        return replace(self, records=records, missing=frozenset(missing), tried_paths=tried, repeats=())

    def place(self, index: int) -> str:
        """Returns where a video is listed: file and line, or its id if it is from no list."""
        record = self.records[index]
        return f"{self.source}:{record.line}" if self.source and record.line else record.id

    def repeats_message(self, name: str) -> str:
        """Returns a sentence about the videos that occur more than once in a set, with both places of the first."""
        first, again = self.repeats[0]
        times = "once" if len(self.repeats) == 1 else f"{len(self.repeats):,} times"
        return (
            f"{name} repeats a video {times}, and each repetition counts: {self.place(again)} "
            f"({self.records[again].id}) is the same as {self.place(first)} ({self.records[first].id})."
        )

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
        if not is_utf8(self.tried_paths):
            return "The list is not UTF-8 text. Save it as UTF-8, unless the names of the videos aren't UTF-8 either."
        root, count = "Set the data's `root` to the folder of the videos", len(self.found)
        if not count:
            return f"{root}."
        return f"{root}, or continue with the {count:,} that exist: --data.loading.on_missing skip."
