"""Trained networks beside a frozen vision tower."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from ost_lightning.errors import UserError


class SideNetwork(nn.Module, ABC):
    """Embeds clips from the tokens of a frozen vision tower, which reads some of the frames.

    Attributes:
        frames: T, number of frames per clip.
        stride: Distance between the frames that the vision tower reads.

    Args:
        frames: T, number of frames per clip.
        stride: Distance between the frames that the vision tower reads; T must be a multiple of it.

    Raises:
        UserError: If T is not a multiple of the stride.
    """

    def __init__(self, frames: int, stride: int) -> None:
        super().__init__()
        self.frames, self.stride = frames, stride
        if stride < 1 or frames < stride or frames % stride:
            raise UserError(
                f"video_clip.side_network has {frames} frames and the stride {stride}: expected a multiple of the "
                "stride, which is at least 1."
            )

    @abstractmethod
    def forward(self, states: Sequence[Tensor], pixels: Tensor) -> Tensor:
        """Embeds clips.

        Args:
            states: Tokens of the vision tower after each of its layers, (B, t, 1 + P, D), with t = T / stride.
            pixels: Normalized pixels of all frames, fp32 (B, T, 3, S, S).

        Returns:
            (B, e), not normalized.
        """
