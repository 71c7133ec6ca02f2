"""The head of ER-ZSAR: video features, objects and class definitions in one space (Chen and Huang, ICCV 2021)."""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TEMPERATURE: Final = 0.1
_TRAINED_LAYERS: Final = 2
"""Number of the text model's last layers that are trained."""


class ElaborativeRehearsal(nn.Module):
    """Compares a video, and the names of objects in it, with definitions of classes.

    A gate for each of the two weights its dimensions by both. The text model is frozen except for its last two layers.

    Args:
        video_width: Number of dimensions of the video features.
        text_model: Model with the parts `embeddings` and `encoder.layer`, such as BERT.
        width: Number of dimensions of the joint space.
        dropout: Probability of dropout in texts and gates.
    """

    def __init__(self, video_width: int, text_model: nn.Module, width: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.video_width, self.text_model = video_width, text_model
        model: Any = text_model
        self.video = nn.Linear(video_width, width)
        self.text = nn.Linear(model.config.hidden_size, width)
        self.dropout = nn.Dropout(dropout)
        self.action_gate, self.object_gate = _gate(width, dropout), _gate(width, dropout)
        for part in (model.embeddings, *model.encoder.layer[:-_TRAINED_LAYERS]):
            part.requires_grad_(False)

    def embed_videos(self, features: Tensor) -> Tensor:
        """Maps features (B, W) to unit vectors (B, d)."""
        return F.normalize(self.video(features), dim=-1)

    def embed_texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Maps token ids and their mask, 1 where there is a token, both (n, L), to unit vectors (n, d)."""
        states = self.dropout(self.text_model(input_ids=tokens, attention_mask=mask).last_hidden_state)
        shares = mask[..., None].to(states.dtype)
        return F.normalize(self.text((states * shares).sum(1) / shares.sum(1)), dim=-1)

    def gate(self, actions: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Weights both vectors of each video by their gates.

        Args:
            actions: Unit vectors of the video features, (B, d).
            objects: Unit vectors of the objects' texts, (B, d).

        Returns:
            Unit vectors of both, (B, d).
        """
        both = torch.cat([actions, objects], dim=-1)
        gated = (self.action_gate(both).sigmoid() * actions, self.object_gate(both).sigmoid() * objects)
        return F.normalize(gated[0], dim=-1), F.normalize(gated[1], dim=-1)

    @staticmethod
    def scores(actions: Tensor, objects: Tensor, classes: Tensor) -> Tensor:
        """Returns the score of each class, (B, K): objects count only where they speak for it.

        Args:
            actions: Gated unit vectors of the video features, (B, d).
            objects: Gated unit vectors of the objects' texts, (B, d).
            classes: Unit vectors of the definitions, (K, d).
        """
        scores: Tensor = actions @ classes.T + (objects @ classes.T).clamp(min=0)
        return scores


def rehearsal_loss(
    actions: Tensor, objects: Tensor, classes: Tensor, labels: Tensor, concepts: Tensor, own: Tensor
) -> Tensor:
    """Returns the loss: cross-entropy over the classes, and a rehearsal in which videos tell their own objects.

    Both are the sum over three scores: by the video features, by the objects, and by both. The rehearsal is the mean
    over all pairs of a video and one of its objects; negatives are the objects of the batch.

    Args:
        actions: Gated unit vectors of the video features, (B, d).
        objects: Gated unit vectors of the objects' texts, (B, d).
        classes: Unit vectors of the definitions, (K, d).
        labels: Class of each video, int64 (B,).
        concepts: Unit vectors of the different objects in the batch, (C, d).
        own: Whether an object is one of a video's own, bool (B, C).
    """
    single = [vectors @ classes.T for vectors in (actions, objects)]
    scores = [*single, ElaborativeRehearsal.scores(actions, objects, classes)]
    recognition = torch.stack([F.cross_entropy(score / _TEMPERATURE, labels) for score in scores]).sum()
    names = [vectors @ concepts.T for vectors in (actions, objects)]
    terms = [(score / _TEMPERATURE).log_softmax(-1)[own].mean() for score in (*names, names[0] + names[1])]
    return recognition - torch.stack(terms).sum()


def _gate(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width))
