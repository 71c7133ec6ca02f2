"""How the frames of a video match a sentence."""

from dataclasses import dataclass
from typing import Final

from torch import Tensor

from ost_lightning.vocabulary import SentenceKind

_ROUNDING: Final = 1e-5
"""Relative difference up to which frames contribute the same; copies of a frame can differ in their last digits."""


@dataclass(frozen=True, slots=True, eq=False)
class SentenceMatch:
    """How the frames of a video match one sentence of a class.

    Attributes:
        sentence: Sentence as it was encoded.
        kind: Kind of the sentence.
        cosine: Mean cosine of the frames, weighted by their shares.
        shares: Share of each frame in the match, (T,); the sum is 1. One share if a temporal head pools the frames.
        cosines: Cosine of each frame, (T,).
        seconds: Time of each frame from the video's first one; empty if frames have no times.
    """

    sentence: str
    kind: SentenceKind
    cosine: float
    shares: Tensor
    cosines: Tensor
    seconds: tuple[float, ...]

    @property
    def cost(self) -> float:
        """Cost of the match, 1 - cosine."""
        return 1 - self.cosine

    @property
    def frame(self) -> int:
        """Index of the frame that contributes most to the match, the first one if several show the same."""
        contributions = self.shares * self.cosines
        largest = contributions.max()
        return int((contributions >= largest - _ROUNDING * largest.abs()).int().argmax())

    def when(self, frame: int) -> str:
        """Returns a frame's time in words, or its number if frames have no times.

        Args:
            frame: Index of the frame.
        """
        return f"{self.seconds[frame]:.1f} s" if self.seconds else f"frame {frame + 1}"

    @property
    def second(self) -> float | None:
        """Time of that frame; None if frames have no times."""
        return self.seconds[self.frame] if self.seconds else None

    def __repr__(self) -> str:
        return f"SentenceMatch({self.sentence!r}, {self.kind!r}, cosine={self.cosine:.3f}, frame={self.frame})"

    def __str__(self) -> str:
        shown = self.when(self.frame)
        seen = f", best seen at {shown}" if len(self.shares) > 1 else ""  # a temporal head may pool all frames
        return f"{self.sentence!r} (cosine {self.cosine:.3f}{seen})"
