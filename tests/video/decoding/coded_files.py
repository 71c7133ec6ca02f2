"""Videos of every codec, container and structure that the reader supports, written once per module."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import torch
from torch import Tensor

from ost_lightning.video import VideoReader
from tests.videos import decode_all, write_video

if TYPE_CHECKING:
    Packet = av.Packet[av.VideoStream]

VARIABLE = [0, 3, 5, 11, 12, 13, 30, 31, 33, 60, 61, 70, 100, 101, 102, 103, 150, 151, 155, 160]
FILES: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264_short_gop.mp4": {"options": {"g": "6", "bf": "2"}},
    "h264_open_gop.mkv": {"options": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:b-pyramid=normal"}},
    "h264_in_avi.avi": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10", "lag-in-frames": "8", "auto-alt-ref": "1"}},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=8"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=8"}},
    "odd.mp4": {"width": 67, "height": 45, "pixels": "yuv444p"},
    "h264.ts": {"options": {"g": "9", "bf": "2"}},
    "h264_pyramid.mp4": {"options": {"g": "20", "bf": "3", "x264-params": "b-pyramid=strict:b-adapt=0"}},
    "h264_slices.mkv": {"options": {"g": "8", "bf": "2", "slices": "3"}},
    "h264_refresh.mp4": {"options": {"g": "8", "bf": "0", "intra-refresh": "1"}},
    "h264_baseline.mp4": {"options": {"profile": "baseline"}},
    "h264_interlaced.mp4": {"options": {"x264-params": "tff=1:keyint=10:bframes=2"}},
    "h264_10_bit.mp4": {"pixels": "yuv420p10le"},
    "h264_444.mp4": {"pixels": "yuv444p", "width": 61, "height": 47},
    "hevc_layers.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "log-level=none:keyint=12:bframes=3:temporal-layers=3:b-adapt=0"},
    },
    "hevc_10_bit.mkv": {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
    "av1_10_bit.mkv": {"codec": "libsvtav1", "pixels": "yuv420p10le", "options": {"svtav1-params": "keyint=10"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "12", "lag-in-frames": "8", "auto-alt-ref": "1"}},
    "mpeg1.mpg": {"codec": "mpeg1video", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "g": "9"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "9"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "msmpeg4.avi": {"codec": "msmpeg4"},
    "h264_b_frames.avi": {"options": {"bf": "2", "g": "9"}},
    "one_frame.mp4": {"count": 1},
    "variable.mp4": {"count": len(VARIABLE), "ticks": VARIABLE},
    "variable.webm": {"codec": "libvpx-vp9", "count": len(VARIABLE), "ticks": VARIABLE},
    "rotated.mp4": {"rotate": 90},
    "upside_down.mp4": {"rotate": 180},
}


def written(folder: Path, name: str) -> Path:
    """Returns the path of a video, which is written first if it does not exist."""
    path = folder / name
    if not path.exists():
        write_video(path, **{"count": 30, **FILES[name]})
    return path


def remux(source: Path, path: Path, change: Callable[[int, "Packet", int], None]) -> Path:
    """Copies a video's packets without encoding them anew, each changed first.

    Args:
        source: Video with 25 frames per second.
        path: File to write; the suffix chooses the container.
        change: Function that changes a packet; takes its position, the packet and the duration of a frame in ticks.

    Returns:
        The path.
    """
    with av.open(str(source)) as original, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(original.streams.video[0])
        packets = [packet for packet in original.demux(video=0) if packet.size]
        for position, packet in enumerate(packets):
            change(position, packet, round(1 / 25 / packet.time_base))
            packet.stream = copy
            output.mux(packet)
    return path


def assert_shows(path: Path, reference: Tensor) -> None:
    """Checks frames of a video, read together and alone, and that their times ascend."""
    with VideoReader(path, sample_aspect=False) as video:
        assert len(video) == len(reference)
        seconds = list(video._seconds())
        assert seconds == sorted(set(seconds))
        assert torch.equal(video.read(range(len(video))), reference)
    for index in range(0, len(reference), 3):
        with VideoReader(path, sample_aspect=False) as video:
            assert torch.equal(video.read([index]), reference[[index]]), index


def decoded(path: Path) -> Tensor:
    """Decodes all frames with FFmpeg, in the order in which the decoder shows them."""
    return torch.from_numpy(decode_all(path))
