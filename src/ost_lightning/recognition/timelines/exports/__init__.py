"""Files with timelines: this package's own, those of other programs, pictures, videos and pages."""

from ost_lightning.recognition.timelines.exports.fiftyone import fiftyone_sample
from ost_lightning.recognition.timelines.exports.formats import FORMATS, TimelineFormat, save_timeline, timeline_format
from ost_lightning.recognition.timelines.exports.page import write_page
from ost_lightning.recognition.timelines.exports.timeline_json import load_timeline, load_timelines
from ost_lightning.video.clips import FramePictures, read_pictures

__all__ = [
    "FORMATS",
    "FramePictures",
    "TimelineFormat",
    "fiftyone_sample",
    "load_timeline",
    "load_timelines",
    "read_pictures",
    "save_timeline",
    "timeline_format",
    "write_page",
]
