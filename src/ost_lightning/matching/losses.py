"""The training objective."""

from torch import Tensor
from torch.nn import functional as F


def symmetric_kl(logits: Tensor, labels: Tensor, *, sharpness: float = 10.0, factor: float = 0.5) -> Tensor:
    r"""Contrastive loss over a batch in which every video brings its own class's text (Eq. 15).

    .. math:: L = f \, (KL(q \,\|\, p^{v2t}) + KL(q \,\|\, p^{t2v})), \quad q_{ij} \propto \exp(s \, [y_i = y_j])

    Args:
        logits: (B, B); video i against the class of sample j.
        labels: int64 (B,), the samples' classes.
        sharpness: s. Samples of one class share the target; e^s to 1 is the weight of a match against a mismatch.
        factor: f. 1/2 is Eq. 15; the released code sums (1).

    Returns:
        Scalar, at least 0.
    """
    targets = (sharpness * (labels[:, None] == labels[None, :]).to(logits.dtype)).softmax(dim=-1)
    video_to_text = F.kl_div(logits.log_softmax(dim=-1), targets, reduction="batchmean")
    text_to_video = F.kl_div(logits.T.log_softmax(dim=-1), targets, reduction="batchmean")
    return factor * (video_to_text + text_to_video)
