"""decord and torchcodec (extra `readers`) with the interface of `read_frames`, for comparison."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import av
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.video import VideoReader, read_frames

_BUNDLED: Final = re.compile(r"(lib(?:av|sw)[a-z]+)-[0-9a-f]+\.so\.(\d+)[.\d]*")


def read_with_decord(path: Path, indices: Sequence[int], short_side: int | None = 256) -> Tensor:
    """Reads frames with decord, in one thread, resized while decoding.

    Args:
        path: Path of the file.
        indices: Frames in presentation order.
        short_side: Length of the shorter side in pixels; None keeps the size.

    Returns:
        uint8 (T, 3, H, W).

    Raises:
        UserError: If decord is not installed.
    """
    try:
        import decord
    except ImportError as error:
        raise UserError(f"decord can't be loaded ({error}). Install the extra: ost-lightning[readers].") from error
    height, width = (-1, -1) if short_side is None else _size(path, short_side)
    with decord.bridge.use_torch():
        frames: Tensor = decord.VideoReader(str(path), num_threads=1, width=width, height=height).get_batch(
            list(indices)
        )
    return frames.permute(0, 3, 1, 2)


def read_with_torchcodec(path: Path, indices: Sequence[int], short_side: int | None = 256) -> Tensor:
    """Reads frames with torchcodec in its exact mode, in one thread, resized by its own transform.

    Args:
        path: Path of the file.
        indices: Frames in presentation order.
        short_side: Length of the shorter side in pixels; None keeps the size.

    Returns:
        uint8 (T, 3, H, W).

    Raises:
        UserError: If torchcodec is not installed, or finds no FFmpeg; see `link_ffmpeg`.
    """
    try:
        from torchcodec.decoders import VideoDecoder
        from torchcodec.transforms import Resize

        size = None if short_side is None else _size(path, short_side)
        transforms = [Resize(size)] if size is not None else []
        decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="exact", transforms=transforms)
    except (ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"torchcodec can't be used ({reason}). Install the extra: ost-lightning[readers].") from error
    frames: Tensor = decoder.get_frames_at(list(indices)).data
    return frames


READERS: Final[Mapping[str, Callable[..., Tensor]]] = {
    "ost": read_frames,
    "decord": read_with_decord,
    "torchcodec": read_with_torchcodec,
}
"""Readers by name, each called with (path, indices, short_side)."""


def link_ffmpeg(folder: Path) -> None:
    """Links the FFmpeg libraries that come with PyAV under the names that torchcodec looks for.

    A process started with the folder in `LD_LIBRARY_PATH` can load torchcodec without another FFmpeg.

    Args:
        folder: Folder for the links.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in (Path(av.__file__).parents[1] / "av.libs").glob("lib*.so*"):
        if match := _BUNDLED.fullmatch(file.name):
            link = folder / f"{match[1]}.so.{match[2]}"
            link.unlink(missing_ok=True)
            link.symlink_to(file)


def _size(path: Path, short_side: int) -> tuple[int, int]:
    """Returns height and width after resizing, which these readers need as arguments."""
    with VideoReader(path, sample_aspect=False) as video:
        width, height = video.width, video.height
    shorter = min(width, height)
    resized = torch.tensor([height, width]).mul(short_side).div(shorter, rounding_mode="floor").tolist()
    return int(resized[0]), int(resized[1])
