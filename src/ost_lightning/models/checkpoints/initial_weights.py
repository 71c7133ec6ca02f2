"""Weights that a training begins with, out of an earlier training's checkpoint."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ost_lightning.errors import CheckpointError
from ost_lightning.models.checkpoints.renamed_weights import use_current_names
from ost_lightning.models.checkpoints.temporal_head_file import temporal_head_weights
from ost_lightning.models.encoders.loading import load_model

_PREFIX: Final = "video_clip."
_AS_TRAINED: Final = "Set the model (`pretrained`, heads, adapters, matcher) as it was in the training that wrote them."


def initial_weights(source: Path, architecture: type[PreTrainedModel], prefix: str) -> dict[str, Tensor]:
    """Encoder weights of a checkpoint or folder, by the names that `VideoCLIP.state_dict` gives.

    Args:
        source: Checkpoint that training wrote, or folder in HF format.
        architecture: Class of the model in such a folder.
        prefix: Of the names of the model's weights.

    Raises:
        CheckpointError: If there is none, or it is damaged or something else.
    """
    if not source.is_dir():
        return checkpoint_weights(source)
    model = load_model(architecture, str(source)).state_dict()
    head = temporal_head_weights(source)
    return {prefix + name: weight for name, weight in model.items()} | {
        f"temporal_head.{name}": weight for name, weight in head.items()
    }


def checkpoint_weights(file: Path) -> dict[str, Tensor]:
    """Encoder weights of a checkpoint, by the names that `VideoCLIP.state_dict` gives; nothing else of it is used.

    Args:
        file: Checkpoint that training wrote, with this version or an earlier one.

    Raises:
        CheckpointError: If it is missing, damaged or something else.
    """
    if not file.is_file():
        raise CheckpointError(
            f"There is no checkpoint {file}. Expected a file that training wrote, or a folder in HF format."
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{file} can't be read as a checkpoint of plain data ({reason}).") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if isinstance(state, dict):
        use_current_names(state)
    weights = (
        {name.removeprefix(_PREFIX): weight for name, weight in state.items() if name.startswith(_PREFIX)}
        if isinstance(state, dict)
        else {}
    )
    if not weights:
        raise CheckpointError(f"{file} is not a checkpoint of this package: it holds no weights called {_PREFIX}...")
    return weights


def refuse_other_weights(own: Mapping[str, Tensor], found: Mapping[str, Tensor], source: Path | str) -> None:
    """Makes sure that weights are for this model and all there.

    Args:
        own: Name to weight of the model.
        found: Name to weight of the source.
        source: Where they are from.

    Raises:
        CheckpointError: Naming the first of those that are not.
    """
    missing, unexpected = sorted(own.keys() - found.keys()), sorted(found.keys() - own.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"The weights of {source} are not for this model: {len(missing)} are missing and {len(unexpected)} are not "
            f"known (first: {(missing or unexpected)[0]}). {_AS_TRAINED}"
        )
    for name, weight in found.items():
        if weight.shape != own[name].shape:
            raise CheckpointError(
                f"{name} has shape {tuple(weight.shape)} in {source}, but {tuple(own[name].shape)} in this model. "
                f"{_AS_TRAINED}"
            )
