"""From a file to a clip tensor: annotation lists, sampling arithmetic, the PyAV reader, transforms, the data set."""

from ost_lightning.video.annotations import UNLABELED, AnnotationError, VideoRecord, read_records
from ost_lightning.video.clips.dataset import (
    Clip,
    ClipBatch,
    EvaluationClips,
    ReadFailure,
    ReadSettings,
    TrainingClips,
    collate_clips,
)
from ost_lightning.video.clips.sampling import EvaluationSampler, FrameSampler, SampleKey, TrainingSampler
from ost_lightning.video.clips.transforms import EvaluationTransform, MultiScaleCrop, TrainingTransform
from ost_lightning.video.decoding.frame_source import CropSpec, FrameSource
from ost_lightning.video.decoding.reader import VideoReader, VideoReadError, open_video, read_frames
from ost_lightning.video.decoding.scaling import Box
from ost_lightning.video.storage.addresses import ShardMember, VideoAddress, VideoRoot

__all__ = [
    "UNLABELED",
    "AnnotationError",
    "Box",
    "Clip",
    "ClipBatch",
    "CropSpec",
    "EvaluationClips",
    "EvaluationSampler",
    "EvaluationTransform",
    "FrameSampler",
    "FrameSource",
    "MultiScaleCrop",
    "ReadFailure",
    "ReadSettings",
    "SampleKey",
    "ShardMember",
    "TrainingClips",
    "TrainingSampler",
    "TrainingTransform",
    "VideoAddress",
    "VideoReadError",
    "VideoReader",
    "VideoRecord",
    "VideoRoot",
    "collate_clips",
    "open_video",
    "read_frames",
    "read_records",
]
