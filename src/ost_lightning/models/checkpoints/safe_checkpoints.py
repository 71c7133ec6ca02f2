"""Reading checkpoints that others wrote, as data: no code that they carry is ever run.

A `.pt` or `.pth` file is a pickle, and a pickle can ask Python to call anything. Plain checkpoints go through
`torch.load(weights_only=True)` with one addition to what that allows; TorchScript archives, which it refuses, through
an unpickler that knows tensors and turns every scripted module into a bag of attributes.
"""

import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
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
_TYPES: Final = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}
_LOCAL_HEADER: Final = struct.Struct("<26xHH")


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, mapped from the file instead of copied.

    Args:
        file: A state dictionary, by itself or under `model`, `state_dict` or `model_state_dict`; or a TorchScript
            archive, as OpenAI's CLIP is.

    Raises:
        CheckpointError: If there is no such file, it is damaged, has no weights, or asks for code to be run.
    """
    if not file.is_file():
        raise CheckpointError(f"There is no checkpoint {file}.")
    zipped = zipfile.is_zipfile(file)
    try:
        if zipped and _is_torchscript(file):
            return dict(_leaves(_read_torchscript(file)))
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


class ScriptedModule:
    """What is left of a module in a TorchScript archive: its attributes, without its code."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _is_torchscript(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read_torchscript(file: Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        (root,) = {name.split("/")[0] for name in archive.namelist() if name.count("/") == 1 and "data.pkl" in name}
        with archive.open(f"{root}/data.pkl") as stream:
            return _TensorUnpickler(stream, file, archive, root).load()


class _TensorUnpickler(pickle.Unpickler):
    """Builds tensors and `ScriptedModule`s; everything else that a pickle could name is refused."""

    def __init__(self, stream: Any, file: Path, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream)
        self._file, self._archive, self._root = file, archive, root
        self._bytes = torch.UntypedStorage.from_file(str(file), False, file.stat().st_size)

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return ScriptedModule
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # made anew, because a pickle can set attributes of what it gets
            return lambda numbers, *place: torch.empty(0, dtype=numbers[1]).set_(numbers[0], *place[:3])
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and (name.startswith("build_") or name == "restore_type_tag"):
            return lambda value, *_: value
        if module == "torch" and name in _TYPES:
            return name
        raise CheckpointError(_refusal(self._file, f"{module}.{name}"))

    def persistent_load(self, pid: Any) -> tuple[torch.UntypedStorage, torch.dtype]:
        """The numbers of one storage, mapped, and their type."""
        _, kind, key, _, _ = pid
        entry = self._archive.getinfo(f"{self._root}/data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{entry.filename} is compressed")
        start = entry.header_offset + _LOCAL_HEADER.size
        start += sum(_LOCAL_HEADER.unpack(bytes(self._bytes[entry.header_offset : start].tolist())))
        numbers, dtype = self._bytes[start : start + entry.file_size], _TYPES[kind]
        return numbers if numbers.data_ptr() % dtype.itemsize == 0 else numbers.clone(), dtype


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Tensors of nested modules with dotted names."""
    for name, value in vars(node).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, ScriptedModule):
            yield from _leaves(value, f"{prefix}{name}.")
