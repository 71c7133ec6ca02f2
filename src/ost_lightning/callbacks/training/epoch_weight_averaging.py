"""Stochastic weight averaging whose average is kept."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from ost_lightning.errors import UserError


class EpochWeightAveraging(StochasticWeightAveraging):
    """Lightning's stochastic weight averaging; the last checkpoint of the run holds the average.

    Each of the last epochs adds the weights that it begins with to the average. At the end of the last epoch, before
    its checkpoint is written, the model gets the average; Lightning's own gets it after that, so that no checkpoint
    has it. A run that ends before `max_epochs` keeps its weights as they are. The arguments are Lightning's.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that there is a last epoch.

        Raises:
            UserError: If there is none.
        """
        if trainer.max_epochs == -1:
            raise UserError("Weights are averaged over the last epochs: set trainer.max_epochs.")
        super().on_fit_start(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes up the averaging, and its learning rates, also where a run goes on in the middle of an epoch."""
        if self._scheduler_state is not None:
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        """Gives the model the average after the last epoch."""
        super().on_train_epoch_end(trainer, *args)
        if self._average_model is not None and trainer.current_epoch == self.swa_end:
            self.transfer_weights(self._average_model, trainer.lightning_module)
