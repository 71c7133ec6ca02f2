"""Connection of task and data module: the only module that knows both."""

from dataclasses import asdict
from typing import Any

from lightning.pytorch import Trainer

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.tasks import RecognitionTask


def connect(task: RecognitionTask, data: VideoDataModule, trainer: Trainer | None, settings: Any) -> None:
    """Configures the data module for the task: clips for the checkpoint's preprocessing, batches for training steps.

    Args:
        task: Task of the run.
        data: Data module of the run.
        trainer: Trainer of a training whose videos are listed already, for which the batch is chosen; else None.
        settings: Data settings in the run's configuration, updated in place with the resulting settings.

    Raises:
        UserError: If clip settings contradict the checkpoint.
    """
    data.configure_for(task.video_clip.preprocessing, whole_steps=task.takes_whole_steps)
    for name, value in asdict(data.clips.geometry()).items():
        settings["init_args"]["clips"][name] = value
    if trainer is not None:
        data.choose_batch(trainer.num_devices * trainer.num_nodes)  # the world size is known only later
        for name in ("global_batch_size", "max_videos_per_device"):
            settings["init_args"]["loading"][name] = getattr(data.loading, name)
