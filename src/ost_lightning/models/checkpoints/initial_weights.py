"""Weights that a training begins with, out of an earlier training's checkpoint."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError

_PREFIX: Final = "video_clip."
_AS_TRAINED: Final = "Set the model (`pretrained`, heads, adapters, matcher) as it was in the training that wrote them."


class CheckpointError(UserError):
    """Model weights are missing, incomplete or do not fit."""


def checkpoint_weights(file: Path) -> dict[str, Tensor]:
    """Encoder weights of a checkpoint, by the names that `VideoCLIP.state_dict` gives; nothing else of it is looked at.

    Args:
        file: That training wrote.

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
