"""What a recognizer does with cameras and streams."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ost_lightning.evaluation import ClipSettings
from ost_lightning.models import FrameEmbeddings
from ost_lightning.recognition.live.live_source import LiveSource
from ost_lightning.recognition.live.watching import LiveRecognition, WatchSettings, WindowScorer, watch
from ost_lightning.recognition.read_ahead import ReadVideo
from ost_lightning.recognition.recognition import Recognition
from ost_lightning.recognition.replicas import Replica
from ost_lightning.recognition.timelines.timeline import Gap


class LiveVideos(ABC):
    """Base class of recognizers, for cameras and streams.

    Attributes:
        clips: Settings that define how frames are resized and cropped.
    """

    clips: ClipSettings
    _frames: int
    _replica: Replica

    @abstractmethod
    def _answers(
        self, replica: Replica, videos: Sequence[ReadVideo], embedded: FrameEmbeddings, *, evidence: bool
    ) -> list[Recognition]:
        """Returns the recognitions of videos from their frame embeddings, (B, V, T, d)."""

    def watch(
        self,
        source: str | Path | int,
        window: float = 4.0,
        stride: float = 2.0,
        *,
        timeout: float = 10.0,
        reconnects: int = 10,
        duration: float | None = None,
        evidence: bool = False,
    ) -> Iterator[LiveRecognition | Gap]:
        """Recognizes windows of a camera or stream while it runs; see `ost_lightning.recognition.live.watch`.

        Each frame is encoded once, unless the encoder relates the frames of a clip. Memory doesn't grow. If the model
        can't keep up, frames are dropped and counted. A file is played at its own speed.

        Args:
            source: Number or device of a camera (`0`, `/dev/video0`), URL that FFmpeg opens, or file.
            window: Length of what is recognized at a time, in seconds.
            stride: Time between two results in seconds, at least the window divided by the number of frames.
            timeout: Seconds after which a silent stream counts as lost.
            reconnects: Attempts to connect again, in a row, before the stream is given up.
            duration: Seconds after which to stop; None for no limit.
            evidence: Whether results say which sentence of the most likely class fits best, and when it is seen.

        Yields:
            One result per stride as soon as it is known, and a `Gap` once a lost stream goes on.

        Raises:
            UserError: If the stream can't be opened or is lost for good, or a number is out of range.

        Warns:
            StreamLostWarning: If the connection is lost and opened again.
        """
        settings = WatchSettings(window, stride, timeout, reconnects, duration)
        opened = LiveSource.of(source)
        # all frames of a window are encoded together if the encoder relates them
        alone = not self._replica.video_clip.relates_frames

        @torch.inference_mode()
        def encode(pixels: Tensor) -> Tensor:
            if not alone:
                return pixels
            # on the host, so that the time is known that this took
            return self._replica.embed(pixels[:, :, None])[:, :, 0].cpu()

        @torch.inference_mode()
        def recognize(kept: Tensor, seconds: tuple[float, ...]) -> Recognition:
            window = ReadVideo(opened.name, None, "", seconds)
            embedded = kept[None].to(self._replica.device) if alone else self._replica.embed(kept[None])
            return self._answers(self._replica, [window], embedded, evidence=evidence)[0]

        return watch(opened, WindowScorer(self._frames, self.clips, encode, recognize), settings)
