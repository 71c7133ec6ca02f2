"""Contrastive objectives."""

from typing import Literal

from torch import Tensor
from torch.nn import functional as F


def symmetric_kl(logits: Tensor, labels: Tensor, *, sharpness: float = 10.0, factor: float = 0.5) -> Tensor:
    r"""Contrastive loss over a batch in which every video is paired with the text of its own class (Eq. 15).

    .. math:: L = f \, (KL(q \,\|\, p^{v2t}) + KL(q \,\|\, p^{t2v})), \quad q_{ij} \propto \exp(s \, [y_i = y_j])

    Args:
        logits: Scores of video i for the class of sample j, (B, B).
        labels: Class of each sample, int64 (B,).
        sharpness: Logit s of a match. Samples of the same class share the target, each with e^s times the weight of a
            mismatch.
        factor: Weight f of the sum of both directions: 1/2 in Eq. 15, 1 in the released code.

    Returns:
        Loss, a scalar >= 0.
    """
    targets = (sharpness * (labels[:, None] == labels[None, :]).to(logits.dtype)).softmax(dim=-1)
    video_to_text = F.kl_div(logits.log_softmax(dim=-1), targets, reduction="batchmean")
    text_to_video = F.kl_div(logits.T.log_softmax(dim=-1), targets, reduction="batchmean")
    return factor * (video_to_text + text_to_video)


Positives = Literal["pairs", "pooled"]
"""Bags that a video may match besides its own: each as a term of its own, or all of them in one."""


def bag_contrast(logits: Tensor, labels: Tensor, *, positives: Positives = "pairs") -> Tensor:
    r"""Contrastive loss of videos with bags of texts, of which any may match (MAXI; Lin et al., ICCV 2023).

    .. math:: p_{ij} = \frac{\sum_m \exp s_{ijm}}{\sum_k \sum_m \exp s_{ikm}}

    where s_ijm is the logit of video i and text m of the bag of video j. `pairs` is the mean of -log p_ij over all
    pairs of one label, as released, so that its least value is above 0 where labels repeat. `pooled` is the mean of
    -log sum_j p_ij over videos, where j has the label of i (Eq. 2 of the paper).

    Args:
        logits: Scores of video i for all texts, those of a bag side by side, (B, B n).
        labels: Label of each video and its bag, int64 (B,).
        positives: How matching bags enter the loss.

    Returns:
        Loss, a scalar >= 0.

    Raises:
        ValueError: If bags are empty or differ in size.
    """
    count = len(labels)
    if logits.ndim != 2 or len(logits) != count or not logits.shape[1] or logits.shape[1] % count:
        raise ValueError(f"logits {tuple(logits.shape)} are not those of {count} videos with equally large bags")
    bags = logits.unflatten(1, (count, -1)).logsumexp(-1)
    shares = bags.log_softmax(dim=-1)
    matching = labels[:, None] == labels[None, :]
    pooled = shares.masked_fill(~matching, float("-inf")).logsumexp(-1)
    terms = shares[matching] if positives == "pairs" else pooled
    loss: Tensor = -terms.mean()
    return loss
