"""Asking a table of a library: what shows this, what is like this, which class is each, what to label next."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.evaluation import ClipSettings, embed, evaluation_clips
from ost_lightning.library.asking.classification import Classification
from ost_lightning.library.asking.coarse import coarse_scores
from ost_lightning.library.asking.found import FoundSegment, FoundSegments, RankedBy, is_moved
from ost_lightning.library.asking.query import Query, class_of
from ost_lightning.library.asking.query_scorer import (
    class_scorer,
    label_scorer,
    query_scorer,
    scoring_digest,
    similar_scorer,
)
from ost_lightning.library.asking.scoring import SegmentScorer, best
from ost_lightning.library.asking.settings import SearchSettings
from ost_lightning.library.asking.suggestion import Suggestions, suggest
from ost_lightning.library.datasets import vectors as numbers
from ost_lightning.library.segments import StoredSegment
from ost_lightning.library.settings import table_digest
from ost_lightning.library.table import SegmentTable
from ost_lightning.models import require_finite_weights
from ost_lightning.recognition import TrainedModel
from ost_lightning.recognition.replicas import devices
from ost_lightning.text import LabelSpace, SentenceSet
from ost_lightning.video import UNLABELED, SampleKey, VideoRecord
from ost_lightning.video.storage import is_remote

_ROWS: Final = 4096
"""Rows that are read together."""


class Searcher:
    """A table of a library and the model that its embeddings are from, ready to be asked.

    Args:
        table: Table of segments.
        model: Model with the table's weights and clip settings.
        device: Device for computation; None for the CPU, which is as fast as the disk for single queries.

    Raises:
        UserError: If the model has other weights or clip settings than the table, or the table is empty.
    """

    def __init__(self, table: SegmentTable, model: TrainedModel, device: str | torch.device | None = None) -> None:
        self.table = table
        (self.device,) = devices(device or "cpu")
        clips = one_view(model)
        found = table_digest(model.video_clip, clips)
        if found != table.settings.digest:
            raise UserError(
                f"The table {table.folder} has embeddings of other weights or clip settings than "
                f"{model.video_clip.pretrained} (digest {table.settings.digest}, that of the weights is {found}): name "
                "the weights that the videos were indexed with (--weights), or index them again."
            )
        if not len(table):
            raise UserError(f"The table {table.folder} has no segments: index videos first (`ost index`).")
        self.model = replace(
            model,
            video_clip=model.video_clip.to(self.device).eval(),
            matcher=model.matcher.to(self.device).eval(),
            clips=clips,
        )
        require_finite_weights(self.model.video_clip)

    def __repr__(self) -> str:
        return f"Searcher({self.table!r}, {type(self.model.matcher).__name__}, {self.device})"

    def find(
        self,
        query: str | Query,
        labels: LabelSpace | None = None,
        settings: SearchSettings = SearchSettings(),  # frozen
        *,
        ranked_by: RankedBy | None = None,
        order_sigma: float | None = None,
    ) -> FoundSegments:
        """Finds the segments that fit a query best, by the suite's own matcher.

        Args:
            query: Name of an action or class, or a `Query` with sentences.
            labels: Label space that the class is from; None to compare with the query's own words.
            settings: How to search, and how many segments to find.
            ranked_by: What decides the order. None for the probability among the classes of the label space, which is
                what `ost test` ranks by, or the similarity without one.
            order_sigma: Width of the preference for steps in their order; None for the query's own.

        Raises:
            UserError: If the query is empty or no class of the label space, or settings contradict one another.
        """
        if labels is None:
            asked = Query(query) if isinstance(query, str) else query
            if order_sigma is not None:
                asked = replace(asked, order_sigma=order_sigma)
            if ranked_by == "probability":
                raise UserError("Probabilities are among the classes of a label space: name one (--labels).")
            scorer, sentences = query_scorer(self.model, asked)
            return self._found(_Question(str(asked), scorer, sentences), settings)
        if not isinstance(query, str):
            raise UserError("A query with sentences of its own needs no label space: give one or the other.")
        name = class_of(labels, Query(query).name)
        if ranked_by == "similarity" or len(labels) == 1:
            scorer, sentences = class_scorer(self.model, labels, name, order_sigma)
            return self._found(_Question(name, scorer, sentences), settings)
        scorer, sentences = label_scorer(self.model, labels, order_sigma)
        return self._found(_Question(name, scorer, sentences, labels.names.index(name), "probability"), settings)

    def similar(
        self,
        video: str | Path,
        settings: SearchSettings = SearchSettings(),  # frozen
        *,
        order_sigma: float | None = None,
    ) -> FoundSegments:
        """Finds the segments whose frames are most like those of a video, by transport between the frames.

        Args:
            video: Path of a file or folder of frames, or URL; it is read as one clip.
            settings: How to search, and how many segments to find.
            order_sigma: Width of the preference for frames in the same order; None for any order.

        Raises:
            UserError: If the video can't be read.
        """
        scorer = similar_scorer(self._embed(video), order_sigma)
        return self._found(_Question(f"like {without_passwords(str(video))}", scorer, SentenceSet({})), settings)

    def classify(self, labels: LabelSpace) -> Classification:
        """Recognizes every segment, with the probabilities of `ost predict`; videos are not opened.

        Args:
            labels: Classes to choose from.
        """
        scorer, sentences = label_scorer(self.model, labels)
        return Classification(self.table, scorer, labels, self._conditions(scorer, sentences))

    def suggest(self, labels: LabelSpace, n: int = 20) -> Suggestions:
        """Suggests videos to label next: those about which the model disagrees with itself.

        Args:
            labels: Classes to choose from.
            n: Number of videos.

        Raises:
            UserError: If the classes have no descriptors, or the matcher has no plans.
        """
        return suggest(self.table, self.model, labels, n)

    @torch.inference_mode()
    def _found(self, question: "_Question", settings: SearchSettings) -> FoundSegments:
        vectors = question.scorer.coarse_vectors()
        candidates = max(settings.candidates, settings.n)
        rows: Tensor | None = None
        if settings.coarse and candidates < len(self.table):
            coarse = coarse_scores(self.table, lambda means: self._of_class(question, means @ vectors.T))
            rows = coarse.topk(candidates).indices.sort().values
        embeddings = (batch.embeddings for batch in self.table.batches()) if rows is None else self._rows(rows)
        found = question.scorer.in_turn(embeddings)
        scores = torch.cat([self._of_class(question, similarities) for similarities in found])
        chosen = self._best(scores, rows, settings)
        return FoundSegments(
            question.text,
            tuple(_found_segment(segment, score, vectors[question.index]) for segment, score in chosen),
            question.ranked_by,
            len(self.table),
            len(scores),
            self._conditions(question.scorer, question.sentences),
        )

    def _of_class(self, question: "_Question", similarities: Tensor) -> Tensor:
        """Scores (n,) from similarities (n, K)."""
        if question.ranked_by == "probability":
            similarities = self.model.video_clip.class_probabilities(similarities.to(self.device)).cpu()
        return similarities[:, question.index]

    def _best(self, scores: Tensor, rows: Tensor | None, settings: SearchSettings) -> list[tuple[StoredSegment, float]]:
        """The segments with the highest scores; of each video the best one, if wanted."""
        wanted = settings.n
        while True:
            order = best(scores, wanted)
            segments = self.table.segments([k if rows is None else int(rows[k]) for k in order], embeddings=True)
            chosen = list(zip(segments, scores[order].tolist(), strict=True))
            if not settings.per_video:
                return chosen
            first: dict[str, tuple[StoredSegment, float]] = {}
            for segment, value in chosen:
                first.setdefault(segment.video, (segment, value))
            if len(first) >= settings.n or len(order) == len(scores):
                return list(first.values())[: settings.n]
            wanted *= 4

    def _rows(self, rows: Tensor) -> Iterator[Tensor]:
        """Frame embeddings of some rows, in parts."""
        shape = (-1, self.table.settings.frames, self.table.settings.width)
        for part in rows.split(_ROWS):
            found = self.table.dataset.take(part.tolist(), columns=["embeddings"])["embeddings"]
            yield numbers(found.combine_chunks()).view(shape)

    def _embed(self, video: str | Path) -> Tensor:
        """Frame embeddings of one clip of a video, (T, d)."""
        address = video if isinstance(video, str) and is_remote(video) else Path(video)
        clip = evaluation_clips([VideoRecord(address, UNLABELED, str(video))], self.model.clips)[SampleKey(0, 0)]
        if isinstance(clip, UserError):
            raise clip
        if clip.frames is None:
            raise UserError(clip.failures[0].reason)
        with torch.inference_mode():
            return embed(self.model.video_clip, clip.frames[None].to(self.device))[0, 0]

    def _conditions(self, scorer: SegmentScorer, sentences: SentenceSet) -> dict[str, str]:
        precision = self.table.settings.cpu_precision
        return {
            "weights": self.model.video_clip.pretrained,
            "table": self.table.settings.digest,
            **({} if precision == "fp32" else {"precision": f"{precision} on a CPU"}),
            "matcher": type(scorer.matcher).__name__,
            "digest": scoring_digest(scorer.matcher, sentences),
        }


def one_view(model: TrainedModel) -> ClipSettings:
    """Returns the clip settings of a model with one view and a center crop, which is what tables store."""
    return replace(model.clips.resolved(), views=1, crops=1)


@dataclass(frozen=True, slots=True)
class _Question:
    """What a search is about.

    Attributes:
        text: The query in words.
        scorer: Scorer of its classes.
        sentences: Sentences of the scorer.
        index: Index of the class in question.
        ranked_by: What decides the order.
    """

    text: str
    scorer: SegmentScorer
    sentences: SentenceSet
    index: int = 0
    ranked_by: RankedBy = "similarity"


def _found_segment(segment: StoredSegment, score: float, vector: Tensor) -> FoundSegment:
    second: float | None = None
    if segment.embeddings is not None:
        second = segment.frame_times[int((segment.embeddings.float() @ vector).argmax())]
    known = None if second is None or isnan(second) else second
    return FoundSegment(replace(segment, embeddings=None), score, known, is_moved(segment.video))
