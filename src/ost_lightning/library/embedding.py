"""From videos to segments: short ones are read as clips, long ones are embedded once and cut into stretches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ost_lightning.evaluation import ClipSettings, embed, evaluation_clips
from ost_lightning.library.segments import IndexedSource, NewFrames, NewSegment
from ost_lightning.library.settings import SegmentSettings
from ost_lightning.library.sources import VideoSource
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition.timelines import (
    StretchSettings,
    embed_video,
    look_steps,
    steps_in,
    stretch_spans,
    video_times,
)
from ost_lightning.video import VideoReadError, open_video
from ost_lightning.video.clips import read_views
from ost_lightning.video.decoding import FrameFolder, run_with_timeout


@dataclass(frozen=True, slots=True, eq=False)
class ReadSource:
    """A source that was read: the frames of a clip, a long video that is still to be read, or an error.

    Attributes:
        source: The video.
        about: How it is stored, with the state of its file before it was read.
        frames: Frames of the clip, uint8 (T, 3, S, S); None for a long video or an error.
        error: Reason for which it could not be read; empty if it was.
        start: Start of the clip in seconds.
        end: End of the clip in seconds; None if the video has no times.
        duration: Length of the video in seconds; None if it has no times.
        seconds: Times of the frames; empty if they have none.
    """

    source: VideoSource
    about: IndexedSource
    frames: Tensor | None = None
    error: str = ""
    start: float = 0.0
    end: float | None = None
    duration: float | None = None
    seconds: tuple[float, ...] = ()

    @property
    def is_long(self) -> bool:
        """Whether it is a long video, which is still to be read."""
        return self.frames is None and not self.error


class SegmentEncoder:
    """Reads videos and embeds their segments. One view is kept: evenly spread frames, center crop.

    Args:
        video_clip: Encoder with its weights, on the device for computation.
        clips: Settings that define how a video becomes a clip.
        settings: Settings of how videos are cut into segments.
    """

    def __init__(self, video_clip: VideoCLIP, clips: ClipSettings, settings: SegmentSettings) -> None:
        self.video_clip, self.settings = video_clip, settings
        self.clips = replace(clips.resolved(), views=1, crops=1, view_frames="spread")
        self._reading = evaluation_clips([], self.clips)

    @torch.inference_mode()
    def frames(self) -> int:
        """Returns the number of embeddings per clip, T, which is 1 for some encoders of whole clips."""
        geometry = self.clips.geometry()
        if not self.video_clip.relates_frames:
            return geometry.frames
        size = (1, 1, geometry.frames, 3, geometry.crop_size, geometry.crop_size)
        clip = torch.zeros(size, dtype=torch.uint8, device=self.video_clip.encoder.device)
        return embed(self.video_clip, clip).shape[2]

    def read(self, item: tuple[VideoSource, IndexedSource]) -> ReadSource:
        """Reads the frames of a source if it is short, or one segment by itself; called in threads.

        Args:
            item: Source, and how it is stored.
        """
        source, about = item
        try:
            return run_with_timeout(
                self._reading.reading.timeout, source.record.path, lambda: self._read(source, about)
            )
        except VideoReadError as error:
            return ReadSource(source, about, error=str(error))

    def _read(self, source: VideoSource, about: IndexedSource) -> ReadSource:
        record, reading = source.record, self._reading
        with open_video(
            record.path, sample_aspect=reading.reading.sample_aspect, resize=reading.reading.resize
        ) as video:
            timed = not isinstance(video, FrameFolder)
            duration = video_times(video)[1] if timed else None
            start, end = record.start or 0.0, duration
            if duration is not None and record.end is not None:
                end = min(record.end, duration)
            whole = not source.as_clip and record.span == (None, None)
            if whole and duration is not None and duration > self.settings.longest_clip:
                return ReadSource(source, about, duration=duration, end=duration)
            views, seconds = read_views(
                video, record, reading.sampler.middle, reading.short_side, reading.transform.crop_spec, with_times=timed
            )
        return ReadSource(source, about, views[0], "", start, end, duration, seconds)

    @torch.inference_mode()
    def embed_clips(self, clips: Sequence[ReadSource]) -> list[NewSegment]:
        """Embeds clips together, one segment each.

        Args:
            clips: Sources whose frames were read.
        """
        frames = torch.stack([clip.frames for clip in clips if clip.frames is not None])
        embedded = embed(self.video_clip, frames[:, None].to(self.video_clip.encoder.device))[:, 0].cpu()
        found = []
        for clip, rows in zip(clips, embedded, strict=True):
            # an encoder of whole clips has no frames whose times could be told
            seconds = clip.seconds if len(clip.seconds) == len(rows) else ()
            found.append(NewSegment(clip.about, 0, clip.start, clip.end, clip.duration, seconds, rows))
        return found

    def embed_long(self, read: ReadSource, digest: str) -> tuple[list[NewSegment], NewFrames | None]:
        """Embeds all sampled frames of a long video once, and cuts them into segments.

        An encoder that relates the frames of a clip embeds each segment by itself, and there are no single frames.

        Args:
            read: Source that was too long to be read as a clip.
            digest: Digest of what single frames depend on.

        Raises:
            VideoReadError: If nothing of the video can be read.
        """
        if self.video_clip.relates_frames:
            return self._related(read), None
        looks, rate = self.clips.geometry().frames, self.settings.rate
        long = embed_video(read.source.record.path, self.video_clip, self.clips, digest, rate)
        spans = stretch_spans(long.runs(), rate, self._stretches())
        steps = look_steps(spans, looks)
        damaged = int((long.rows < 0).sum())
        found = []
        for place, (span, chosen) in enumerate(zip(spans, steps, strict=True)):
            start, end = long.edges[span].tolist()
            seconds, rows = tuple((chosen / rate).tolist()), long.embeddings[long.rows[chosen]]
            found.append(NewSegment(read.about, place, start, end, long.duration, seconds, rows, damaged))
        return found, NewFrames(read.about, long)

    def _related(self, read: ReadSource) -> list[NewSegment]:
        duration, rate = read.duration or 0.0, self.settings.rate
        spans = stretch_spans([(0, steps_in(duration, rate))], rate, self._stretches()) / rate
        found: list[NewSegment] = []
        damaged, reason = 0, ""
        for start, end in spans.clamp_max(duration).tolist():
            part = replace(read.source, record=replace(read.source.record, start=start, end=end))
            clip = self.read((part, read.about))
            if clip.error:
                damaged, reason = damaged + 1, clip.error
                continue
            found += [replace(segment, place=len(found)) for segment in self.embed_clips([clip])]
        if not found:
            raise VideoReadError(read.source.record.path, f"no part of it can be decoded ({reason})")
        return [replace(segment, damaged=damaged) for segment in found]

    def _stretches(self) -> StretchSettings:
        return StretchSettings(lengths=self.settings.lengths, stride=self.settings.stride)
