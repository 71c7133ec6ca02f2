"""torch.compile for the vision tower, where most of the time is spent."""

from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.callbacks.recognition import recognition_task
from ost_lightning.errors import UserError
from ost_lightning.models import VideoCLIP


class CompiledVision(Callback):
    """Compiles the vision tower, which costs a minute or two at the start and saves time in every step.

    The tower's input always has the same shape, because short batches of an evaluation are padded, so it is compiled
    once. The text tower, whose sentences differ in length, is not compiled. Weights keep their names, so checkpoints
    are the same with and without this callback.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Marks the tower and the pixel normalization for compilation at their first use.

        Raises:
            UserError: If the tower is run layer by layer.
        """
        video_clip = recognition_task(self, pl_module).video_clip
        if video_clip.runs_layers_for:
            raise UserError(
                f"CompiledVision compiles the vision tower as a whole, but its layers are run one by one for "
                f"{video_clip.runs_layers_for}: remove the callback."
            )
        compile_vision(video_clip)


def compile_vision(video_clip: VideoCLIP) -> None:
    """Marks the vision tower and the pixel normalization for `torch.compile`, and pads short batches from now on."""
    video_clip.batch_padding.on = True
    for module in (video_clip.normalization, *video_clip.encoder.vision_modules()):
        module.compile()
