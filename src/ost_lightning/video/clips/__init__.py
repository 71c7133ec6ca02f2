"""Clips: which frames of a video make a clip, how they are cropped and augmented, and batches of them."""

from ost_lightning.video.clips.dataset import (
    Clip,
    ClipBatch,
    EvaluationClips,
    FixedCrops,
    RandomCrops,
    ReadFailure,
    ReadSettings,
    TrainingClips,
    collate_clips,
    read_views,
)
from ost_lightning.video.clips.frame_pictures import FramePictures, middle_picture, read_pictures
from ost_lightning.video.clips.listed_frames import listed_frames
from ost_lightning.video.clips.sampling import EvaluationSampler, FrameSampler, SampleKey, TrainingSampler
from ost_lightning.video.clips.transforms import (
    CropOffsets,
    EvaluationTransform,
    Framing,
    MultiScaleCrop,
    TrainingTransform,
    check_crop_size,
)

__all__ = [
    "Clip",
    "ClipBatch",
    "CropOffsets",
    "EvaluationClips",
    "EvaluationSampler",
    "EvaluationTransform",
    "FixedCrops",
    "FramePictures",
    "FrameSampler",
    "Framing",
    "MultiScaleCrop",
    "RandomCrops",
    "ReadFailure",
    "ReadSettings",
    "SampleKey",
    "TrainingClips",
    "TrainingSampler",
    "TrainingTransform",
    "check_crop_size",
    "collate_clips",
    "listed_frames",
    "middle_picture",
    "read_pictures",
    "read_views",
]
