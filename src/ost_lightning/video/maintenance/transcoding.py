"""Rewrites videos once so that sparse reading is fast: small pictures, short groups of pictures, index in front."""

import os
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Final

import av
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from ost_lightning.video.clips.sampling import FrameSampler
from ost_lightning.video.decoding.frame_source import FrameSource, VideoReadError
from ost_lightning.video.decoding.reader import VideoReader, open_video, read_frames
from ost_lightning.video.decoding.scaling import FrameScaler
from ost_lightning.video.storage.addresses import VideoAddress, stamp

_CLOCK: Final = Fraction(1, 90_000)
_TIMED_READS: Final = 3
_TIMED_FRAMES: Final = 8


@dataclass(frozen=True)
class TranscodeSettings:
    """What videos become: H.264 .mp4 without sound.

    Attributes:
        short_side: Pixels of the shorter side; smaller videos keep their size.
        gop: Frames from one keyframe to the next.
        crf: x264's constant rate factor; lower is better and larger.
        preset: Of x264.
        fast_decode: x264's tuning of that name (CAVLC, no loop filter, no weighted prediction): larger files that take
            half the time to decode.
    """

    short_side: int = 256
    gop: int = 12
    crf: int = 23
    preset: str = "medium"
    fast_decode: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """One video to rewrite.

    Attributes:
        name: In reports.
        source: Of the old file.
        target: The new file.
        settings: What it becomes.
    """

    name: str
    source: VideoAddress
    target: Path
    settings: TranscodeSettings


@dataclass(frozen=True, slots=True)
class Transcoded:
    """What became of one video.

    Attributes:
        name: Of the job.
        target: The new file.
        error: Why there is none; empty if there is.
        frames: How many it has, as many as the old one.
        bytes_before: Of the old file.
        bytes_after: Of the new file.
        ms_before: Milliseconds to read 8 frames, sparse, median of 3.
        ms_after: The same of the new file.
    """

    name: str
    target: str
    error: str = ""
    frames: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    ms_before: float = 0.0
    ms_after: float = 0.0


def transcode(job: Job) -> Transcoded:
    """Rewrites one video, complete or not at all, unless it is there with as many frames and these settings."""
    try:
        with open_video(job.source) as video:
            frames = len(video)
            if not _is_there(job, frames):
                _write(video, job)
    except VideoReadError as error:
        return Transcoded(job.name, str(job.target), str(error))
    before, after = (_reading_ms(path, frames, job.settings.short_side) for path in (job.source, job.target))
    sizes = (stamp(job.source)[0], stamp(job.target)[0])
    return Transcoded(job.name, str(job.target), "", frames, *sizes, before, after)


def _is_there(job: Job, frames: int) -> bool:
    if not job.target.is_file():
        return False
    try:
        with av.open(str(job.target)) as container:
            told = container.metadata.get("comment")
        with VideoReader(job.target) as video:
            return len(video) == frames and told == str(job.settings)
    except (av.error.FFmpegError, VideoReadError):
        return False


def _write(video: FrameSource, job: Job) -> None:
    job.target.parent.mkdir(parents=True, exist_ok=True)
    partial = job.target.with_name(f".{job.target.name}.{os.getpid()}.mp4")
    try:
        _encode(video, partial, job.settings)
        with VideoReader(partial) as copy:
            if len(copy) != len(video):
                raise VideoReadError(job.source, f"it has {len(video)} frames, but its copy {len(copy)}")
        partial.replace(job.target)
    finally:
        partial.unlink(missing_ok=True)


def _encode(video: FrameSource, path: Path, settings: TranscodeSettings) -> None:
    options = {"crf": str(settings.crf), "preset": settings.preset, "g": str(settings.gop), "threads": "1"}
    options["b-pyramid"] = "none"  # a reader can leave out every B picture that it does not want
    if settings.fast_decode:
        options["tune"] = "fastdecode"
    rate = Fraction(video.rate).limit_denominator(1001) if video.rate else Fraction(25)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = str(settings)
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", _CLOCK
        converter, last = VideoReformatter(), -1
        for seconds, frame in video.frames_in_order():
            picture = _picture(frame, video.scaler, converter, settings.short_side)
            if last < 0:
                stream.width, stream.height = picture.width, picture.height
                stream.codec_context.colorspace, stream.codec_context.color_range = frame.colorspace, ColorRange.MPEG
            # later than the last one, however close the two are
            last = picture.pts = max(last + 1, round(seconds / _CLOCK))
            picture.time_base = _CLOCK
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _picture(frame: av.VideoFrame, scaler: FrameScaler, converter: VideoReformatter, short_side: int) -> av.VideoFrame:
    """An upright picture of even sides, with colors at half resolution."""
    full = scaler.size(frame, None)
    height, width = (side // 2 * 2 for side in scaler.size(frame, min(short_side, *full)))
    if frame.rotation:
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
