"""Videos: from files and lists to batches of clips.

Rooms: `annotations` (lists of videos), `storage` (addresses), `decoding` (frames by index or time), `clips` (sampling,
transforms, data sets) and `maintenance` (checking, re-encoding and packing files). The names used most are re-exported.
"""

from ost_lightning.video.annotations import UNLABELED, AnnotationError, VideoRecord, read_records
from ost_lightning.video.clips import (
    Clip,
    ClipBatch,
    EvaluationClips,
    EvaluationSampler,
    EvaluationTransform,
    FrameSampler,
    MultiScaleCrop,
    ReadFailure,
    ReadSettings,
    SampleKey,
    TrainingClips,
    TrainingSampler,
    TrainingTransform,
    collate_clips,
)
from ost_lightning.video.decoding import (
    Box,
    CropSpec,
    FrameSource,
    VideoReader,
    VideoReadError,
    open_video,
    read_frames,
)
from ost_lightning.video.storage import ShardMember, VideoAddress, VideoRoot

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
