"""Recognition accuracy and confusion with exact counts."""

import torch
from torch import Tensor
from torchmetrics import Metric

from ost_lightning.errors import NON_FINITE_HINT, NonFiniteError


class RecognitionAccuracy(Metric):
    """Top-1 and Top-5 accuracy over videos (micro average), and the number of videos.

    Videos that could not be decoded count as wrong. States are integers, so the result does not depend on the order
    of batches or processes. With K < 5 classes, Top-5 becomes top-K. Videos with scores that are not finite are only
    counted on the device, because reading the count after every batch would make the host wait.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    first: Tensor
    fifth: Tensor
    videos: Tensor
    undecodable: Tensor
    non_finite: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "fifth", "videos", "undecodable", "non_finite"):
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
        self.non_finite += (~scores.isfinite().all(dim=1)).sum()

    def compute(self) -> dict[str, Tensor]:
        """Returns `top1` and `top5` (0 to 1), `videos` and `undecodable`.

        Raises:
            NonFiniteError: If scores were NaN or infinite, because such videos would be ranked arbitrarily.
        """
        if count := int(self.non_finite):
            raise NonFiniteError(
                f"The scores of {count} of {int(self.videos)} videos are not finite (NaN or infinity), so there is no "
                f"accuracy. {NON_FINITE_HINT}"
            )
        videos = self.videos.clamp(min=1)
        return {
            "top1": self.first / videos,
            "top5": self.fifth / videos,
            "videos": self.videos,
            "undecodable": self.undecodable,
        }


class ConfusionCounts(Metric):
    """Number of videos of each class that are recognized as each class, counted without waiting for the device.

    Args:
        classes: Number of classes, K.
    """

    is_differentiable = False
    full_state_update = False

    matrix: Tensor
    unreadable: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("matrix", default=torch.zeros((classes, classes), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("unreadable", default=torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor, unreadable: Tensor | None = None) -> None:
        """Counts a batch.

        Args:
            scores: Scores of the readable videos, (B, K); a higher score means more likely.
            labels: Labels of the readable videos, int64 (B,).
            unreadable: Labels of the other videos, int64 (n,); None for none.
        """
        predicted = scores.topk(1, dim=1).indices[:, 0]  # which breaks ties as the accuracy does
        self.matrix.index_put_((labels, predicted), torch.ones_like(labels), accumulate=True)
        if unreadable is not None:
            self.unreadable.index_put_((unreadable,), torch.ones_like(unreadable), accumulate=True)

    def compute(self) -> dict[str, Tensor]:
        """Returns `matrix`, int64 (K, K), with a row per true class, and `unreadable`, int64 (K,)."""
        return {"matrix": self.matrix, "unreadable": self.unreadable}


class OrderHits(Metric):
    """Number of videos that are recognized with their frames in several orders, by class.

    The first order is the frames' own; it is compared with the mean of some of the others, video by video. All states
    are integers, so the result does not depend on the order of batches or processes.

    Args:
        orders: Number of orders, O.
        compared: Orders that the first one is compared with.
        classes: Number of classes, K.
    """

    is_differentiable = False
    full_state_update = False

    right: Tensor
    videos: Tensor
    difference: Tensor
    squares: Tensor

    def __init__(self, orders: int, compared: slice, classes: int) -> None:
        super().__init__()
        self.compared = compared
        self.add_state("right", default=torch.zeros((orders, classes), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("videos", default=torch.zeros(classes, dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("difference", "squares"):
            self.add_state(name, default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor, unreadable: Tensor | None = None) -> None:
        """Counts a batch.

        Args:
            scores: Scores of the readable videos in each order, (O, B, K); a higher score means more likely.
            labels: Labels of the readable videos, int64 (B,).
            unreadable: Labels of the other videos, int64 (n,), which count as wrong; None for none.
        """
        # breaks ties as the accuracy does
        hits = (scores.topk(1, dim=2).indices[..., 0] == labels).long()
        self.right.index_add_(1, labels, hits)
        every = labels if unreadable is None else torch.cat([labels, unreadable])
        self.videos.index_add_(0, every, torch.ones_like(every))
        others = hits[self.compared]
        lead = len(others) * hits[0] - others.sum(0)
        self.difference += lead.sum()
        self.squares += lead.square().sum()

    def compute(self) -> dict[str, Tensor]:
        """Returns counts and the standard error of the first order's lead.

        Returns:
            `right` int64 (O, K), `videos` int64 (K,), and `error`, fp64: the standard error, over videos, of the first
            order's Top-1 minus the mean Top-1 of the orders that it is compared with.
        """
        count = self.videos.sum().clamp(min=1)
        others = len(self.right[self.compared])
        mean = self.difference.double() / count
        variance = (self.squares.double() / count - mean.square()).clamp(min=0)
        return {"right": self.right, "videos": self.videos, "error": (variance / count).sqrt() / others}
