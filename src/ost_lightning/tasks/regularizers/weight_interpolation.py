"""The task's loss at weights between the original and the current ones."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks.regularizers.base import Regularizer, TrainingStep


class WeightInterpolation(Regularizer):
    r"""Regularization by interpolated weights, so that mixtures with the original weights stay good (Open-VCLIP).

    .. math:: L(r \, \theta_{original} + (1 - r) \, \theta), \quad r \sim U(r_{min}, r_{max})

    where L is the task's own loss for the same videos and r is drawn anew in every step, the same in all processes.
    Gradients flow to the current weights. Weights that the original model doesn't have stay as they are.

    A step takes about twice as long, and more memory: activations of both passes and three sets of weights.

    Source: Weng et al., "Open-VCLIP: Transforming CLIP to an open-vocabulary video model via interpolated weight
    optimization", ICML 2023.

    Args:
        weight: Factor of the term in the sum of all losses.
        shares: Least and largest share of the original weights, r, at least 0 and below 1.
        undo_share: Whether the term is divided by 1 - r, which is the factor of its gradient. The current weights then
            get the gradient at the interpolated weights, as in the released code.
        seed: Seed for the shares; None follows `seed_everything`.

    Raises:
        UserError: If the shares are out of range.
    """

    name: ClassVar[str] = "weight_interpolation"

    def __init__(
        self,
        weight: float = 0.5,
        shares: tuple[float, float] = (0.0, 0.6),
        undo_share: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(weight, seed)
        if not 0 <= shares[0] <= shares[1] < 1:
            raise UserError(
                f"WeightInterpolation.shares is {list(shares)}: expected the least and the largest share of the "
                "original weights, both at least 0 and below 1."
            )
        self.shares, self.undo_share = (float(shares[0]), float(shares[1])), undo_share
        self._original: Mapping[str, Tensor] = {}

    def prepare(self, video_clip: VideoCLIP, whole_steps: bool) -> None:
        """Reads the original weights.

        Raises:
            UserError: If activations are recomputed in the backward pass, when the current weights are back in place.
        """
        recomputed = any(getattr(module, "gradient_checkpointing", False) for module in video_clip.modules())
        if recomputed or whole_steps:
            setting = "video_clip.gradient_checkpointing" if recomputed else "contrast: global_batch"
            raise UserError(
                f"WeightInterpolation exchanges weights for one pass, but model.{setting} computes activations again "
                "in the backward pass: unset one of them."
            )
        trained = {name for name, weight in video_clip.named_parameters() if weight.requires_grad}
        originals = video_clip.pretrained_parameters().items()
        self._original = {name: weight for name, weight in originals if name in trained}

    def release(self) -> None:
        """Frees the original weights."""
        self._original = {}

    def share(self, number: int) -> float:
        """Returns the share of the original weights in a step.

        Args:
            number: Number of completed optimizer steps.
        """
        least, most = self.shares
        return least + (most - least) * float(torch.rand((), generator=self.generator(number)))

    def forward(self, step: TrainingStep) -> Tensor:
        """Returns the task's loss at the interpolated weights, a scalar."""
        if not self._original:
            raise RuntimeError("WeightInterpolation has no original weights: start training with Trainer.fit")
        share = self.share(step.number)
        current = dict(step.video_clip.named_parameters())
        self._original = {name: weight.to(current[name].device) for name, weight in self._original.items()}
        mixed = {
            f"video_clip.{name}": torch.lerp(current[name], original.to(current[name].dtype), share)
            for name, original in self._original.items()
        }
        loss: Tensor = functional_call(_Loss(step.video_clip, step.loss), mixed, ())
        return loss / (1 - share) if self.undo_share else loss


class _Loss(nn.Module):
    """A task's loss as a module, whose weights can be exchanged for one call."""

    def __init__(self, video_clip: VideoCLIP, loss: Callable[[], Tensor]) -> None:
        super().__init__()
        self.video_clip, self.loss = video_clip, loss

    def forward(self) -> Tensor:
        return self.loss()
