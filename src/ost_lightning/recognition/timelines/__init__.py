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
from ost_lightning.recognition.timelines.embedding import GRID_RATE, embed_video, frame_digest, video_times
from ost_lightning.recognition.timelines.exports import load_timeline, load_timelines, save_timeline, timeline_format
from ost_lightning.recognition.timelines.long_videos import LongVideos, Video
from ost_lightning.recognition.timelines.stretches import (
    StretchScores,
    StretchSettings,
    look_steps,
    stretch_scores,
    stretch_spans,
)
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
    "look_steps",
    "measure_background",
    "save_timeline",
    "steps_in",
    "stretch_scores",
    "stretch_spans",
    "timeline_format",
    "video_times",
]
