"""Gradient-norm logging."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from ost_lightning.errors import UserError


class GradientNorm(Callback):
    """Logs `train/gradient_norm`, the Euclidean norm over all trained weights, before clipping.

    Args:
        every: Number of optimizer steps per measurement.
    """

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise UserError(f"gradient_norm.every is {every}: it counts optimizer steps, so it must be at least 1.")
        self.every = every

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Logs the gradient norm."""
        if trainer.global_step % self.every:
            return
        from torch.distributed.tensor import DTensor  # takes a third of a second, which an evaluation doesn't need

        gradients = [parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        pl_module.log("train/gradient_norm", norm.full_tensor() if isinstance(norm, DTensor) else norm)
