"""Creates the loaders of a data module from its settings."""

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass

from ost_lightning.datamodules.batching import BatchPlan
from ost_lightning.datamodules.labeled_videos import LabeledVideos
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.datamodules.training_loader import TrainingLoader, TrainingPosition
from ost_lightning.evaluation import ClipSettings, EmbeddingStore, EvaluationLoader, EvaluationSet, evaluation_clips
from ost_lightning.video import (
    EvaluationSampler,
    FrameSampler,
    ReadSettings,
    TrainingClips,
    TrainingSampler,
    TrainingTransform,
)
from ost_lightning.video.clips import training_crop


@dataclass(frozen=True)
class LoaderFactory:
    """Creates the loaders of one process; equal factories create equal loaders of the same videos.

    Attributes:
        clips: Settings for turning a video into a clip.
        loading: Settings for loading clips, with the numbers of workers and, for training, of videos per step.
        seed: Seed for order, augmentation and random views.
        rank: Rank of this process.
        devices: Number of processes.
        on_gpu: Whether batches are copied to a GPU, from page-locked memory.
    """

    clips: ClipSettings
    loading: LoadingSettings
    _: KW_ONLY
    seed: int
    rank: int
    devices: int
    on_gpu: bool

    def training_transform(self, videos: LabeledVideos) -> TrainingTransform:
        """Returns the augmentation of training clips, both for reading and on the device."""
        clips, geometry = self.clips, self.clips.geometry()
        flip = clips.flip if clips.flip is not None else 0.5 if videos.mirrorable else 0.0
        crop = training_crop(
            clips.training_crop,
            geometry.crop_size,
            clips.crop_area,
            clips.crop_offsets,
            whole_frames=geometry.framing == "squash",
        )
        return TrainingTransform(
            geometry.crop_size,
            flip=flip,
            crop=crop,
            framing=geometry.framing,
            color_jitter=clips.color_jitter,
            grayscale=clips.grayscale,
            rand_augment=clips.rand_augment,
            rand_augment_before_crop=clips.rand_augment_before_crop,
            jitter_each_frame=clips.jitter_each_frame,
        )

    def training(self, videos: LabeledVideos, plan: BatchPlan, position: TrainingPosition) -> TrainingLoader:
        """Returns a loader of augmented clips; the global batches do not depend on the number of devices.

        Args:
            videos: Training videos.
            plan: Division of the global batch.
            position: Training progress.
        """
        loading, geometry, transform = self.loading, self.clips.geometry(), self.training_transform(videos)
        dataset = TrainingClips(
            videos.found,
            sampler=FrameSampler(
                geometry.frames, keep_tail_frames=self.clips.keep_tail_frames, stride=self.clips.stride
            ),
            transform=transform,
            short_side=geometry.short_side,
            seed=self.seed,
            max_replacements=loading.max_replacements,
            reading=ReadSettings(geometry.sample_aspect, loading.read_timeout, geometry.resize),
        )
        sampler = TrainingSampler(
            len(dataset),
            batch_size=plan.total,
            seed=self.seed,
            rank=self.rank,
            world_size=self.devices,
            accumulation=plan.accumulation,
        )
        return TrainingLoader(
            dataset,
            sampler,
            plan.device_batch,
            labels=videos.labels,
            geometry=geometry,
            transform=transform,
            position=position,
            workers=loading.workers or 0,
            start_method=loading.start_method,
            pin_memory=self.on_gpu,
        )

    def evaluation(self, sets: Mapping[str, LabeledVideos], store: EmbeddingStore | None) -> Iterator[EvaluationLoader]:
        """Yields one loader per evaluation set.

        Args:
            sets: Videos by the name of their set.
            store: Cached embeddings; None without a cache.
        """
        loading = self.loading
        for name, videos in sets.items():
            dataset = evaluation_clips(videos.found, self.clips, read_timeout=loading.read_timeout, view_seed=self.seed)
            yield EvaluationLoader(
                dataset,
                set=EvaluationSet(name, videos.labels, len(videos.found)),
                store=store,
                batch_size=loading.evaluation_batch_size,
                sampler=EvaluationSampler(len(dataset), rank=self.rank, world_size=self.devices),
                num_workers=loading.workers or 0,
                multiprocessing_context=loading.start_method if loading.workers else None,
                pin_memory=self.on_gpu,
            )
