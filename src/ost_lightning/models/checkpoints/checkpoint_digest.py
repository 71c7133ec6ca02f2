"""Digests of the tensors in a checkpoint, so that contents that were damaged or exchanged are noticed.

PyTorch's archives contain checksums, but its memory-mapped loading doesn't look at them.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError

_KEY: Final = "ost_digests"
_WEIGHTS: Final = "state_dict"
_THREADS: Final = 4  # hashing releases Python's lock


def with_digests(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a checkpoint with a digest of its weights, and one of all other tensors.

    Args:
        checkpoint: Content with complete tensors, on any device.
    """
    content = {key: value for key, value in checkpoint.items() if key != _KEY}
    return {**content, _KEY: {"weights": _digest(content.get(_WEIGHTS)), "states": _digest(_states(content))}}


def without_digests(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a checkpoint as it was before `with_digests`."""
    return {key: value for key, value in checkpoint.items() if key != _KEY}


def verify_weights(checkpoint: Mapping[str, Any], file: Path | str) -> None:
    """Compares the weights in a checkpoint with their digest; checkpoints of earlier versions have none.

    Args:
        checkpoint: Content as read, with weights under the names in the file.
        file: File for messages.

    Raises:
        CheckpointError: If they differ.
    """
    weights = checkpoint.get(_WEIGHTS)
    if (expected := _expected(checkpoint, "weights")) is not None and _digest(weights) != expected:
        damaged = [name for name, value in _tensors(weights, "") if not bool(value.isfinite().all())]
        finite = f" (some are not finite: NaN or infinity in {damaged[0].removeprefix('/')})" if damaged else ""
        raise CheckpointError(_message(file, f"weights{finite}"))


def verify_states(checkpoint: Mapping[str, Any], file: Path | str) -> None:
    """Compares all other tensors in a checkpoint, such as the optimizer's, with their digest; see `verify_weights`."""
    if (expected := _expected(checkpoint, "states")) is not None and _digest(_states(checkpoint)) != expected:
        raise CheckpointError(_message(file, "states of the optimizer or of callbacks"))


def _expected(checkpoint: Mapping[str, Any], part: str) -> str | None:
    digests = checkpoint.get(_KEY)
    return digests.get(part) if isinstance(digests, Mapping) else None


def _message(file: Path | str, what: str) -> str:
    return (
        f"The checkpoint {file} was changed after training wrote it: its {what} don't match their digest. The file is "
        f"damaged, or was edited: use another copy or checkpoint. If the change is intended, delete the key {_KEY} "
        "from the checkpoint."
    )


def _states(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in checkpoint.items() if key not in (_WEIGHTS, _KEY)}


@torch.no_grad()
def _digest(content: object) -> str:
    """Returns a digest of the names, types, shapes and values of all tensors in nested containers."""
    found = sorted(_tensors(content, ""), key=lambda entry: entry[0])
    digest = blake2b(digest_size=16)
    with ThreadPoolExecutor(_THREADS) as pool:
        for (name, tensor), values in zip(found, pool.map(_digest_of_values, (t for _, t in found)), strict=True):
            digest.update(f"{name}={tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(values)
    return digest.hexdigest()


def _digest_of_values(tensor: Tensor) -> bytes:
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return blake2b(values.data, digest_size=16).digest()


def _tensors(content: object, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield path, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _tensors(value, f"{path}/{key}")
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from _tensors(value, f"{path}/{index}")
