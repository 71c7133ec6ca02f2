"""Frame embeddings of one video on a grid of times, which any label space can be compared with."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.recognition.timelines.timeline import Gap

_FORMAT = "embedded video 1"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EmbeddedVideo:
    """Frame embeddings of one video on a grid of times. Each frame is embedded once, however long it is shown.

    Step g of the grid lasts from g / `rate` to (g + 1) / `rate` seconds, the last one up to `duration`. It stands for
    the frame that is on screen when it begins.

    Attributes:
        video: Path or URL of the video, without passwords.
        duration: Length of the video in seconds.
        rate: Number of steps per second.
        embeddings: Embeddings of F distinct frames, fp32 (F, d), L2-normalized, in host memory.
        rows: Row in `embeddings` for each of G steps, int64 (G,); -1 in gaps.
        digest: Digest of the weights and of the settings with which frames were read.
        gaps: Parts that could not be read, in order of time.
        frame_rate: Frame rate that was given for a video without times; None for the video's own times.

    Raises:
        ValueError: If shapes or numbers contradict one another.
    """

    video: str
    duration: float
    rate: float
    embeddings: Tensor
    rows: Tensor
    digest: str
    gaps: tuple[Gap, ...] = ()
    frame_rate: float | None = None

    def __post_init__(self) -> None:
        steps = steps_in(self.duration, self.rate)
        if self.embeddings.ndim != 2 or self.rows.shape != (steps,):
            raise ValueError(
                f"embeddings {tuple(self.embeddings.shape)} and rows {tuple(self.rows.shape)} of a video of "
                f"{self.duration} s: expected (F, d) and ({steps},) at {self.rate} steps per second"
            )
        if int(self.rows.max()) >= len(self.embeddings) or int(self.rows.min()) < -1:
            raise ValueError(f"rows from {int(self.rows.min())} to {int(self.rows.max())}: expected -1 to F - 1")

    @property
    def edges(self) -> Tensor:
        """Times at which steps begin, and the end of the last one: fp64 (G + 1,), seconds."""
        return (torch.arange(len(self.rows) + 1, dtype=torch.float64) / self.rate).clamp_max(self.duration)

    def runs(self) -> list[tuple[int, int]]:
        """Returns the parts between gaps as steps [start, end), in order of time."""
        known = torch.nn.functional.pad((self.rows >= 0).long(), (1, 1)).diff()
        starts, ends = ((known == change).nonzero().flatten().tolist() for change in (1, -1))
        return list(zip(starts, ends, strict=True))

    def save(self, file: Path) -> None:
        """Saves the embeddings, 4 d bytes per frame, in the safetensors format.

        Args:
            file: File to write.
        """
        about = {"format": _FORMAT, "video": self.video, "duration": self.duration, "rate": self.rate}
        about |= {"frame_rate": self.frame_rate, "digest": self.digest, "gaps": [asdict(gap) for gap in self.gaps]}
        tensors = {"embeddings": self.embeddings.contiguous(), "rows": self.rows.contiguous()}
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            save_file(tensors, temporary, metadata={"about": json.dumps(about)})

    @classmethod
    def load(cls, file: Path) -> Self:
        """Loads embeddings that `save` wrote.

        Raises:
            UserError: If the file is missing or not of this format.
        """
        try:
            with safe_open(file, framework="pt") as opened:
                about = json.loads((opened.metadata() or {}).get("about", "{}"))
                if about.get("format") != _FORMAT:
                    raise UserError(
                        f"{file} contains no embedded video: expected a file that `EmbeddedVideo.save` wrote."
                    )
                tensors = {name: opened.get_tensor(name) for name in ("embeddings", "rows")}
        except (OSError, SafetensorError) as error:
            raise UserError(f"The embedded video {file} can't be read ({error}).") from error
        gaps = tuple(Gap(**gap) for gap in about["gaps"])
        numbers = {name: about[name] for name in ("video", "duration", "rate", "digest", "frame_rate")}
        return cls(**numbers, **tensors, gaps=gaps)

    def __repr__(self) -> str:
        frames, width = self.embeddings.shape
        return f"EmbeddedVideo({self.video!r}, {self.duration:.1f} s, {frames} frames, width {width})"


def steps_in(duration: float, rate: float) -> int:
    """Returns the number of grid steps of a video, at least 1.

    Args:
        duration: Length of the video in seconds.
        rate: Number of steps per second.
    """
    # rounded, so that a duration of n steps has n of them despite the last digits
    return max(1, math.ceil(round(duration * rate, 6)))
