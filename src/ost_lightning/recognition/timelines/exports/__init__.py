"""Files with timelines: this package's own, those of other programs, pictures, videos and pages."""

from ost_lightning.recognition.timelines.exports.fiftyone import fiftyone_sample
from ost_lightning.recognition.timelines.exports.formats import FORMATS, TimelineFormat, save_timeline, timeline_format
from ost_lightning.recognition.timelines.exports.timeline_json import load_timeline, load_timelines

__all__ = [
    "FORMATS",
    "TimelineFormat",
    "fiftyone_sample",
    "load_timeline",
    "load_timelines",
    "save_timeline",
    "timeline_format",
]
