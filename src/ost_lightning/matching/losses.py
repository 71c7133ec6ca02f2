"""The training objective."""

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
