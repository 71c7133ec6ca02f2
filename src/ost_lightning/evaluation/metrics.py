"""Recognition accuracy with exact counts."""

import torch
from torch import Tensor
from torchmetrics import Metric


class RecognitionAccuracy(Metric):
    """Top-1 and Top-5 accuracy over videos (micro average), and the number of videos.

    Videos that could not be decoded count as wrong. States are integers, so the result does not depend on the order
    of batches or processes. With K < 5 classes, Top-5 becomes top-K.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    first: Tensor
    fifth: Tensor
    videos: Tensor
    undecodable: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "fifth", "videos", "undecodable"):
            self.add_state(name, default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor, undecodable: int = 0) -> None:
        """Counts a batch.

        Args:
            scores: Scores of the decoded videos, (B, K); a higher score means more likely.
            labels: Labels of the decoded videos, int64 (B,).
            undecodable: Number of additional videos that could not be decoded.
        """
        hits = scores.topk(min(5, scores.shape[1]), dim=1).indices == labels[:, None]
        self.first += hits[:, 0].sum()
        self.fifth += hits.sum()
        self.videos += len(labels) + undecodable
        self.undecodable += undecodable

    def compute(self) -> dict[str, Tensor]:
        """Returns `top1` and `top5` (0 to 1), `videos` and `undecodable`."""
        videos = self.videos.clamp(min=1)
        return {
            "top1": self.first / videos,
            "top5": self.fifth / videos,
            "videos": self.videos,
            "undecodable": self.undecodable,
        }
