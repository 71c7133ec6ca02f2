"""Stochastic weight averaging whose average is kept: adapter to Lightning's callback, which it extends."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from ost_lightning.callbacks.private_names import private
from ost_lightning.errors import UserError


class EpochWeightAveraging(StochasticWeightAveraging):
    """Lightning's stochastic weight averaging, with the average in the last checkpoint of the run.

    Each of the last epochs adds the weights that it begins with to the average. At the end of the last epoch the model
    gets the average before its checkpoint is written; in Lightning's own callback it gets it afterwards, so that no
    checkpoint has it. A run that ends before `max_epochs` keeps its weights. The arguments are Lightning's.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that training has a last epoch.

        Raises:
            UserError: If it is endless.
        """
        if trainer.max_epochs == -1:
            raise UserError("Weights are averaged over the last epochs: set trainer.max_epochs.")
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
