"""Classes of all segments of a library, in the form of `ost predict`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch

from ost_lightning.escaping import CsvWriter
from ost_lightning.evaluation import (
    SHOWN_CLASSES,
    EvaluationSet,
    PendingPredictions,
    Prediction,
    prediction_columns,
    prediction_row,
    probabilities_of,
)
from ost_lightning.files import atomic_write, open_csv, unescape_bytes
from ost_lightning.library.asking.scoring import SegmentScorer
from ost_lightning.library.segments import SegmentBatch, StoredSegment
from ost_lightning.library.table import SegmentTable
from ost_lightning.text import LabelSpace
from ost_lightning.video import UNLABELED

_SET: Final = "library"
"""Name of the evaluation set in the predictions."""


@dataclass(frozen=True)
class Classification:
    """Predictions of all segments, computed while they are iterated.

    Attributes:
        table: Table of segments.
        scorer: Scorer of the K classes.
        labels: The classes.
        conditions: Everything that the predictions depend on besides the segments.
    """

    table: SegmentTable
    scorer: SegmentScorer
    labels: LabelSpace
    conditions: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[Prediction]:
        """Yields one prediction per segment, in the order of the table, then one per unreadable video."""
        for batch in self.table.batches():
            yield from self._predicted(batch)
        for row in self.table.error_dataset.to_table(columns=["video_id", "reason"]).to_pylist():
            yield Prediction(unescape_bytes(row["video_id"]), _SET, None, None, "", error=unescape_bytes(row["reason"]))

    def save(self, file: str | Path) -> Path:
        """Writes `predictions.csv`, with the columns of `ost predict`.

        Args:
            file: File to write.
        """
        with atomic_write(Path(file)) as temporary, open_csv(temporary) as handle:
            writer = CsvWriter(handle)
            writer.writerow(prediction_columns())
            writer.writerows(map(prediction_row, self))
        return Path(file)

    def to_fiftyone(self, field: str = "predictions") -> list[Any]:
        """Returns one sample of FiftyOne per local video that is still there, with the classes of its segments.

        Args:
            field: Field of the samples that holds the segments.

        Raises:
            UserError: If FiftyOne is not installed, or a video can't be read.
        """
        from ost_lightning.library.asking.found import samples, timelines

        segments = self.table.segments(range(len(self.table)))
        found = islice(self, len(segments))
        scored = [(segment, one.classes[0], one.probabilities[0]) for segment, one in zip(segments, found, strict=True)]
        return samples(timelines(scored, self.labels.names, self.conditions), field)

    @torch.inference_mode()
    def _predicted(self, batch: SegmentBatch) -> list[Prediction]:
        video_clip = self.scorer.video_clip
        assert video_clip is not None  # noqa: S101  # only similar videos have no encoder
        found = video_clip.class_probabilities(self.scorer.similarities(batch.embeddings).to(video_clip.encoder.device))
        best = found.topk(min(SHOWN_CLASSES, len(self.labels)), dim=1)
        segments = self.table.segments(batch.rows)
        index = {name: k for k, name in enumerate(self.labels.names)}
        labels = torch.tensor([index.get(segment.label or "", UNLABELED) for segment in segments])
        read = PendingPredictions(
            EvaluationSet(_SET, self.labels, len(self)),
            tuple(segment.video_id for segment in segments),
            tuple(map(listed_span, segments)),
            labels,
            torch.ones(len(segments), dtype=torch.bool),
            (),
            best.values,
            best.indices,
            probabilities_of(labels.to(found.device), found),
        ).read()
        return [one._replace(path=segment.video) for one, segment in zip(read, segments, strict=True)]


def listed_span(segment: StoredSegment) -> tuple[float | None, float | None]:
    """Returns start and end of a segment as lists give them: neither for a whole video."""
    whole = segment.start == 0 and segment.end in (None, segment.duration)
    return (None, None) if whole else (segment.start, segment.end)
