"""Initial weights from the checkpoint of an earlier training run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.checkpoint_digest import verify_weights
from ost_lightning.models.checkpoints.part_files import PARTS, part_weights
from ost_lightning.models.checkpoints.renamed_weights import use_current_names
from ost_lightning.models.safe_checkpoints import load_as_data

VIDEO_CLIP: Final = "video_clip"
"""Attribute of a task that holds the encoder."""
_MODEL_HINT: Final = "Set the model (`pretrained`, heads, adapters, matcher) to what it was in the training run."


def folder_weights(folder: Path, model: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Returns the weights of a folder's model and new parts, under the names of `VideoCLIP.state_dict`.

    Args:
        folder: Folder of the model.
        model: Model that was loaded from the folder.
        prefix: Prefix of the model's weights in `VideoCLIP.state_dict`.

    Raises:
        CheckpointError: If the weights of a part are damaged.
    """
    return {prefix + name: weight for name, weight in model.state_dict().items()} | {
        f"{part}.{name}": weight for part in PARTS for name, weight in part_weights(folder, part).items()
    }


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Reads a checkpoint, with the weights under their current names.

    Tensors are memory-mapped from the file, and compared with their digest; no code in it is executed.

    Args:
        file: Checkpoint that training wrote, with this version or an earlier one.

    Raises:
        CheckpointError: If the file is missing, damaged or not a checkpoint of this package.
    """
    if not file.is_file():
        raise CheckpointError(
            f"There is no checkpoint {file}: expected a file that training wrote, or a folder in HF format."
        )
    content = load_as_data(file)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        verify_weights(content, file)
        use_current_names(content["state_dict"])
        if weights_of(content, VIDEO_CLIP):
            return content
    raise CheckpointError(f"{file} is not a checkpoint of this package: it contains no weights named {VIDEO_CLIP}.*")


def weights_of(checkpoint: Mapping[str, Any], part: str) -> dict[str, Tensor]:
    """Returns the weights of one part of the model, under the names of that part's `state_dict`.

    Args:
        checkpoint: Content of a checkpoint.
        part: Attribute of the task, `video_clip` or `matcher`.
    """
    prefix = f"{part}."
    state: Mapping[str, Tensor] = checkpoint["state_dict"]
    return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}


def checkpoint_weights(file: Path) -> dict[str, Tensor]:
    """Reads only the encoder weights of a checkpoint, under the names of `VideoCLIP.state_dict`.

    Args:
        file: Checkpoint that training wrote, with this version or an earlier one.

    Raises:
        CheckpointError: If the file is missing, damaged or not a checkpoint of this package.
    """
    return weights_of(read_checkpoint(file), VIDEO_CLIP)


def check_weights_match(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: Path | str) -> None:
    """Checks that weights are complete and belong to a model.

    Args:
        expected: Name to weight of the model.
        found: Name to weight of the source.
        source: Origin of the weights, for messages.

    Raises:
        CheckpointError: If a weight is missing, unknown or of a different shape; it names the first one.
    """
    missing, unexpected = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"The weights of {source} are not for this model: {len(missing)} are missing and {len(unexpected)} are "
            f"unexpected (first: {(missing or unexpected)[0]}). {_MODEL_HINT}"
        )
    for name, weight in found.items():
        if weight.shape != expected[name].shape:
            raise CheckpointError(
                f"{name} has shape {tuple(weight.shape)} in {source}, but {tuple(expected[name].shape)} in this model. "
                f"{_MODEL_HINT}"
            )


def check_tuned_from(
    current: Mapping[str, Tensor], original: Mapping[str, Tensor], pretrained: str, tuned_from: str
) -> None:
    """Checks that an encoder can have been tuned from other weights.

    Args:
        current: Name to weight of the encoder.
        original: Name to weight of the model that it was tuned from.
        pretrained: Name of the encoder's checkpoint.
        tuned_from: Name of the original checkpoint.

    Raises:
        CheckpointError: If the weights differ in name or shape.
    """
    differing = [
        name for name, before in original.items() if name not in current or current[name].shape != before.shape
    ]
    if differing or current.keys() - original.keys():
        raise CheckpointError(
            f"{pretrained} can't have been tuned from {tuned_from}: their weights differ in name or shape"
            f"{f' (first: {differing[0]})' if differing else ''}. Set video_clip.tuned_from to the model that it was "
            "tuned from."
        )
