"""Base class of all data modules: selection of videos, loaders, and policies for missing and unreadable videos."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.datamodules.batching import BatchPlan, choose_batches, plan_batches
from ost_lightning.datamodules.decode_policy import apply_decode_policy
from ost_lightning.datamodules.decode_report import DecodeReport
from ost_lightning.datamodules.early_reading import EarlyReading
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.loaders import LoaderFactory
from ost_lightning.datamodules.presence import check_presence, report_repeats, require_sets
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.datamodules.trainer_checks import set_accumulation, validate_samplers
from ost_lightning.datamodules.training_loader import TrainingLoader, TrainingPosition
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings, EmbeddedBatch, EmbeddingCache, EmbeddingStore, EvaluationLoader
from ost_lightning.machine import usable_cores
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.resources import cache_folder
from ost_lightning.text import LabelSpace
from ost_lightning.video import ClipBatch, TrainingTransform
from ost_lightning.vocabulary import EvaluationStage, Part, counted

REAL_VIDEOS: Final = "real videos"
_GIGABYTE: Final = 10**9
_MOST_WORKERS: Final = 4
"""Number of loading processes per device if none is set; fewer on fewer cores."""


class VideoDataModule(LightningDataModule, ABC):
    """Streams clips from video files.

    A subclass selects the videos; see `training_videos` and `evaluation_videos`.

    Training can resume from any checkpoint, because its position in the epoch is saved. Random draws for a sample
    depend only on (seed, epoch, index), those of a training step only on (seed, epoch, batch, process).

    Attributes:
        world: Kind of footage, shown in tables: figures from a rendered world say nothing about real videos.
        report: Unreadable videos of this run.

    Args:
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips.
    """

    world: str = REAL_VIDEOS

    def __init__(self, clips: ClipSettings, loading: LoadingSettings) -> None:
        super().__init__()
        # with few videos and many processes, a process may get no video of a set
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
        self._read_ahead: str | None = None
        self._early: EarlyReading | None = None

    @abstractmethod
    def training_videos(self) -> LabeledVideos:
        """Returns the training set."""

    @abstractmethod
    def evaluation_videos(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns the evaluation sets of a stage by name, each with its own label space."""

    def has_part(self, part: Part) -> bool:
        """Returns whether the settings select videos for a part."""
        return True

    def videos_of(self, parts: Sequence[Part]) -> list[LabeledVideos]:
        """Prepares the data and returns the videos of some parts, outside of a training or test.

        Args:
            parts: Names of the parts. Those without videos are skipped.

        Raises:
            UserError: If no part has videos.
        """
        self.prepare_data()
        sets: list[LabeledVideos] = []
        for part in filter(self.has_part, parts):
            sets += [self.training_videos()] if part == "train" else self.evaluation_videos(part).values()
        if not sets:
            raise UserError(f"The data module has no videos for the sets {', '.join(parts) or '(none)'}. Check --sets.")
        return sets

    @property
    def needs_preparation(self) -> bool:
        """Whether `prepare_data` has to run before the videos can be listed."""
        return type(self).prepare_data is not VideoDataModule.prepare_data

    def read_ahead(self, stage: str) -> Sequence[LabeledVideos]:
        """Reads the lists of a stage and checks them, before a model is loaded; the next `setup` takes them over.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Returns:
            All sets of the stage, the training set first.

        Raises:
            UserError: If a list, label or video is missing or wrong.
        """
        self._list_videos(stage)
        self._read_ahead = stage
        sets = self._evaluation[_evaluation_stage(stage)].values()
        return [self.training_set, *sets] if stage == "fit" else list(sets)

    def start_reading(self, stage: str, preprocessing: Preprocessing, *, on_gpu: bool) -> None:
        """Starts to read the first videos of a stage whose lists were read ahead, before a model is loaded.

        The trainer gets the loaders that have begun if they are those that it needs: in a single process, with the same
        settings. Otherwise their workers end.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
            preprocessing: Preprocessing that the model's checkpoint is expected to have.
            on_gpu: Whether the trainer is expected to use a GPU.

        Raises:
            UserError: If the clip settings contradict the preprocessing.
        """
        clips, loading = self.clips.with_defaults_from(preprocessing).resolved(), self.loading
        if stage == "fit":
            loading = self._with_batch(1)
        settings = replace(loading, workers=self.workers)
        factory = LoaderFactory(clips, settings, seed=self.seed, rank=0, devices=1, on_gpu=on_gpu)
        if stage == "fit":
            training = factory.training(self.training_set, _plan_of(loading, 1), self._position)
            self._early = EarlyReading(None, factory, training)
        elif (chosen := _evaluation_stage(stage)) == "val" or self._store is None:  # a store is opened with the weights
            loaders = list(factory.evaluation(self._evaluation[chosen], None))
            self._early = EarlyReading(chosen, factory, evaluation_loaders=loaders)
        if self._early is not None:
            self._early.start()

    def stop_reading(self) -> None:
        """Ends the workers of `start_reading`, unless the trainer has them."""
        self._early = None

    def choose_batch(self, devices: int) -> None:
        """Chooses the batch sizes if the global batch isn't set, after the training videos were listed.

        Args:
            devices: Number of processes.

        Raises:
            UserError: If there are fewer training videos than devices.
        """
        self.loading = self._with_batch(devices)

    @property
    def workers(self) -> int:
        """Number of loading processes per device."""
        if self.loading.workers is not None:
            return self.loading.workers
        devices = self.trainer.num_devices if self.trainer is not None else 1
        return min(_MOST_WORKERS, max(1, usable_cores() // devices))

    def configure_for(self, preprocessing: Preprocessing, *, whole_steps: bool = False) -> None:
        """Fills in unset clip settings, and sets how micro-batches are grouped.

        Called before `setup`, by the code that creates both the task and the data module.

        Args:
            preprocessing: Preprocessing of the checkpoint that encodes the clips.
            whole_steps: Whether all micro-batches of an optimizer step are yielded together.

        Raises:
            UserError: If the settings contradict the checkpoint, or crops would show only a small part of the frames.
        """
        self.clips, self._whole_steps = self.clips.with_defaults_from(preprocessing).resolved(), whole_steps

    @property
    def training_set(self) -> LabeledVideos:
        """Training videos, after `setup`."""
        if self._training is None:
            raise RuntimeError("the training set is available only after setup('fit')")
        return self._training

    def evaluation_sets(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """Returns the evaluation sets of a stage after its `setup`, in the order of the loaders."""
        return self._evaluation[stage]

    def evaluation_labels(self, stage: EvaluationStage) -> Mapping[str, LabelSpace]:
        """Returns the label space of each evaluation set, in the order of the loaders."""
        return {name: videos.labels for name, videos in self._evaluation[stage].items()}

    @property
    def seed(self) -> int:
        """Seed for the order of samples, augmentation, and drawing videos."""
        return self.loading.seed if self.loading.seed is not None else int(os.environ.get("PL_GLOBAL_SEED", "0"))

    def state_dict(self) -> dict[str, Any]:
        """Returns the training progress."""
        return self._position.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the training progress."""
        self._position.restore(state_dict)

    def prepare_data(self) -> None:
        """Checks the batch sizes; subclasses that prepare data call this first."""
        fitting = self.trainer is None or self.trainer.state.fn == "fit"
        if fitting and self.loading.global_batch_size is not None:
            self._batch_plan()  # evaluation needs no division of the training batch

    def setup(self, stage: str) -> None:
        """Reads the lists for a stage, and divides the global batch over devices."""
        validate_samplers(self.trainer)
        self.clips.check_crop()
        if self._read_ahead != stage:
            self._list_videos(stage)
        self._read_ahead = None  # files may change before the next stage
        if stage == "fit":
            videos = len(self.training_set.found)
            self.choose_batch(self._rank_and_devices()[1])
            set_accumulation(self.trainer, self._batch_plan(), videos, whole_steps=self._whole_steps)

    def train_dataloader(self) -> TrainingLoader:
        """Returns a loader of augmented clips; the global batches do not depend on the number of devices."""
        factory, plan, early = self._loaders(), self._batch_plan(), self._early
        self._early = None
        if early is not None and early.training_loader is not None and early.factory == factory:
            loader = early.training_loader
        else:
            loader = factory.training(self.training_set, plan, self._position)
        loader.whole_steps = plan.accumulation if self._whole_steps else None
        self._transform = loader.transform
        return loader

    def val_dataloader(self) -> list[EvaluationLoader]:
        """Returns one loader per validation set."""
        return self._evaluation_loaders("val", None)

    def test_dataloader(self) -> list[EvaluationLoader]:
        """Returns one loader per test set."""
        return self._evaluation_loaders("test", self._store)

    def predict_dataloader(self) -> list[EvaluationLoader]:
        """Returns one loader per prediction set."""
        return self._evaluation_loaders("predict", self._store)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Raises a worker's error, applies the policy for unreadable videos, and seeds a training step.

        Raises:
            UserError: If a worker failed, or the policy stops the run.
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
        """Applies color augmentation to training clips on their device, with the seeds that came with them."""
        if isinstance(batch, tuple):
            return tuple(self.on_after_batch_transfer(part, dataloader_idx) for part in batch)
        if isinstance(batch, ClipBatch) and batch.seeds and self._transform is not None:
            return replace(batch, frames=self._transform(batch.frames, batch.seeds), seeds=())
        return batch

    def teardown(self, stage: str) -> None:
        """Reports the unreadable videos of this process, and writes their list to the run folder."""
        # log_dir is broadcast, so every process has to read it
        folder = self.trainer.log_dir if self.trainer is not None else None
        if self.report.reasons and self.trainer is not None and folder:
            file = Path(folder) / f"undecodable-{self.trainer.global_rank}.csv"
            self.report.write(file)
            rank_zero_info(f"{counted(len(self.report.reasons), 'video')} could not be read; see {file}")

    def _list_videos(self, stage: str) -> None:
        self.stop_reading()
        if stage == "fit":
            self._training = self.training_videos()
            check_presence({"the training set": self._training}, self.loading.on_missing)
            report_repeats({"the training set": self._training})
        chosen = _evaluation_stage(stage)
        self._evaluation[chosen] = self.evaluation_videos(chosen)
        if stage != "fit":
            require_sets(self._evaluation[chosen], chosen)
        check_presence(self._evaluation[chosen], self.loading.on_missing)
        report_repeats(self._evaluation[chosen])

    def _loaders(self) -> LoaderFactory:
        self.clips = self.clips.resolved()
        rank, devices = self._rank_and_devices()
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        loading = replace(self.loading, workers=self.workers)
        return LoaderFactory(self.clips, loading, seed=self.seed, rank=rank, devices=devices, on_gpu=on_gpu)

    def _rank_and_devices(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _evaluation_loaders(self, stage: EvaluationStage, store: EmbeddingStore | None) -> list[EvaluationLoader]:
        factory, early = self._loaders(), self._early
        if early is not None and early.stage == stage:
            self._early = None
            if early.factory == factory:
                return early.evaluation_loaders
        return list(factory.evaluation(self._evaluation[stage], store))

    def _with_batch(self, devices: int) -> LoadingSettings:
        if self.loading.global_batch_size is not None:
            return self.loading
        plan = choose_batches(len(self.training_set.found), devices, self.loading.max_videos_per_device)
        return replace(self.loading, global_batch_size=plan.total, max_videos_per_device=plan.device_batch)

    def _batch_plan(self) -> BatchPlan:
        return _plan_of(self.loading, self._rank_and_devices()[1])


def _plan_of(loading: LoadingSettings, devices: int) -> BatchPlan:
    if loading.global_batch_size is None:
        raise RuntimeError("the batch is chosen only after setup('fit')")
    return plan_batches(loading.global_batch_size, devices, loading.max_videos_per_device)


def _evaluation_stage(stage: str) -> EvaluationStage:
    """Returns which evaluation sets a stage of the trainer uses; training validates."""
    return "test" if stage == "test" else "predict" if stage == "predict" else "val"
