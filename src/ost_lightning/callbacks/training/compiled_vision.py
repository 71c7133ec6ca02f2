"""torch.compile for the vision tower, which takes most of the time."""

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.callbacks.recognition import recognition_task


class CompiledVision(Callback):
    """Compiles the vision tower: a minute or two at the start, less time at every step.

    Its input has one shape, so that it is compiled once. The text tower, whose sentences differ in length, is left as
    it is. Weights keep their names, so that checkpoints are the same with and without.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compiles the tower, and the normalization of its pixels, at their first use."""
        video_clip = recognition_task(self, pl_module).video_clip
        video_clip.normalization.compile()
        video_clip.encoder.tower("vision").backbone.compile()
