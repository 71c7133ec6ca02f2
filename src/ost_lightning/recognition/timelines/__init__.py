"""Timelines: which action happens when in a long video."""

from ost_lightning.recognition.timelines.background import Background, measure_background
from ost_lightning.recognition.timelines.decoders import (
    Decoding,
    StepDecoder,
    StretchDecoder,
    ThresholdDecoder,
    TimelineDecoder,
    TransportDecoder,
    ViterbiDecoder,
)
from ost_lightning.recognition.timelines.embedded_video import EmbeddedVideo, steps_in
from ost_lightning.recognition.timelines.embedding import GRID_RATE, embed_video, frame_digest
from ost_lightning.recognition.timelines.exports import load_timeline, load_timelines, save_timeline, timeline_format
from ost_lightning.recognition.timelines.long_videos import LongVideos, Video
from ost_lightning.recognition.timelines.stretches import StretchScores, StretchSettings, stretch_scores
from ost_lightning.recognition.timelines.timeline import Evidence, Gap, Segment, Timeline

__all__ = [
    "GRID_RATE",
    "Background",
    "Decoding",
    "EmbeddedVideo",
    "Evidence",
    "Gap",
    "LongVideos",
    "Segment",
    "StepDecoder",
    "StretchDecoder",
    "StretchScores",
    "StretchSettings",
    "ThresholdDecoder",
    "Timeline",
    "TimelineDecoder",
    "TransportDecoder",
    "Video",
    "ViterbiDecoder",
    "embed_video",
    "frame_digest",
    "load_timeline",
    "load_timelines",
    "measure_background",
    "save_timeline",
    "steps_in",
    "stretch_scores",
    "timeline_format",
]
