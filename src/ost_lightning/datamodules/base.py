"""What every data module shares: which videos, in which loaders, under which policies."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.datamodules.batching import BatchPlan, plan_batches
from ost_lightning.datamodules.decode_policy import apply_decode_policy
from ost_lightning.datamodules.decode_report import DecodeReport, count
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.loaders import LoaderFactory
from ost_lightning.datamodules.presence import check_presence, require_sets
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.datamodules.trainer_checks import refuse_lightning_samplers, set_accumulation
from ost_lightning.datamodules.training_loader import TrainingLoader, TrainingPosition
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings, EmbeddedBatch, EmbeddingCache, EmbeddingStore, EvaluationLoader
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.resources import cache_folder
from ost_lightning.text import LabelSpace
from ost_lightning.video import ClipBatch, TrainingTransform
from ost_lightning.vocabulary import EvaluationStage, Part

REAL_VIDEOS: Final = "real videos"
_GIGABYTE: Final = 10**9


class VideoDataModule(LightningDataModule, ABC):
    """Streams clips out of video files.

    A subclass says which videos there are; see `training_videos` and `evaluation_videos`.

    Training can go on from any checkpoint: its position in the epoch is saved, what is drawn for a sample depends on
    (seed, epoch, index), and what a training step draws on (seed, epoch, batch, process).

    Attributes:
        world: What the videos show, for tables: figures of a rendered world say nothing about real videos.
        report: The unreadable videos of this run.

    Args:
        clips: How a video becomes a clip.
        loading: How clips are loaded.
    """

    world: ClassVar[str] = REAL_VIDEOS

    def __init__(self, clips: ClipSettings, loading: LoadingSettings) -> None:
        super().__init__()
        # with few videos and many processes a process may get none of a set
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.clips, self.loading = clips, loading
        self.report = DecodeReport()
        self._store: EmbeddingStore | None = None
        if loading.embedding_cache_gigabytes > 0:
            folder = cache_folder() / "frame_embeddings"
            self._store = EmbeddingStore(EmbeddingCache(folder, int(loading.embedding_cache_gigabytes * _GIGABYTE)))
        self._whole_steps = False
        self._position = TrainingPosition()
        self._training: LabeledVideos | None = None
        self._transform: TrainingTransform | None = None
        self._evaluation: dict[EvaluationStage, Mapping[str, LabeledVideos]] = {}

    @abstractmethod
    def training_videos(self) -> LabeledVideos:
        """The training set."""

    @abstractmethod
    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """The evaluation sets of a stage, by name, each with its own label space."""

    def has_part(self, part: Part) -> bool:
        """Whether the settings name videos of a part, so that it makes sense to ask for them."""
        return True

    def configure_for(self, preprocessing: Preprocessing, *, whole_steps: bool = False) -> None:
        """Fills in the clip settings that are not set, and how micro-batches are handed out.

        Whoever makes the task and the data module calls this, before the data is set up.

        Args:
            preprocessing: Preprocessing of the checkpoint that the clips are for.
            whole_steps: Whether all micro-batches of an optimizer step are yielded at once.

        Raises:
            UserError: If the settings contradict the checkpoint, or crops would show a small part of the frames only.
        """
        self.clips, self._whole_steps = self.clips.with_defaults_from(preprocessing).resolved(), whole_steps

    @property
    def training_set(self) -> LabeledVideos:
        """The videos that are trained on."""
        if self._training is None:
            raise RuntimeError("the training set is there after setup('fit') only")
        return self._training

    def evaluation_sets(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """The evaluation sets of a stage that was set up, in the order of the loaders."""
        return self._evaluation[stage]

    def evaluation_labels(self, stage: EvaluationStage) -> Mapping[str, LabelSpace]:
        """Classes of each evaluation set, in the order of the loaders."""
        return {name: videos.labels for name, videos in self._evaluation[stage].items()}

    @property
    def seed(self) -> int:
        """Seed for order, augmentation and draws of videos."""
        return self.loading.seed if self.loading.seed is not None else int(os.environ.get("PL_GLOBAL_SEED", "0"))

    def state_dict(self) -> dict[str, Any]:
        """Progress of the training."""
        return self._position.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Sets the progress of the training."""
        self._position.restore(state_dict)

    def prepare_data(self) -> None:
        """Checks what can be checked before anything is made; subclasses that make data call this first."""
        if self.trainer is None or self.trainer.state.fn == "fit":
            self._batch_plan()  # an evaluation does not care whether the training's batch can be shared out

    def setup(self, stage: str) -> None:
        """Reads the lists that a stage needs, and divides the global batch."""
        refuse_lightning_samplers(self.trainer)
        self.clips.check_crop()
        if stage == "fit":
            self._training = self.training_videos()
            check_presence({"the training set": self._training}, self.loading.on_missing)
            set_accumulation(self.trainer, self._batch_plan(), len(self._training.found), whole_steps=self._whole_steps)
        chosen: EvaluationStage = "test" if stage == "test" else "predict" if stage == "predict" else "val"
        self._evaluation[chosen] = self.evaluation_videos(chosen)
        if stage != "fit":
            require_sets(self._evaluation[chosen], chosen)
        check_presence(self._evaluation[chosen], self.loading.on_missing)

    def train_dataloader(self) -> TrainingLoader:
        """Augmented clips; the global batches do not depend on the number of devices."""
        loaders = self._loaders()
        self._transform = loaders.training_transform(self.training_set)
        return loaders.training(
            self.training_set, self._transform, self._batch_plan(), self._position, whole_steps=self._whole_steps
        )

    def val_dataloader(self) -> list[EvaluationLoader]:
        """One loader per validation set."""
        return list(self._loaders().evaluation(self._evaluation["val"], None))

    def test_dataloader(self) -> list[EvaluationLoader]:
        """One loader per test set."""
        return list(self._loaders().evaluation(self._evaluation["test"], self._store))

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """One loader per set."""
        return list(self._loaders().evaluation(self._evaluation["predict"], self._store))

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Raises what went wrong in a worker, applies the policy for unreadable videos, and seeds a training step.

        Raises:
            UserError: If the policy is to stop.
        """
        if isinstance(batch, UserError):
            raise batch
        training = self.trainer is not None and self.trainer.training
        stage: Literal["train", "test", "predict"] = "train" if training else "test"
        if self.trainer is not None and self.trainer.predicting:
            stage = "predict"
        for part in batch if isinstance(batch, tuple) else (batch,):
            if isinstance(part, ClipBatch | EmbeddedBatch):
                apply_decode_policy(self.report, part, stage, self.loading)
        if training:
            torch.manual_seed(self._position.step_seed(self.seed, self._rank_and_devices()[0]))
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Changes the colors of training clips, where they are now; what is drawn came with the clips."""
        if isinstance(batch, tuple):
            return tuple(self.on_after_batch_transfer(part, dataloader_idx) for part in batch)
        if isinstance(batch, ClipBatch) and batch.seeds and self._transform is not None:
            return replace(batch, frames=self._transform(batch.frames, batch.seeds), seeds=())
        return batch

    def teardown(self, stage: str) -> None:
        """Reports the unreadable videos of this process, and lists them in the run's folder."""
        # every process asks for the folder, for they agree on it
        folder = self.trainer.log_dir if self.trainer is not None else None
        if self.report.reasons and self.trainer is not None and folder:
            file = Path(folder) / f"undecodable-{self.trainer.global_rank}.csv"
            self.report.write(file)
            rank_zero_info(f"{count(len(self.report.reasons))} could not be read; see {file}")

    def _loaders(self) -> LoaderFactory:
        self.clips = self.clips.resolved()
        rank, devices = self._rank_and_devices()
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return LoaderFactory(self.clips, self.loading, seed=self.seed, rank=rank, devices=devices, on_gpu=on_gpu)

    def _rank_and_devices(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _batch_plan(self) -> BatchPlan:
        return plan_batches(
            self.loading.global_batch_size, self._rank_and_devices()[1], self.loading.max_videos_per_device
        )
