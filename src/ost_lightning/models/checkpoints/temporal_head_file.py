"""The file with a temporal head's weights, stored beside the encoder's."""

from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError
from ost_lightning.models.unreadable_weights import problem_in

_FILE: Final = "temporal_head.safetensors"


def temporal_head_weights(folder: Path) -> dict[str, Tensor]:
    """Reads name to weight of the head in a folder; empty if the folder has no head.

    Raises:
        CheckpointError: If the file is damaged.
    """
    file = folder / _FILE
    try:
        return load_file(file) if file.is_file() else {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} can't be read: {problem_in(error)}") from error


def load_temporal_head(head: nn.Module | None, folder: Path) -> None:
    """Loads a head's weights from the encoder's folder, if it contains any.

    Raises:
        CheckpointError: If the weights are for a different head, or no head is set.
    """
    if not (weights := temporal_head_weights(folder)):
        return
    if head is None:
        raise CheckpointError(
            f"{folder} was tuned with a temporal head ({_FILE}), but none is set: set "
            "video_clip.temporal_head to the class and settings that it was tuned with."
        )
    try:
        head.load_state_dict(weights)
    except RuntimeError as error:
        found = str(error).replace("\n\t", " ").strip()
        raise CheckpointError(
            f"The weights in {folder / _FILE} don't match video_clip.temporal_head, a {type(head).__name__} "
            f"({found[:300]}): set it to the class and settings that it was tuned with."
        ) from error


def save_temporal_head(head: nn.Module | None, folder: Path) -> None:
    """Writes the weights of a head, if it has any."""
    if head is not None and (weights := head.state_dict()):
        save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / _FILE)
