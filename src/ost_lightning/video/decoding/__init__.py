"""Decoding: exact sparse reading of frames by index or time."""

from ost_lightning.video.decoding.frame_folder import PICTURE_SUFFIXES, FrameFolder
from ost_lightning.video.decoding.frame_source import CropChooser, CropSpec, FrameSource, VideoReadError
from ost_lightning.video.decoding.reader import VideoReader, open_video, read_frames
from ost_lightning.video.decoding.scaling import Box, ResizeFilter
from ost_lightning.video.decoding.sequential import DamagedPart, stream_readable
from ost_lightning.video.decoding.timeout import READ_TIMEOUT, run_with_timeout

__all__ = [
    "PICTURE_SUFFIXES",
    "READ_TIMEOUT",
    "Box",
    "CropChooser",
    "CropSpec",
    "DamagedPart",
    "FrameFolder",
    "FrameSource",
    "ResizeFilter",
    "VideoReadError",
    "VideoReader",
    "open_video",
    "read_frames",
    "run_with_timeout",
    "stream_readable",
]
