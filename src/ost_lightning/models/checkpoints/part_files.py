"""Files with the weights of parts that are new beside the encoder: temporal head, learned prompts, side network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError
from ost_lightning.models.unreadable_weights import problem_in

PartName = Literal["temporal_head", "text_prompts", "vision_prompts", "side_network", "temporal_context"]
"""Part of a `VideoCLIP` that pre-training did not have, by the name of its attribute."""

_NOUNS: Final[dict[PartName, str]] = {
    "temporal_head": "a temporal head",
    "text_prompts": "a set of text prompts",
    "vision_prompts": "a set of vision prompts",
    "side_network": "a side network",
    "temporal_context": "temporal context",
}
_MODELS: Final[dict[PartName, str]] = {
    "text_prompts": " of a PromptedVideoCLIP",
    "vision_prompts": " of a PromptedVideoCLIP",
    "side_network": " of a SideTunedVideoCLIP",
    "temporal_context": " of a ContextualVideoCLIP",
}
PARTS: Final = tuple(_NOUNS)


def part_weights(folder: Path, part: PartName) -> dict[str, Tensor]:
    """Reads name to weight of a part in a folder; empty if the folder has none.

    Raises:
        CheckpointError: If the file is damaged.
    """
    file = _file(folder, part)
    try:
        return load_file(file) if file.is_file() else {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} can't be read: {problem_in(error)}") from error


def load_part(module: nn.Module | None, part: PartName, folder: Path) -> None:
    """Loads a part's weights from the encoder's folder, if it contains any.

    Raises:
        CheckpointError: If the weights are for a different part, or none is set.
    """
    if not (weights := part_weights(folder, part)):
        return
    if module is None:
        model = _MODELS.get(part, "")
        raise CheckpointError(
            f"{folder} was tuned with {_NOUNS[part]} ({_file(folder, part).name}), but none is set: set "
            f"video_clip.{part}{model} to the class and settings that it was tuned with."
        )
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        found = str(error).replace("\n\t", " ").strip()
        raise CheckpointError(
            f"The weights in {_file(folder, part)} don't match video_clip.{part}, a {type(module).__name__} "
            f"({found[:300]}): set it to the class and settings that it was tuned with."
        ) from error


def save_part(module: nn.Module | None, part: PartName, folder: Path) -> None:
    """Writes the weights of a part, if it has any."""
    if module is not None:
        write_part_weights(module.state_dict(), part, folder)


def write_part_weights(weights: Mapping[str, Tensor], part: PartName, folder: Path) -> None:
    """Writes the weights of a part under the names of its `state_dict`, if there are any."""
    if weights:
        save_file({name: weight.contiguous() for name, weight in weights.items()}, _file(folder, part))


def _file(folder: Path, part: PartName) -> Path:
    return folder / f"{part}.safetensors"
