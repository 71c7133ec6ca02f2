"""Reads untrusted checkpoints as data: code in them is never executed.

A `.pt`, `.pth` or `.ckpt` file is a pickle, and unpickling can execute arbitrary code. `load_as_data` is the only place
that reads one, with `torch.load(weights_only=True)`. No setting changes that.
"""

import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError
from ost_lightning.models.unreadable_weights import DAMAGED, problem_in

# OST and ViFi-CLIP store their configuration beside the weights; it is read as an OrderedDict, so yacs isn't needed
_ALLOWED: Final[list[Any]] = [(OrderedDict, "yacs.config.CfgNode")]
_WEIGHTS: Final = ("model", "state_dict", "model_state_dict", "model_state")
# ActionCLIP saves its temporal head beside the weights of its CLIP, in a dictionary of its own
_HEADS: Final = {"fusion_model_state_dict": "fusion_model."}
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(:|//)")
_FILE_URL: Final = re.compile(r"file:(//localhost)?/+", re.IGNORECASE)
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
        file: Checkpoint with a state dictionary at its top level or under `model`, `state_dict`, `model_state_dict` or
            `model_state`. Tensors under `fusion_model_state_dict` get the prefix `fusion_model.`.

    Raises:
        CheckpointError: If the file is missing, is damaged, contains no weights, tries to execute code, or is a
            TorchScript archive.
    """
    return _state_dictionary(load_as_data(file, allowed=_ALLOWED), file)


def read_frame_count(file: Path) -> int | None:
    """Reads the frames per clip from the configuration that OST and ViFi-CLIP store; None if there is none.

    Args:
        file: Checkpoint that `read_weights` can read.
    """
    content = load_as_data(file, allowed=_ALLOWED)
    config = content.get("config") if isinstance(content, Mapping) else None
    data = config.get("DATA") if isinstance(config, Mapping) else None
    frames = data.get("NUM_FRAMES") if isinstance(data, Mapping) else None
    return frames if isinstance(frames, int) and frames > 0 else None


def local_file(checkpoint: str | Path) -> Path:
    """Returns the path of a checkpoint that is given as a path or a `file:` URL.

    Raises:
        CheckpointError: If it is the URL of another machine; those are not read, because a file can be checked first.
    """
    text = str(checkpoint)
    if found := _FILE_URL.match(text):
        literal = Path("/" + text[found.end() :])
        return literal if literal.exists() else Path(unquote(str(literal)))
    if _URL.match(text):
        raise CheckpointError(
            f"The checkpoint {text} is a URL, and checkpoints are read from local files only. Download it first, and "
            "give the path of the file."
        )
    return Path(checkpoint)


def load_as_data(
    file: Path,
    map_location: str | Callable[..., Any] | None = "cpu",
    *,
    mmap: bool = True,
    allowed: Sequence[Any] = (),
) -> Any:
    """Reads a file that `torch.save` wrote: tensors and plain values. Code in it is not executed, but refused.

    Args:
        file: Checkpoint.
        map_location: Device for the tensors, as for `torch.load`.
        mmap: Whether tensors are memory-mapped from the file, if its format allows that.
        allowed: Additional classes, as for `torch.serialization.safe_globals`.

    Raises:
        CheckpointError: If the file is missing, damaged or a TorchScript archive, or if it tries to execute code.
    """
    if not file.is_file():
        raise CheckpointError(f"There is no checkpoint {file}.")
    try:
        zipped = zipfile.is_zipfile(file)
        if zipped and _is_torchscript(file):
            raise CheckpointError(_torchscript_message(file))
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(file, map_location=map_location, weights_only=True, mmap=mmap and zipped)
    except DAMAGED as error:
        raise CheckpointError(f"{file} can't be read as a checkpoint: {problem_in(error)}") from error


def _state_dictionary(content: Any, file: Path) -> dict[str, Tensor]:
    candidates = [content[key] for key in _WEIGHTS if isinstance(content, Mapping) and key in content]
    for candidate in [*candidates, content]:
        if isinstance(candidate, Mapping):
            tensors = {str(name): value for name, value in candidate.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors | _heads(content)
    raise CheckpointError(
        f"{file} contains no weights: expected a dictionary of tensors at the top level or under one of "
        f"{', '.join(_WEIGHTS)}."
    )


def _heads(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the tensors of modules that are saved beside the weights, under names that no other tensor has."""
    return {
        prefix + str(name).removeprefix("module."): value
        for key, prefix in _HEADS.items()
        for name, value in (content[key].items() if isinstance(content.get(key), Mapping) else ())
        if isinstance(value, Tensor)
    }


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
