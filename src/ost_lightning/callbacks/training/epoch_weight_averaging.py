"""Stochastic weight averaging that saves the average: adapter to Lightning's callback, which it extends."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from ost_lightning.callbacks.private_names import private
from ost_lightning.errors import UserError


class EpochWeightAveraging(StochasticWeightAveraging):
    """Lightning's stochastic weight averaging, with the average in the last checkpoint of the run.

    Each of the last epochs adds its initial weights to the average. At the end of the last epoch the model receives the
    average before its checkpoint is written; Lightning's own callback sets it afterwards, so no checkpoint contains it.
    A run that ends before `max_epochs` keeps its current weights. The arguments are Lightning's.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that training has a last epoch.

        Raises:
            UserError: If the number of epochs is unlimited.
        """
        if trainer.max_epochs == -1:
            raise UserError(
                "EpochWeightAveraging averages over the last epochs, but trainer.max_epochs is -1, unlimited: set it."
            )
        super().on_fit_start(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restarts the averaging and its learning rates when a run is resumed in the middle of an epoch."""
        if private(self, "_scheduler_state") is not None:
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        """Sets the model's weights to their average after the last epoch."""
        super().on_train_epoch_end(trainer, *args)
        average = private(self, "_average_model")
        if average is not None and trainer.current_epoch == self.swa_end:
            self.transfer_weights(average, trainer.lightning_module)
