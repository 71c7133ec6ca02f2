"""One line on the number of trained weights."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities import rank_zero_info


class ParameterCount(ModelSummary):
    """Prints how many weights are trained, in place of Lightning's summary of modules."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the numbers."""
        parameters = list(pl_module.parameters())
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        rank_zero_info(f"Training {trained:,} of {sum(parameter.numel() for parameter in parameters):,} weights.")
