"""What a recognizer says about why: sentences, frames and patches that decided."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching import Matcher
from ost_lightning.models import DescriptorEmbeddings, VideoCLIP
from ost_lightning.recognition.embedded_clip import EmbeddedClip
from ost_lightning.recognition.explanations.explanation import Explanation, MapMethod, attention_maps, sentence_matches
from ost_lightning.recognition.replicas import Replica
from ost_lightning.recognition.sentence_match import SentenceMatch
from ost_lightning.text import LabelSpace, SentenceSet
from ost_lightning.vocabulary import counted


class ExplainedVideos(ABC):
    """Base class of recognizers, for explanations.

    Attributes:
        labels: Classes to choose from.
        matcher: Mechanism that scores a video against the classes.
        device: Device for computation.
    """

    labels: LabelSpace
    matcher: Matcher
    device: torch.device
    _video_clip: VideoCLIP
    _texts: DescriptorEmbeddings
    _sentences: SentenceSet
    _replica: Replica
    _frames: int

    @abstractmethod
    def embed_clip(self, video: str | Path | EmbeddedClip) -> EmbeddedClip:
        """Reads and embeds a video as one clip."""

    def explain(self, video: str | Path | EmbeddedClip, classes: Sequence[str] | None = None) -> list[Explanation]:
        """Explains why a video was recognized as a class and not as another one.

        Args:
            video: Path of a file or folder of frames, URL, or a video from `embed_clip`.
            classes: Names of the classes to explain; the two most likely ones if not given.

        Returns:
            One explanation per class, in the same order. With several views, it is of the first one.

        Raises:
            UserError: If a class is unknown, the video can't be read, or the matcher or encoder can't be explained.
        """
        if self._video_clip.adapt_matcher(self.matcher) is not self.matcher:
            raise UserError(
                f"{self._video_clip.pretrained} can't be explained by sentences and frames: it embeds each clip as a "
                "whole, and its texts depend on the video."
            )
        clip = self.embed_clip(video)
        with torch.inference_mode():
            found = self._replica.probabilities(clip.embeddings[None])[0]
        chosen = found.topk(min(2, len(found))).indices.tolist() if classes is None else map(self._index, classes)
        return [
            Explanation(
                self.labels.names[k],
                float(found[k]),
                self._matches(self._replica, clip.embeddings[0], k, clip.seconds),
                clip.frames[0],
            )
            for k in chosen
        ]

    def maps(
        self, explanation: Explanation, method: MapMethod = "relevance", matches: Sequence[SentenceMatch] | None = None
    ) -> Tensor:
        """Returns where in each frame the encoder looked, for each sentence of an explanation.

        Args:
            explanation: Explanation by this recognizer.
            method: Kind of map; see `attention_maps`.
            matches: Sentences of the explanation; all of them if not given.

        Returns:
            Non-negative fp32 (N, T, G, G), G patches per side.

        Raises:
            UserError: If the encoder or its temporal head relates frames.
        """
        k = self._index(explanation.label)
        every = [row for kind in self.matcher.kinds for row in self._texts[kind][k]]
        shown = explanation.matches if matches is None else matches
        texts = torch.stack([every[explanation.matches.index(match)] for match in shown])
        return attention_maps(self._video_clip, explanation.frames.to(self.device), texts.clone(), method)

    def _matches(
        self, replica: Replica, embedded: Tensor, k: int, seconds: tuple[float, ...]
    ) -> tuple[SentenceMatch, ...]:
        """Matches of the frames of one view, (T, d), with the sentences of class k."""
        return sentence_matches(
            replica.matcher,
            embedded,
            {kind: replica.texts[kind][k] for kind in replica.matcher.kinds},
            {kind: self._sentences.sentences[kind][k] for kind in replica.matcher.kinds},
            seconds if len(embedded) == self._frames else (),
        )

    def _index(self, name: str) -> int:
        if name not in self.labels.names:
            classes = counted(len(self.labels), "class", "classes")
            raise UserError(f"There is no class {name!r}: expected one of the recognizer's {classes}.")
        return self.labels.names.index(name)
