"""Timelines: which action happens when in a long video."""

from ost_lightning.recognition.timelines.exports import (
    load_timeline,
    load_timelines,
    save_timeline,
    timeline_format,
)
from ost_lightning.recognition.timelines.timeline import Evidence, Gap, Segment, Timeline

__all__ = [
    "Evidence",
    "Gap",
    "Segment",
    "Timeline",
    "load_timeline",
    "load_timelines",
    "save_timeline",
    "timeline_format",
]
