"""torch.compile for the side that takes the time."""

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.errors import UserError
from ost_lightning.tasks import RecognitionTask


class CompiledVision(Callback):
    """Compiles the vision tower: a minute or two at the start, less time at every step.

    Its input has one shape, so that it is compiled once. The text tower, whose sentences differ in length, is left as
    it is. Weights keep their names, so that checkpoints are the same with and without.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Has the tower compiled at its first use."""
        if not isinstance(pl_module, RecognitionTask):
            raise UserError(f"CompiledVision works on recognition tasks, not on {type(pl_module).__name__}.")
        pl_module.video_clip.clip.vision_model.compile()
