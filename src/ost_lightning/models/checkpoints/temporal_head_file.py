"""The weights of a temporal head, in a file beside those of the encoder."""

from pathlib import Path
from typing import Final

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError

_FILE: Final = "temporal_head.safetensors"


def temporal_head_weights(folder: Path) -> dict[str, Tensor]:
    """Name to weight of the head in a folder; nothing if there is none."""
    file = folder / _FILE
    return load_file(file) if file.is_file() else {}


def load_temporal_head(head: nn.Module | None, folder: Path) -> None:
    """Gives a new head the weights that lie beside those of the encoder, if any do.

    Raises:
        CheckpointError: If they are those of another head, or no head is set.
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
            f"The weights in {folder / _FILE} are not those of the {type(head).__name__} that is set ({found[:300]}): "
            "give it the settings that it was tuned with."
        ) from error


def save_temporal_head(head: nn.Module | None, folder: Path) -> None:
    """Writes the weights of a head that has any."""
    if head is not None and (weights := head.state_dict()):
        save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / _FILE)
