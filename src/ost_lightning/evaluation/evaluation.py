"""Evaluation of several sets of videos with several scorers; each video is embedded once per set of weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ost_lightning.errors import NonFiniteError
from ost_lightning.evaluation.batches import EmbeddedBatch, EvaluationBatch, KeyedClipBatch, ScoredBatch, rows_of
from ost_lightning.evaluation.embedding_store import EmbeddingStore
from ost_lightning.evaluation.frame_orders import reordered
from ost_lightning.evaluation.scoring import Scorer, embed, probabilities
from ost_lightning.evaluation.sets import EvaluationSet
from ost_lightning.evaluation.weight_sets import WeightSets
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, TokenizedSentences, VideoCLIP
from ost_lightning.text import SentenceSet
from ost_lightning.video import ClipBatch

_Texts = tuple[object, ...]


class Evaluation:
    """Embeds, scores and counts the batches of one pass over some evaluation sets.

    Sentences are tokenized at the beginning, and encoded once per set of weights, when the first video needs them.
    Every process has counts for all sets, even for sets of which it gets no videos, because counts are summed over
    processes.

    Attributes:
        sets: Evaluation sets, in the order of their loaders.
        scorers: Scorers by name.

    Args:
        video_clip: Encoder, whose weights must not change during the evaluation.
        sets: Evaluation sets, in the order of their loaders.
        scorers: Scorers by name.
        weights: Sets of weights that the scorers refer to by name.
        device: Device of the batches.
        store: Store of cached embeddings, opened for these weights; None to encode everything.
    """

    def __init__(
        self,
        video_clip: VideoCLIP,
        sets: Sequence[EvaluationSet],
        scorers: Mapping[str, Scorer],
        weights: WeightSets,
        device: torch.device,
        store: EmbeddingStore | None = None,
    ) -> None:
        # imports torchmetrics, which recognition and loading processes don't need
        from ost_lightning.evaluation.metrics import RecognitionAccuracy

        self.sets, self.scorers = tuple(sets), dict(scorers)
        self._video_clip, self._weights, self._device, self._store = video_clip, weights, device, store
        self._accuracy = {
            (evaluation_set.name, name): RecognitionAccuracy().to(device)
            for evaluation_set in self.sets
            for name, scorer in self.scorers.items()
            if evaluation_set.name in scorer.sentences
        }
        self._tokens: dict[_Texts, TokenizedSentences] = {}
        self._texts: dict[tuple[str, _Texts], DescriptorEmbeddings] = {}
        for scorer in self.scorers.values():
            for sentences in scorer.sentences.values():
                self._tokenize(sentences)  # warns of sentences that are too long, before the first video

    def score(self, batch: EvaluationBatch, set_index: int) -> ScoredBatch:
        """Computes class probabilities of a batch's readable videos with every scorer of their set.

        Args:
            batch: Clips or embeddings, on the device.
            set_index: Index of the evaluation set in `sets`.
        """
        evaluation_set = self.sets[set_index]
        embeddings = dict(batch.embeddings) if isinstance(batch, EmbeddedBatch) else {}
        found: dict[str, Tensor] = {}
        used = {name: scorer for name, scorer in self.scorers.items() if (evaluation_set.name, name) in self._accuracy}
        for weights in dict.fromkeys(scorer.weights for scorer in used.values()):
            with self._weights.with_weights(weights):
                if weights not in embeddings and bool(batch.decoded.any()):
                    embeddings[weights] = self._embed(batch, weights, embeddings)
                for name, scorer in used.items():
                    if scorer.weights == weights:
                        ordered = self._in_order(scorer, batch, embeddings.get(weights))
                        found[name] = self._probabilities(scorer, evaluation_set, ordered)
        videos = EmbeddedBatch(embeddings, batch.labels, batch.decoded, batch.ids, batch.failures, batch.spans)
        return ScoredBatch(evaluation_set, videos, found)

    def count(self, scored: ScoredBatch) -> None:
        """Adds a batch to the counts; unreadable videos count as wrong.

        Args:
            scored: Batch that `score` returned.
        """
        labels = scored.videos.readable_labels
        for name, found in scored.probabilities.items():
            self._accuracy[scored.set.name, name].update(found, labels, len(scored.videos) - len(labels))

    def results(self) -> dict[tuple[str, str], dict[str, Tensor]]:
        """Returns the accuracy by evaluation set and scorer, over all processes; every process has to call this.

        Raises:
            NonFiniteError: If a scorer's scores were NaN or infinite.
        """
        found = {}
        for (set_name, scorer), accuracy in self._accuracy.items():
            try:
                found[set_name, scorer] = accuracy.compute()
            except NonFiniteError as error:
                raise NonFiniteError(f"{set_name}, {scorer}: {error}") from error
        return found

    def texts(self, set_name: str, scorer: Scorer) -> DescriptorEmbeddings:
        """Returns the embeddings of a set's sentences, encoded on first use with the encoder's current weights.

        Args:
            set_name: Name of the evaluation set.
            scorer: Scorer that determines sentences and weights; scorers with equal ones share the embeddings.
        """
        sentences: SentenceSet = scorer.sentences[set_name]
        key = (scorer.weights, _key(sentences))
        if key not in self._texts:
            self._texts[key] = self._video_clip.encode_sentences(self._tokenize(sentences))
        return self._texts[key]

    def _tokenize(self, sentences: SentenceSet) -> TokenizedSentences:
        key = _key(sentences)
        if key not in self._tokens:
            self._tokens[key] = self._video_clip.tokenize(sentences)
        return self._tokens[key]

    def _probabilities(self, scorer: Scorer, evaluation_set: EvaluationSet, embedded: FrameEmbeddings | None) -> Tensor:
        if embedded is None:  # no video of the batch could be read
            return torch.zeros((0, len(evaluation_set.labels)), device=self._device)
        return probabilities(self._video_clip, scorer.matcher, self.texts(evaluation_set.name, scorer), embedded)

    def _in_order(
        self, scorer: Scorer, batch: EvaluationBatch, embedded: FrameEmbeddings | None
    ) -> FrameEmbeddings | None:
        """Returns the embeddings in the scorer's order; the encoder must have the scorer's weights."""
        if scorer.order is None or embedded is None:
            return embedded
        ids = [id_ for id_, decoded in zip(batch.ids, batch.decoded.tolist(), strict=True) if decoded]
        if not self._video_clip.relates_frames:
            return reordered(embedded, scorer.order.indices(ids, embedded.shape[2]))
        if isinstance(batch, EmbeddedBatch):
            raise ValueError("an encoder that relates frames needs the pixels to score them in another order")
        return embed(self._video_clip, reordered(_readable(batch), scorer.order.indices(ids, batch.frames.shape[2])))

    def _embed(self, batch: EvaluationBatch, weights: str, known: Mapping[str, FrameEmbeddings]) -> FrameEmbeddings:
        """Embeds the frames of the readable videos, fp32 (B', V, T, d); the encoder must have these weights."""
        equivalent = self._weights.equivalent(weights)
        if equivalent in known:
            return known[equivalent]
        if isinstance(batch, EmbeddedBatch):
            raise ValueError(f"expected embeddings with the weights {weights}, found {list(batch.embeddings)}")
        embedded = embed(self._video_clip, _readable(batch))
        if self._store is not None and isinstance(batch, KeyedClipBatch):
            keys = [key for key, decoded in zip(batch.keys, batch.decoded.tolist(), strict=True) if decoded]
            self._store.save(weights, keys, embedded)
        return embedded


def _key(sentences: SentenceSet) -> _Texts:
    # learned prompts belong to the classes of a label space, whose names may read the same in another one
    names = () if sentences.labels is None else sentences.labels.names
    return (names, *sentences.sentences.items())


def _readable(batch: ClipBatch) -> Tensor:
    """Returns the frames of the readable videos, uint8 (B', V, T, 3, S, S)."""
    return batch.frames if bool(batch.decoded.all()) else rows_of(batch.frames, batch.decoded)
