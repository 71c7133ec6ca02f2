"""On what: LightningDataModules that stream clips."""

from ost_lightning.datamodules.base import (
    REAL_VIDEOS,
    ClipSettings,
    LabelledVideos,
    LoadingSettings,
    VideoDataModule,
)
from ost_lightning.datamodules.batching import BatchPlan, plan_batches
from ost_lightning.datamodules.decode_report import DecodeReport, UndecodableVideoWarning
from ost_lightning.datamodules.toyworld import ToyWorld
from ost_lightning.datamodules.video_lists import VideoList, VideoLists

__all__ = [
    "REAL_VIDEOS",
    "BatchPlan",
    "ClipSettings",
    "DecodeReport",
    "LabelledVideos",
    "LoadingSettings",
    "ToyWorld",
    "UndecodableVideoWarning",
    "VideoDataModule",
    "VideoList",
    "VideoLists",
    "plan_batches",
]
