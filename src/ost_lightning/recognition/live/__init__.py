"""Recognition of streams and cameras, while they run."""

from ost_lightning.recognition.live.live_file import LiveFile, check_live_format
from ost_lightning.recognition.live.live_source import LiveSource, is_live
from ost_lightning.recognition.live.live_videos import LiveVideos
from ost_lightning.recognition.live.watching import (
    LiveRecognition,
    StreamLostWarning,
    WatchSettings,
    WindowScorer,
    watch,
)
from ost_lightning.recognition.timelines.timeline import Gap

__all__ = [
    "Gap",
    "LiveFile",
    "LiveRecognition",
    "LiveSource",
    "LiveVideos",
    "StreamLostWarning",
    "WatchSettings",
    "WindowScorer",
    "check_live_format",
    "is_live",
    "watch",
]
