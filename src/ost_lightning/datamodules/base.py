"""What every data module shares: loaders, batch arithmetic, and what happens to videos that can't be read."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, cast

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from ost_lightning.datamodules.batching import BatchPlan, plan_batches
from ost_lightning.datamodules.decode_report import DecodeReport
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.datamodules.training_loader import TrainingLoader, TrainingPosition
from ost_lightning.errors import UserError
from ost_lightning.models import CachedClips, EmbeddingCache
from ost_lightning.resources import cache_folder
from ost_lightning.text import LabelSpace
from ost_lightning.video import (
    ClipBatch,
    EvaluationClips,
    EvaluationSampler,
    EvaluationTransform,
    FrameSampler,
    ReadSettings,
    TrainingClips,
    TrainingSampler,
    TrainingTransform,
    collate_clips,
)

REAL_VIDEOS: Final = "real videos"
_GIGABYTE: Final = 10**9

EvaluationStage = Literal["val", "test", "predict"]
Part = Literal["train", "val", "test"]
VideoLoader = DataLoader[Any]
"""Yields `ClipBatch`, or the `UserError` that a worker ran into."""


class FingerprintedTask(Protocol):
    """What a data module with a cache of embeddings asks of the task."""

    def frame_fingerprints(self) -> Mapping[str, str]:
        """Fingerprints of all weights that a test scores, by their names."""


class VideoDataModule(LightningDataModule, ABC):
    """Streams clips out of video files.

    A subclass says which videos there are; see `training_videos` and `evaluation_videos`.

    Training can go on from any checkpoint: its position in the epoch is saved, what is drawn for a sample depends on
    (seed, epoch, index), and what a training step draws on (seed, epoch, batch, process).

    Attributes:
        world: What the videos show, for tables: figures of a rendered world say nothing about real videos.

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
        self.embedding_cache: EmbeddingCache | None = None
        if loading.embedding_cache_gigabytes > 0:
            folder = cache_folder() / "frame_embeddings"
            self.embedding_cache = EmbeddingCache(folder, int(loading.embedding_cache_gigabytes * _GIGABYTE))
        self._fingerprints: Mapping[str, str] = {}
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

    @property
    def training_set(self) -> LabeledVideos:
        """The videos that are trained on."""
        if self._training is None:
            raise RuntimeError("the training set is there after setup('fit') only")
        return self._training

    @property
    def training_labels(self) -> LabelSpace:
        """Classes of the training videos."""
        return self.training_set.labels

    def evaluation_sets(self, stage: EvaluationStage) -> Mapping[str, LabeledVideos]:
        """The evaluation sets of a stage that was set up, in the order of the loaders."""
        return self._evaluation[stage]

    def evaluation_labels(self, stage: EvaluationStage) -> Mapping[str, LabelSpace]:
        """Classes of each evaluation set, in the order of the loaders."""
        return {name: videos.labels for name, videos in self._evaluation[stage].items()}

    @property
    def seed(self) -> int:
        """Of order, augmentation and draws of videos."""
        return self.loading.seed if self.loading.seed is not None else int(os.environ.get("PL_GLOBAL_SEED", "0"))

    def evaluation_sizes(self, stage: EvaluationStage) -> Mapping[str, int]:
        """Videos of each evaluation set that are there."""
        return {name: len(videos.found) for name, videos in self._evaluation[stage].items()}

    def state_dict(self) -> dict[str, Any]:
        """How far training has come."""
        return self._position.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self._position.restore(state_dict)

    def prepare_data(self) -> None:
        """Checks what can be checked before anything is made; subclasses that make data call this first."""
        if self.trainer is None or self.trainer.state.fn == "fit":
            self._batch_plan()  # an evaluation does not care whether the training's batch can be shared out

    def setup(self, stage: str) -> None:
        """Reads the lists that a stage needs, and divides the global batch."""
        self._refuse_lightning_samplers()
        if stage == "fit":
            self._training = self.training_videos()
            self._check_presence({"the training set": self._training})
            self._set_accumulation(len(self._training.found))
        chosen: EvaluationStage = "test" if stage == "test" else "predict" if stage == "predict" else "val"
        self._evaluation[chosen] = self.evaluation_videos(chosen)
        if stage != "fit":
            self._refuse_nothing(self._evaluation[chosen], chosen)
        self._check_presence(self._evaluation[chosen])

    def train_dataloader(self) -> VideoLoader:
        """Augmented clips; the global batches do not depend on the number of devices."""
        if self._training is None:
            raise RuntimeError("the training set is there after setup('fit') only")
        loading, clips, seed = self.loading, self.clips, self.seed
        flip = clips.flip if clips.flip is not None else 0.5 if self._training.mirrorable else 0.0
        self._transform = TrainingTransform(
            clips.crop_size,
            flip=flip,
            color_jitter=clips.color_jitter,
            grayscale=clips.grayscale,
            rand_augment=clips.rand_augment,
            jitter_each_frame=clips.jitter_each_frame,
        )
        dataset = TrainingClips(
            self._training.found,
            sampler=FrameSampler(clips.frames),
            transform=self._transform,
            short_side=clips.short_side,
            seed=seed,
            max_replacements=loading.max_replacements,
            reading=self._reading,
        )
        (rank, devices), plan = self._rank_and_devices(), self._batch_plan()
        sampler = TrainingSampler(
            len(dataset),
            batch_size=loading.global_batch_size,
            seed=seed,
            rank=rank,
            world_size=devices,
            accumulation=plan.accumulation,
        )
        return TrainingLoader(
            dataset,
            sampler,
            plan.device_batch,
            micro_batches=plan.accumulation if self._takes_whole_steps else 1,
            position=self._position,
            workers=loading.workers,
            start_method=loading.start_method,
            pin_memory=self._on_gpu,
        )

    def val_dataloader(self) -> list[VideoLoader]:
        """One loader a validation set."""
        return self._evaluation_loaders("val")

    def test_dataloader(self) -> list[VideoLoader]:
        """One loader a test set."""
        return self._evaluation_loaders("test")

    def predict_dataloader(self) -> list[VideoLoader]:
        """One loader a set."""
        return self._evaluation_loaders("predict")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Raises what went wrong in a worker, applies the policy for unreadable videos, and seeds a training step.

        Raises:
            UserError: If the policy says to stop.
        """
        if isinstance(batch, UserError):
            raise batch
        for part in batch if isinstance(batch, tuple) else (batch,):
            if isinstance(part, ClipBatch) and part.failures:
                self._report_failures(part)
        if self.trainer is not None and self.trainer.training:
            # what was drawn before, in an interrupted run or in a validation, makes no difference
            step = f"{self.seed}/{self._position.epoch}/{self._position.batches}/{self.trainer.global_rank}"
            torch.manual_seed(int.from_bytes(blake2b(step.encode(), digest_size=8).digest()))
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Changes the colors of training clips, where they are now; what is drawn came with the clips."""
        if isinstance(batch, tuple):
            return tuple(self.on_after_batch_transfer(part, dataloader_idx) for part in batch)
        if isinstance(batch, ClipBatch) and batch.seeds and self._transform is not None:
            return replace(batch, frames=self._transform(batch.frames, batch.seeds), seeds=())
        return batch

    def keep_embeddings(self, batch: ClipBatch, weights: str) -> None:
        """Stores the embeddings that a batch has by some weights, if there is a cache.

        Args:
            batch: Clips that have been embedded.
            weights: Name of the weights.
        """
        if self.embedding_cache is None or not batch.keys:
            return
        readable = [key for key, decoded in zip(batch.keys, batch.decoded.tolist(), strict=True) if decoded]
        for key, embeddings in zip(readable, batch.embeddings[weights].cpu(), strict=True):
            if key:  # files elsewhere have none: they could change unnoticed
                self.embedding_cache.store(self._fingerprints[weights], key, embeddings)

    def teardown(self, stage: str) -> None:
        """Reports the unreadable videos of this process, and lists them in the run's folder."""
        # every process asks for the folder, for they agree on it
        folder = self.trainer.log_dir if self.trainer is not None else None
        if self.report.reasons and self.trainer is not None and folder:
            file = Path(folder) / f"undecodable-{self.trainer.global_rank}.csv"
            self.report.write(file)
            rank_zero_info(f"{len(self.report.reasons)} videos could not be read; they are listed in {file}")

    @property
    def _reading(self) -> ReadSettings:
        return ReadSettings(self.clips.sample_aspect, self.loading.read_timeout, self.clips.resize)

    def _evaluation_loaders(self, stage: EvaluationStage) -> list[VideoLoader]:
        clips = self.clips
        rank, devices = self._rank_and_devices()
        cache = self.embedding_cache if stage != "val" else None
        if cache is not None:
            self._fingerprints = self._task().frame_fingerprints()
        loaders = []
        for videos in self._evaluation[stage].values():
            dataset = EvaluationClips(
                videos.found,
                sampler=FrameSampler(clips.frames, clips.views),
                transform=EvaluationTransform(clips.crop_size, clips.crops),
                short_side=clips.short_side,
                reading=self._reading,
                view_seed=self.seed if clips.view_frames == "random" and clips.views > 1 else None,
            )
            known = CachedClips(dataset, cache, self._fingerprints) if cache is not None else dataset
            collate: Callable[[Any], Any] = known.collate if isinstance(known, CachedClips) else collate_clips
            loaders.append(
                DataLoader[Any](
                    known,
                    batch_size=self.loading.evaluation_batch_size,
                    sampler=EvaluationSampler(len(dataset), rank=rank, world_size=devices),
                    collate_fn=collate,
                    num_workers=self.loading.workers,
                    multiprocessing_context=self.loading.start_method if self.loading.workers else None,
                    pin_memory=self._on_gpu,
                )
            )
        return loaders

    @property
    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    @property
    def _takes_whole_steps(self) -> bool:
        """Whether the task wants all micro-batches of an optimizer step at once."""
        return self.trainer is not None and bool(getattr(self.trainer.lightning_module, "takes_whole_steps", False))

    def _task(self) -> FingerprintedTask:
        if self.trainer is None:
            raise RuntimeError("embeddings are cached for the task of a trainer")
        return cast("FingerprintedTask", self.trainer.lightning_module)

    def _rank_and_devices(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _batch_plan(self) -> BatchPlan:
        return plan_batches(
            self.loading.global_batch_size, self._rank_and_devices()[1], self.loading.max_videos_per_device
        )

    def _set_accumulation(self, videos: int) -> None:
        loading, plan = self.loading, self._batch_plan()
        if videos < loading.global_batch_size:
            raise UserError(
                f"The training set has {videos} videos, fewer than loading.global_batch_size "
                f"({loading.global_batch_size}): lower it."
            )
        if self.trainer is None:
            return
        if self.trainer.accumulate_grad_batches not in (1, plan.accumulation):
            raise UserError(
                f"trainer.accumulate_grad_batches is {self.trainer.accumulate_grad_batches}, but the accumulation "
                f"follows from the batch sizes "
                f"({plan}): leave it out, and set loading.global_batch_size and loading.max_videos_per_device."
            )
        self.trainer.accumulate_grad_batches = 1 if self._takes_whole_steps else plan.accumulation
        rank_zero_info(f"{plan}")

    def _report_failures(self, batch: ClipBatch) -> None:
        self.report.add(batch.failures)
        if self.trainer is not None and self.trainer.training:
            self._stop_training_if_needed(batch)
        elif self.loading.on_decode_error == "stop" and not (self.trainer is not None and self.trainer.predicting):
            failure = batch.failures[0]
            raise UserError(
                f"A video of the evaluation can't be read: {failure.reason}. Mend or unlist it, or score "
                f"unreadable videos as wrong with "
                "--data.loading.on_decode_error count."
            )

    def _stop_training_if_needed(self, batch: ClipBatch) -> None:
        if not bool(batch.decoded.all()):
            tried = "; ".join(failure.reason for failure in batch.failures[:3])
            raise UserError(
                f"No readable video was found for a training sample, nor in its place another of its class. Tried: "
                f"{tried}."
            )
        self.report.stop_beyond(self.loading.max_undecodable)

    def _check_presence(self, sets: Mapping[str, LabeledVideos]) -> None:
        """Looks at what is missing before anything is read.

        Raises:
            UserError: If the policy says to stop, or nothing is there.
        """
        for name, videos in sets.items():
            if not videos.missing:
                continue
            told = videos.told_missing(name)
            if self.loading.on_missing == "stop" or not videos.found:
                raise UserError(f"{told} {videos.remedy}")
            rank_zero_info(f"{told} They are left out.")

    def _refuse_lightning_samplers(self) -> None:
        overfit = getattr(self.trainer, "overfit_batches", 0)
        if overfit:
            raise UserError(
                f"trainer.overfit_batches is {overfit}, which would put a sampler of Lightning's "
                "in place of the data module's. Leave it out; to learn a few videos by heart, list these alone for "
                "training, and set loading.global_batch_size to their number."
            )
        connector = getattr(self.trainer, "_accelerator_connector", None)
        if getattr(connector, "use_distributed_sampler", False) and self._rank_and_devices()[1] > 1:
            raise UserError(
                "The data modules shard exactly by themselves: set trainer.use_distributed_sampler to false "
                "(Lightning's sampler would shard again)."
            )

    @staticmethod
    def _refuse_nothing(sets: Mapping[str, LabeledVideos], stage: EvaluationStage) -> None:
        if not sets:
            verb, what, setting = ("validate", "validation", "val") if stage == "val" else (stage, "test", "test")
            raise UserError(
                f"There is nothing to {verb}: the data has no {what} set. Its setting `{setting}` says where one is."
            )
