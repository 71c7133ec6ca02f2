"""Evaluation with the linear layers of the vision tower in fp8."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.errors import UserError


class Fp8Vision(Callback):
    """Computes the linear layers of the vision tower's blocks in 8-bit floating point (e4m3).

    Each token and each output channel has a scale of its own. Scores change a little, so results name it. It pays with
    `CompiledVision`, which fuses the rounding with the operations before it.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Converts the layers.

        Raises:
            UserError: In training, which needs gradients; or if the device can't compute in fp8.
        """
        task = recognition_task(self, pl_module)
        if stage == TrainerFn.FITTING:
            raise UserError(
                "Fp8Vision is for evaluation, because products in fp8 have no gradients: remove the callback "
                "(`--config modes/fp8`) from the training, and add it to the test."
            )
        task.video_clip.encoder.use_fp8([trainer.strategy.root_device])
