"""What a recognizer does with long videos: embed them once, and find what happens when."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path

import torch

from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.models import DescriptorEmbeddings, VideoCLIP, weights_digest
from ost_lightning.recognition.timelines.background import Background, measure_background
from ost_lightning.recognition.timelines.decoders import StretchDecoder, TimelineDecoder
from ost_lightning.recognition.timelines.embedded_video import EmbeddedVideo
from ost_lightning.recognition.timelines.embedding import GRID_RATE, embed_video, frame_digest
from ost_lightning.recognition.timelines.stretches import StretchScores, StretchSettings, scored_kinds, stretch_scores
from ost_lightning.recognition.timelines.timeline import Evidence, Segment, Timeline
from ost_lightning.text import LabelSpace, SentenceSet

Video = str | Path | EmbeddedVideo
"""Path of a file or folder of frames, URL, or a video that was embedded before."""


class LongVideos(ABC):
    """Base class of recognizers, for long videos.

    Attributes:
        labels: Classes to choose from.
        clips: Settings that define how frames are resized and cropped.
    """

    labels: LabelSpace
    clips: ClipSettings
    _video_clip: VideoCLIP
    _texts: DescriptorEmbeddings
    _sentences: SentenceSet

    @abstractmethod
    def conditions(self) -> dict[str, str]:
        """Returns what answers depend on besides the video."""

    def embed(
        self,
        video: Video,
        rate: float = GRID_RATE,
        frame_rate: float | None = None,
        part: tuple[float, float] | None = None,
    ) -> EmbeddedVideo:
        """Embeds the frames of a long video, so that recognizers with the same weights need not open it again.

        Each frame is decoded and encoded once. Memory grows by 4 d bytes per frame: 30 MB for an hour with d = 512.

        Args:
            video: Path of a file or folder of frames, or URL. A video that was embedded before is returned unchanged.
            rate: Number of frames per second to look at. A video with fewer has each of its frames embedded.
            frame_rate: Frame rate of a video without times, such as a folder of frames; None for the video's own times.
            part: Beginning and end of the part to look at, in seconds, which bounds the time that a very long video
                takes; the rest becomes gaps. None for the whole video.

        Raises:
            UserError: If the video can't be read or has no times, if the part is out of range, if the encoder relates
                the frames of a clip, or if the video was embedded with other weights or settings.
        """
        if not isinstance(video, EmbeddedVideo):
            return embed_video(video, self._video_clip, self.clips, self._frame_digest, rate, frame_rate, part)
        if video.digest != self._frame_digest:
            raise UserError(
                f"{video.video} was embedded with other weights or settings of frames (digest {video.digest}, this "
                f"recognizer's is {self._frame_digest}): embed it again."
            )
        return video

    def stretch_scores(
        self,
        video: Video,
        stretches: StretchSettings = StretchSettings(),  # frozen
    ) -> StretchScores:
        """Scores stretches of a video against all classes; see `ost_lightning.recognition.timelines.stretch_scores`.

        Args:
            video: Path of a file, URL, or a video from `embed`.
            stretches: Settings of the stretches.

        Raises:
            UserError: If the video can't be read, or was embedded with other weights or settings.
        """
        return stretch_scores(self.embed(video), self._texts, self.labels.names, stretches)

    def timeline(
        self,
        video: Video,
        decoder: TimelineDecoder | None = None,
        *,
        stretches: StretchSettings = StretchSettings(),  # frozen
        rate: float = GRID_RATE,
        frame_rate: float | None = None,
    ) -> Timeline:
        """Finds what happens when in a long video, and when it shows none of the classes.

        Args:
            video: Path of a file or folder of frames, URL, or a video from `embed`.
            decoder: Decoder; `StretchDecoder` if not given. Without a level, it finds segments in any video.
            stretches: Settings of the stretches that are scored; their lengths should be those of the actions.
            rate: Number of frames per second to look at, unless the video is embedded.
            frame_rate: Frame rate of a video without times; None for the video's own times.

        Raises:
            UserError: If the video can't be read, or was embedded with other weights or settings.
        """
        decoder = decoder or StretchDecoder()
        scores = self.stretch_scores(self.embed(video, rate, frame_rate), stretches)
        decoding, embedded = decoder.decode(scores), scores.video
        depends = {**self.conditions(), "scored_by": scores.scored_by, "rate": embedded.rate, **stretches.conditions()}
        if embedded.frame_rate is not None:
            depends["frame_rate"] = embedded.frame_rate
        return Timeline(
            embedded.video,
            embedded.duration,
            self.labels.names,
            tuple(replace(segment, evidence=self._evidence(embedded, segment)) for segment in decoding.segments),
            decoding.detections,
            embedded.gaps,
            {**depends, **decoder.settings(), "decoder.level": decoding.level},
        )

    def measure_background(
        self,
        videos: Iterable[Video],
        decoder: TimelineDecoder | None = None,
        *,
        share: float = 0.05,
        stretches: StretchSettings = StretchSettings(),  # frozen
        rate: float = GRID_RATE,
    ) -> Background:
        """Measures the level for a decoder with videos that show none of the classes.

        Args:
            videos: Videos that are otherwise like those to be decoded.
            decoder: Decoder that the level is for; `StretchDecoder` if not given.
            share: Share of their stretches that may be above the level, between 0 and 1.
            stretches: Settings of the stretches.
            rate: Number of frames per second to look at, unless a video is embedded.

        Raises:
            UserError: If a video can't be read, or the share is out of range.
        """
        scores = [self.stretch_scores(self.embed(video, rate), stretches) for video in videos]
        return measure_background(scores, decoder or StretchDecoder(), share)

    @cached_property
    def _weights_digest(self) -> str:
        return weights_digest(self._video_clip)

    @cached_property
    def _frame_digest(self) -> str:
        return frame_digest(self._weights_digest, self._video_clip, self.clips)

    @torch.inference_mode()
    def _evidence(self, video: EmbeddedVideo, segment: Segment) -> tuple[Evidence, ...]:
        """The frame of a segment that shows each sentence best, most convincing sentence first."""
        first, last = round(segment.start * video.rate), ceil(round(segment.end * video.rate, 6))
        frames = video.embeddings[video.rows[first:last]].to(self._video_clip.encoder.device)
        k = self.labels.names.index(segment.label)
        found = []
        for kind in scored_kinds(self._texts):
            best, steps = (frames @ self._texts[kind][k].T).max(0)
            shown = zip(self._sentences.sentences[kind][k], best.tolist(), steps.tolist(), strict=True)
            found += [Evidence(text, kind, (first + step) / video.rate, cosine) for text, cosine, step in shown]
        return tuple(sorted(found, key=lambda evidence: -evidence.cosine))
