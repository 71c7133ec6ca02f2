"""Recognition accuracy and confusion with exact counts."""

from typing import cast

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

    It holds one number per video, because a matrix of all pairs of 10,000 classes would take 800 MB.

    Args:
        classes: Number of classes, K.
    """

    is_differentiable = False
    full_state_update = False

    cells: list[Tensor] | Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.add_state("cells", default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forgets all videos."""
        super().reset()
        # a process without videos takes part in the exchange with whole numbers too: none of them
        self.cells = [torch.zeros(0, dtype=torch.int64, device=self.device)]

    def update(self, scores: Tensor, labels: Tensor, unreadable: Tensor | None = None) -> None:
        """Counts a batch.

        Args:
            scores: Scores of the readable videos, (B, K); a higher score means more likely.
            labels: Labels of the readable videos, int64 (B,).
            unreadable: Labels of the other videos, int64 (n,); None for none.
        """
        predicted = scores.topk(1, dim=1).indices[:, 0]  # which breaks ties as the accuracy does
        cells = [labels * (self.classes + 1) + predicted + 1]
        if unreadable is not None:
            cells.append(unreadable * (self.classes + 1))
        kept = cast("list[Tensor]", self.cells)  # a tensor only while processes exchange them
        kept += cells
        # joined like the digits of a counter: thousands of small tensors, each between temporary ones that are larger,
        # would keep most of that memory from being used again
        while len(kept) > 1 and len(kept[-2]) <= len(kept[-1]):
            kept[-2:] = [torch.cat(kept[-2:])]

    def compute(self) -> Tensor:
        """Returns label, recognized class (-1 for unreadable videos) and number of videos, int64 (P, 3), in order."""
        every = self.cells if isinstance(self.cells, Tensor) else torch.cat(self.cells)
        cells, counts = every.unique(return_counts=True)
        size = self.classes + 1
        return torch.stack([cells // size, cells % size - 1, counts], dim=1)


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
