"""Maintenance of video files: inspecting, surveying, re-encoding and packing them."""

from ost_lightning.video.maintenance.inspection import ALL_FRAMES, Inspection, inspect_video
from ost_lightning.video.maintenance.parallel import map_in_processes
from ost_lightning.video.maintenance.shard_writer import Shard, plan_shards, write_shards
from ost_lightning.video.maintenance.survey import survey_videos
from ost_lightning.video.maintenance.transcoding import Transcoded, TranscodeSettings, TranscodingJob, transcode

__all__ = [
    "ALL_FRAMES",
    "Inspection",
    "Shard",
    "TranscodeSettings",
    "Transcoded",
    "TranscodingJob",
    "inspect_video",
    "map_in_processes",
    "plan_shards",
    "survey_videos",
    "transcode",
    "write_shards",
]
