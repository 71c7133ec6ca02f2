"""Re-encoding of videos for fast sparse reading: small pictures, short groups of pictures, index in front."""

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Final

import av
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from ost_lightning.files import atomic_write
from ost_lightning.video.clips import FrameSampler
from ost_lightning.video.decoding import FrameSource, VideoReader, VideoReadError, open_video, read_frames
from ost_lightning.video.decoding.orientation import AS_STORED
from ost_lightning.video.decoding.scaling import FrameScaler
from ost_lightning.video.storage import VideoAddress, size_and_mtime
from ost_lightning.vocabulary import counted

_CLOCK: Final = Fraction(1, 90_000)
_TIMED_READS: Final = 3
_TIMED_FRAMES: Final = 8


@dataclass(frozen=True)
class TranscodeSettings:
    """Encoder settings for H.264 .mp4 files without sound.

    Attributes:
        short_side: Length of the shorter side in pixels; smaller videos keep their size.
        gop: Number of frames from one keyframe to the next.
        crf: x264's constant rate factor; lower means better quality and larger files.
        preset: x264's preset.
        fast_decode: Whether to use x264's tuning `fastdecode` (CAVLC, no loop filter, no weighted prediction): larger
            files that decode in half the time.
    """

    short_side: int = 256
    gop: int = 12
    crf: int = 23
    preset: str = "medium"
    fast_decode: bool = True


@dataclass(frozen=True, slots=True)
class TranscodingJob:
    """One video to re-encode.

    Attributes:
        name: Name in reports.
        source: Address of the old file.
        target: Path of the new file.
        settings: Encoder settings.
    """

    name: str
    source: VideoAddress
    target: Path
    settings: TranscodeSettings


@dataclass(frozen=True, slots=True)
class Transcoded:
    """Result of re-encoding one video.

    Attributes:
        name: Name of the job.
        target: Path of the new file.
        error: Why the video could not be re-encoded; empty on success.
        frames: Number of frames, the same in both files.
        bytes_before: Size of the old file in bytes.
        bytes_after: Size of the new file in bytes.
        ms_before: Time to read 8 frames of the old file, sparsely, in milliseconds; median of 3.
        ms_after: Time to read 8 frames of the new file in the same way, in milliseconds.
    """

    name: str
    target: str
    error: str = ""
    frames: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    ms_before: float = 0.0
    ms_after: float = 0.0


def transcode(job: TranscodingJob) -> Transcoded:
    """Re-encodes one video, unless a file with as many frames and the same settings already exists."""
    try:
        with open_video(job.source) as video:
            frames = len(video)
            if not _is_done(job, frames):
                _write(video, job)
    except VideoReadError as error:
        return Transcoded(job.name, str(job.target), str(error))
    before, after = (_reading_ms(path, frames, job.settings.short_side) for path in (job.source, job.target))
    sizes = (size_and_mtime(job.source)[0], size_and_mtime(job.target)[0])
    return Transcoded(job.name, str(job.target), "", frames, *sizes, before, after)


def _is_done(job: TranscodingJob, frames: int) -> bool:
    if not job.target.is_file():
        return False
    try:
        with av.open(str(job.target)) as container:
            settings = container.metadata.get("comment")
        with VideoReader(job.target) as video:
            return len(video) == frames and settings == str(job.settings)
    except (av.error.FFmpegError, VideoReadError):
        return False


def _write(video: FrameSource, job: TranscodingJob) -> None:
    with atomic_write(job.target) as temporary:
        _encode(video, temporary, job.settings)
        with VideoReader(temporary) as copy:
            if len(copy) != len(video):
                raise VideoReadError(job.source, f"it has {counted(len(video), 'frame')}, but its copy has {len(copy)}")


def _encode(video: FrameSource, path: Path, settings: TranscodeSettings) -> None:
    options = {"crf": str(settings.crf), "preset": settings.preset, "g": str(settings.gop), "threads": "1"}
    options["b-pyramid"] = "none"  # so that a reader can skip every unwanted B picture
    if settings.fast_decode:
        options["tune"] = "fastdecode"
    rate = Fraction(video.rate).limit_denominator(1001) if video.rate else Fraction(25)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = str(settings)
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", _CLOCK
        converter, last = VideoReformatter(), -1
        for seconds, frame in video.frames_in_order():
            picture = _picture(frame, video.scaler, converter, settings.short_side)
            if last < 0:
                stream.width, stream.height = picture.width, picture.height
                stream.codec_context.colorspace, stream.codec_context.color_range = frame.colorspace, ColorRange.MPEG
            # strictly ascending, however close two frames are
            last = picture.pts = max(last + 1, round(seconds / _CLOCK))
            picture.time_base = _CLOCK
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _picture(frame: av.VideoFrame, scaler: FrameScaler, converter: VideoReformatter, short_side: int) -> av.VideoFrame:
    """Converts a frame to an upright picture with even sides, in YUV 4:2:0."""
    full = scaler.size(frame, None)
    height, width = (side // 2 * 2 for side in scaler.size(frame, min(short_side, *full)))
    if scaler.orientation(frame) != AS_STORED:
        frame = av.VideoFrame.from_ndarray(scaler.whole(frame, None).transpose(1, 2, 0).copy(), format="rgb24")
    return converter.reformat(
        frame,
        width=width,
        height=height,
        format="yuv420p",
        interpolation=Interpolation.BICUBIC,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def _reading_ms(path: VideoAddress, frames: int, short_side: int) -> float:
    indices = FrameSampler(_TIMED_FRAMES).middle(frames)[0]
    times = []
    for _ in range(_TIMED_READS):
        began = time.perf_counter()
        read_frames(path, indices, short_side)
        times.append(1000 * (time.perf_counter() - began))
    return round(median(times), 2)
