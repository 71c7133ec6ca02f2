"""Why a video was recognized as a class, or not: sentences, frames and patches that decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ost_lightning.analysis.relevance import attention_rollout, class_attention, descriptor_relevance
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, Matcher, PlanMatcher, PooledDescriptors
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition.sentence_match import SentenceMatch
from ost_lightning.vocabulary import SentenceKind

MapMethod = Literal["relevance", "rollout", "class_attention"]
"""How attention maps are computed; only `relevance` depends on the sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Evidence for and against one class.

    Attributes:
        label: Name of the class.
        probability: Probability of the class, 0 to 1.
        matches: Matches with the sentences of the class.
        frames: Frames as the encoder saw them, uint8 (T, 3, S, S).
    """

    label: str
    probability: float
    matches: tuple[SentenceMatch, ...]
    frames: Tensor

    @property
    def best(self) -> SentenceMatch:
        """Match with the highest cosine: the sentence that speaks most for the class."""
        return max(self.matches, key=lambda match: match.cosine)

    @property
    def worst_step(self) -> SentenceMatch | None:
        """Temporal Descriptor with the lowest cosine: the step that is seen least; None without such descriptors."""
        steps = [match for match in self.matches if match.kind == "temporal"]
        return min(steps, key=lambda match: match.cosine) if steps else None

    @property
    def frame_scores(self) -> Tensor:
        """Contribution of each frame to the mean cosine of all sentences, (T,); the sum is that mean."""
        return torch.stack([match.shares * match.cosines for match in self.matches]).mean(0)

    def frames_against(self, other: "Explanation", count: int = 3) -> list[int]:
        """Returns the frames that speak most for this class and not for another one, in the order of the video.

        There are none if a temporal head pools the frames: the clip as a whole has one score.

        Args:
            other: Explanation of another class, for the same video.
            count: Largest number of frames; only those that speak for this class count.

        Raises:
            UserError: If the explanations have different numbers of frames.
        """
        own, others = self.frame_scores, other.frame_scores
        if len(own) != len(others):
            raise UserError(
                f"The explanations have {len(own)} and {len(others)} frames: compare explanations of one video."
            )
        if len(own) == 1:
            return []
        lead = own - others
        best = lead.argsort(descending=True, stable=True)[:count].tolist()
        return sorted(frame for frame in best if lead[frame] > 0)

    def record(self) -> dict[str, Any]:
        """Returns label, probability and all matches as plain values, for JSON."""
        return {
            "label": self.label,
            "probability": self.probability,
            "sentences": [
                {
                    "kind": match.kind,
                    "sentence": match.sentence,
                    "cosine": match.cosine,
                    "frame": match.frame,
                    "second": match.second,
                    "shares": match.shares.tolist(),
                    "cosines": match.cosines.tolist(),
                }
                for match in self.matches
            ],
        }

    def __repr__(self) -> str:
        return f"Explanation({self.label!r}, {self.probability:.4f}, {len(self.matches)} sentences)"

    def __str__(self) -> str:
        lines = [f"{self.label} ({100 * self.probability:.1f} %)", f"  for it: {self.best}"]
        if self.worst_step is not None:
            step = self.worst_step
            best = f", best at {step.when(step.frame)}" if len(step.shares) > 1 else ""
            lines.append(f"  against it: {step.sentence!r} is hardly seen (cost {step.cost:.3f}{best})")
        return "\n".join(lines)


def is_explainable(matcher: Matcher) -> bool:
    """Returns whether `sentence_matches` can tell which sentences and frames decided."""
    return isinstance(matcher, CategoryName | PooledDescriptors | PlanMatcher)


@torch.inference_mode()
def sentence_matches(
    matcher: Matcher,
    embedded: Tensor,
    texts: dict[SentenceKind, Tensor],
    sentences: dict[SentenceKind, Sequence[str]],
    seconds: tuple[float, ...],
) -> tuple[SentenceMatch, ...]:
    """Matches the frames of one video with the sentences of one class.

    Args:
        matcher: A matcher with a plan, whose plan gives the shares, or one that averages frames, in which all have the
            same share.
        embedded: Frame embeddings, (T, d).
        texts: Embeddings of the class's sentences by kind, each (N, d).
        sentences: Sentences by kind, N each.
        seconds: Times of the frames; empty if they have none.

    Raises:
        UserError: If the matcher neither has a plan nor averages frames.
    """
    found = []
    for kind in matcher.kinds:
        if isinstance(matcher, PlanMatcher) and kind != "name":
            batched = matcher.cosines_and_plan(embedded[None], texts[kind][None], kind)
            cosines, plan = (part[0, 0] for part in batched)
            shares = plan / plan.sum(0, keepdim=True).clamp_min(torch.finfo(plan.dtype).tiny)
        elif is_explainable(matcher):
            cosines = embedded @ texts[kind].T
            shares = torch.full_like(cosines, 1 / len(embedded))
        else:
            raise UserError(
                f"{type(matcher).__name__} can't be explained: choose a matcher with a plan, such as "
                "OptimalDescriptorSolver, or CategoryName or PooledDescriptors."
            )
        means = (shares * cosines).sum(0).tolist()
        for n, (sentence, mean) in enumerate(zip(sentences[kind], means, strict=True)):
            found.append(SentenceMatch(sentence, kind, mean, shares[:, n].cpu(), cosines[:, n].cpu(), seconds))
    return tuple(found)


def attention_maps(
    video_clip: VideoCLIP, frames: Tensor, texts: Tensor, method: MapMethod = "relevance", first_layer: int = 0
) -> Tensor:
    """Returns where in each frame the encoder looked, for each sentence.

    Args:
        video_clip: Encoder without a temporal head, or with one that averages frames.
        frames: Frames of one video, uint8 (T, 3, S, S).
        texts: Embeddings of N sentences, (N, d), L2-normalized.
        method: `relevance` of patches for the sentence's logit (Chefer et al., ICCV 2021); `rollout` (Abnar and
            Zuidema, ACL 2020) and `class_attention` (last layer, or the pooling of SigLIP) are the same for every
            sentence.
        first_layer: First layer that relevance is accumulated from; the last one alone is -1.

    Returns:
        Non-negative fp32 (N, T, G, G), G patches per side. Values are comparable between frames, not between methods.

    Raises:
        UserError: If encoder, learned prompts, side network or temporal head relate frames, because maps would leave
            out the paths between them.
    """
    if method not in get_args(MapMethod):
        raise UserError(f"There is no map {method!r}: choose one of {', '.join(get_args(MapMethod))}.")
    head = video_clip.temporal_head
    if head is not None and not head.averages:
        raise UserError(
            "Attention maps are of single frames, but this model's temporal head relates frames: "
            f"{type(head).__name__}."
        )
    if video_clip.runs_layers_for:
        raise UserError(
            f"Attention maps are of single frames, but this model's vision tower has {video_clip.runs_layers_for}, by "
            "which the frames of a clip are related."
        )
    # a graph is needed although the weights may be frozen
    pixels = video_clip.normalization(frames).requires_grad_()
    with torch.enable_grad():
        features, attention = video_clip.encoder.encode_with_attention(pixels)
        embedded = features if head is None else head(features[None])[0]
        unit = torch.nn.functional.normalize(embedded.float(), dim=-1)
        if method == "relevance":
            logits = video_clip.similarity_to_logits(unit @ texts.T)
            maps = []
            for n in range(len(texts)):
                gradients = torch.autograd.grad(logits[:, n].sum(), attention.tensors, retain_graph=True)
                maps.append(descriptor_relevance(attention, attention.with_tensors(gradients), first_layer))
        else:
            one = attention_rollout(attention) if method == "rollout" else class_attention(attention)
            maps = [one] * len(texts)
    side = round(maps[0].shape[-1] ** 0.5)
    found: Tensor = torch.stack([row.detach().float().cpu() for row in maps]).unflatten(-1, (side, side))
    return found
