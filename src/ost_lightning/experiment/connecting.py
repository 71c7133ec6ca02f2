"""Connection of task and data module: the only module that knows both."""

from dataclasses import asdict
from typing import Any

from ost_lightning.datamodules import VideoDataModule
from ost_lightning.tasks import RecognitionTask


def connect(task: RecognitionTask, data: VideoDataModule, settings: Any) -> None:
    """Configures the data module for the task: clips for the checkpoint's preprocessing, batches for training steps.

    Args:
        task: Task of the run.
        data: Data module of the run.
        settings: Data settings in the run's configuration, updated in place with the resulting clip settings.

    Raises:
        UserError: If clip settings contradict the checkpoint.
    """
    data.configure_for(task.video_clip.preprocessing, whole_steps=task.takes_whole_steps)
    for name, value in asdict(data.clips.geometry()).items():
        settings["init_args"]["clips"][name] = value
