"""Reading checkpoints that others wrote, as data: no code that they carry is ever run.

A `.pt` or `.pth` file is a pickle, and a pickle can ask Python to call anything. Checkpoints go through
`torch.load(weights_only=True)` with one addition to what that allows; TorchScript archives are refused.
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

# OST and ViFi-CLIP keep their whole configuration beside the weights: a dictionary, as an OrderedDict is
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
# numbers in the vision tower's position embedding, patches and class token times width: the size of its file within
# an archive (2 or 4 bytes per number) tells which of OpenAI's models it is, without unpickling anything
_POSITIONS: Final = {
    "openai/clip-vit-base-patch32": (7 * 7 + 1) * 768,
    "openai/clip-vit-base-patch16": (14 * 14 + 1) * 768,
    "openai/clip-vit-large-patch14": (16 * 16 + 1) * 1024,
    "openai/clip-vit-large-patch14-336": (24 * 24 + 1) * 1024,
}


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, mapped from the file instead of copied.

    Args:
        file: A state dictionary, by itself or under `model`, `state_dict` or `model_state_dict`.

    Raises:
        CheckpointError: If there is no such file, it is damaged, has no weights, asks for code to be run, or is a
            TorchScript archive.
    """
    if not file.is_file():
        raise CheckpointError(f"There is no checkpoint {file}.")
    zipped = zipfile.is_zipfile(file)
    try:
        if zipped and _is_torchscript(file):
            raise CheckpointError(_torchscript_refusal(file))
        with torch.serialization.safe_globals(_ALLOWED):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except CheckpointError:
        raise
    except _DAMAGED as error:
        raise CheckpointError(_why_unreadable(file, error)) from error
    return _state_dictionary(content, file)


def _state_dictionary(content: Any, file: Path) -> dict[str, Tensor]:
    candidates = [content[key] for key in _WEIGHTS if isinstance(content, Mapping) and key in content]
    for candidate in [*candidates, content]:
        if isinstance(candidate, Mapping):
            tensors = {str(name): value for name, value in candidate.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
    raise CheckpointError(
        f"{file} has no weights. Expected a dictionary of tensors, by itself or under one of: {', '.join(_WEIGHTS)}."
    )


def _why_unreadable(file: Path, error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError) and (found := _REFUSED.search(str(error))):
        return _refusal(file, next(name for name in found.groups() if name))
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{file} can't be read as a PyTorch checkpoint: it is damaged or something else ({first[:200]})."


def _refusal(file: Path, name: str) -> str:
    return (
        f"{file} asks for Python's `{name}` when it is read, which is no part of a checkpoint's tensors: it is "
        "refused, and nothing of it has been run. If you trust its origin, save its weights alone "
        "(torch.save(checkpoint['model'], ...)) where it was made."
    )


def _is_torchscript(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript_refusal(file: Path) -> str:
    """Why a TorchScript archive is not read, with the hub id of the same weights where it is OpenAI's CLIP."""
    with zipfile.ZipFile(file) as archive:
        sizes = {entry.file_size for entry in archive.infolist()}
    found = [hub_id for hub_id, positions in _POSITIONS.items() if sizes & {2 * positions, 4 * positions}]
    which = found[0] if len(found) == 1 else f"one of {', '.join(_POSITIONS)}"
    return (
        f"{file} is a TorchScript archive, which holds code and is not read. The weights of OpenAI's archives are on "
        f"the Hugging Face hub: set video_clip.pretrained to {which} instead of converting. If the archive is someone "
        "else's, save its tensors alone where it was made (torch.save(module.state_dict(), ...))."
    )
