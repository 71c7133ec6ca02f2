"""Other orders of a clip's frames, which show how much of an accuracy depends on the order."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ReversedFrames:
    """Frames from the last to the first."""

    def indices(self, ids: Sequence[str], frames: int) -> Tensor:
        """Returns the order of each video's frames.

        Args:
            ids: Record ids of the B videos.
            frames: Number of frames, T.

        Returns:
            int64 (B, T).
        """
        return torch.arange(frames - 1, -1, -1).expand(len(ids), -1)


@dataclass(frozen=True, slots=True)
class ShuffledFrames:
    """A random order of each video's frames, each of the T! orders with the same probability.

    It depends only on seed, draw and the video's id, so it is the same in any batch, on any process and machine.

    Attributes:
        seed: Seed of all draws.
        draw: Number of the draw.
    """

    seed: int
    draw: int

    def indices(self, ids: Sequence[str], frames: int) -> Tensor:
        """Returns the order of each video's frames.

        Args:
            ids: Record ids of the B videos.
            frames: Number of frames, T.

        Returns:
            int64 (B, T).
        """
        return torch.tensor([self._of(id_, frames) for id_ in ids], dtype=torch.int64).reshape(len(ids), frames)

    def _of(self, id_: str, frames: int) -> list[int]:
        video = blake2b(f"{self.seed}/{self.draw}/{id_}".encode(errors="surrogateescape"))

        def key(frame: int) -> bytes:
            digest = video.copy()
            digest.update(f"/{frame}".encode())
            return digest.digest()

        return sorted(range(frames), key=key)


FrameOrder = ReversedFrames | ShuffledFrames
"""An order of frames in which videos are scored."""


def reordered(frames: Tensor, indices: Tensor) -> Tensor:
    """Reorders the frames of videos, in all views alike.

    Args:
        frames: Frames or their embeddings, (B, V, T, ...).
        indices: Order of each video's frames, int64 (B, T).

    Returns:
        Tensor of the same shape.
    """
    videos, views = frames.shape[:2]
    order = indices.to(frames.device, non_blocking=True)
    every_video = torch.arange(videos, device=frames.device)[:, None, None]
    every_view = torch.arange(views, device=frames.device)[None, :, None]
    return frames[every_video, every_view, order[:, None]]
