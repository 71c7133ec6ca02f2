"""Reads untrusted checkpoints as data: code in them is never executed.

A `.pt` or `.pth` file is a pickle, and unpickling can execute arbitrary code. Checkpoints are read with
`torch.load(weights_only=True)`, which here allows one additional class; TorchScript archives are rejected.
"""

import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError

# OST and ViFi-CLIP store their configuration beside the weights; it is read as an OrderedDict, so yacs isn't needed
_ALLOWED: Final[list[Any]] = [(OrderedDict, "yacs.config.CfgNode")]
_WEIGHTS: Final = ("model", "state_dict", "model_state_dict")
_DAMAGED: Final = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)
_REFUSED: Final = re.compile(r"GLOBAL ([\w.]+)|global(?:\s|:)+([\w.]+)|find_class ([\w.]+)|class ([\w.]+)")
# elements of the vision tower's position embedding, (patches + class token) * width: its file size within an archive
# (2 or 4 bytes per element) identifies OpenAI's model without unpickling anything
_POSITIONS: Final = {
    "openai/clip-vit-base-patch32": (7 * 7 + 1) * 768,
    "openai/clip-vit-base-patch16": (14 * 14 + 1) * 768,
    "openai/clip-vit-large-patch14": (16 * 16 + 1) * 1024,
    "openai/clip-vit-large-patch14-336": (24 * 24 + 1) * 1024,
}


def read_weights(file: Path) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint by name, memory-mapped from the file.

    Args:
        file: Checkpoint with a state dictionary at its top level or under `model`, `state_dict` or
            `model_state_dict`.

    Raises:
        CheckpointError: If the file is missing, is damaged, contains no weights, tries to execute code, or is a
            TorchScript archive.
    """
    return _state_dictionary(_content(file), file)


def read_frame_count(file: Path) -> int | None:
    """Reads the frames per clip from the configuration that OST and ViFi-CLIP store; None if there is none.

    Args:
        file: Checkpoint that `read_weights` can read.
    """
    content = _content(file)
    config = content.get("config") if isinstance(content, Mapping) else None
    data = config.get("DATA") if isinstance(config, Mapping) else None
    frames = data.get("NUM_FRAMES") if isinstance(data, Mapping) else None
    return frames if isinstance(frames, int) and frames > 0 else None


def _content(file: Path) -> Any:
    if not file.is_file():
        raise CheckpointError(f"There is no checkpoint {file}.")
    zipped = zipfile.is_zipfile(file)
    try:
        if zipped and _is_torchscript(file):
            raise CheckpointError(_torchscript_message(file))
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except CheckpointError:
        raise
    except _DAMAGED as error:
        raise CheckpointError(_unreadable_message(file, error)) from error


def _state_dictionary(content: Any, file: Path) -> dict[str, Tensor]:
    candidates = [content[key] for key in _WEIGHTS if isinstance(content, Mapping) and key in content]
    for candidate in [*candidates, content]:
        if isinstance(candidate, Mapping):
            tensors = {str(name): value for name, value in candidate.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
    raise CheckpointError(
        f"{file} contains no weights: expected a dictionary of tensors at the top level or under one of "
        f"{', '.join(_WEIGHTS)}."
    )


def _unreadable_message(file: Path, error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and (found := _REFUSED.search(str(error))):
        return _unsafe_message(file, next(name for name in found.groups() if name))
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{file} can't be read as a PyTorch checkpoint: it is damaged or has a different format ({first[:200]})."


def _unsafe_message(file: Path, name: str) -> str:
    return (
        f"{file} would call Python's `{name}` when it is loaded, which tensors don't need. It was rejected, and none "
        "of its code was executed. If you trust its origin, save only its weights (torch.save(checkpoint['model'], "
        "...)) in the environment that wrote it."
    )


def _is_torchscript(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript_message(file: Path) -> str:
    """Explains why a TorchScript archive is rejected; for OpenAI's CLIP, names the hub id with the same weights."""
    with zipfile.ZipFile(file) as archive:
        sizes = {entry.file_size for entry in archive.infolist()}
    found = [hub_id for hub_id, positions in _POSITIONS.items() if sizes & {2 * positions, 4 * positions}]
    hub_ids = found[0] if len(found) == 1 else f"one of {', '.join(_POSITIONS)}"
    return (
        f"{file} is a TorchScript archive, which contains code and is not loaded. The weights of OpenAI's archives are "
        f"on the Hugging Face hub: set video_clip.pretrained to {hub_ids} instead of converting. For any other "
        "archive, save only its tensors (torch.save(module.state_dict(), ...)) in the environment that wrote it."
    )
