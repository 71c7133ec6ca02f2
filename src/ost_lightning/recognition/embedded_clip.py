"""A video that was read and embedded as one clip, which any classes can be compared with."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ost_lightning.models import DescriptorEmbeddings, VideoCLIP
from ost_lightning.text import SentenceSet
from ost_lightning.vocabulary import SentenceKind


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EmbeddedClip:
    """A video as `Recognizer` sees it, so that other classes can be asked about without opening it again.

    Attributes:
        video: Path or URL of the video, without passwords.
        frames: Frames of all views, uint8 (V, T, 3, S, S).
        embeddings: Embeddings of the frames, fp32 (V, T, d), L2-normalized, on the recognizer's device.
        seconds: Times of the frames of the first view; empty if frames have no times.
        digest: Digest of the weights and of the settings with which frames were read.
    """

    video: str
    frames: Tensor
    embeddings: Tensor
    seconds: tuple[float, ...]
    digest: str

    def __repr__(self) -> str:
        views, frames, width = self.embeddings.shape
        return f"EmbeddedClip({self.video!r}, {views} x {frames} frames, width {width})"


@torch.inference_mode()
def embed_sentences(
    video_clip: VideoCLIP, sentences: SentenceSet, known: SentenceSet, embeddings: DescriptorEmbeddings
) -> DescriptorEmbeddings:
    """Embeds sentences of which many may be known; only the others are encoded.

    Args:
        video_clip: Encoder of sentences.
        sentences: Sentences to embed.
        known: Sentences that were embedded before by the same encoder.
        embeddings: Embeddings of the known sentences, kind -> (K, N, d).

    Returns:
        kind -> fp32 (K, N, d), L2-normalized.
    """
    rows: dict[str, Tensor] = {}
    for kind, vectors in embeddings.items():
        texts = [text for row in known.sentences[kind] for text in row]
        rows.update(zip(texts, vectors.flatten(0, 1).unbind(), strict=True))
    wanted = dict.fromkeys(text for kind in sentences.sentences for text in _flat(sentences.sentences, kind))
    if missing := [text for text in wanted if text not in rows]:
        new = SentenceSet({"name": tuple((text,) for text in missing)})
        (vectors,) = video_clip.encode_sentences(video_clip.tokenize(new)).values()
        rows.update(zip(missing, vectors.flatten(0, 1).unbind(), strict=True))
    return {
        kind: torch.stack([rows[text] for text in _flat(sentences.sentences, kind)]).unflatten(0, (len(every), -1))
        for kind, every in sentences.sentences.items()
    }


def _flat(sentences: Mapping[SentenceKind, tuple[tuple[str, ...], ...]], kind: SentenceKind) -> list[str]:
    return [text for row in sentences[kind] for text in row]
