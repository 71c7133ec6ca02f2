"""Class names as a tensor, so that they are saved wherever weights are."""

import json
from collections.abc import Sequence

import torch
from torch import Tensor


def class_names_as_tensor(names: Sequence[str]) -> Tensor:
    """Returns names as JSON in UTF-8, uint8 (n,)."""
    return torch.tensor(list(json.dumps(list(names)).encode()), dtype=torch.uint8)


def class_names_in(written: Tensor | None) -> tuple[str, ...]:
    """Returns the names in such a tensor; none of None or an empty one.

    Raises:
        ValueError: If the tensor is damaged.
    """
    return tuple(json.loads(bytes(written.tolist()))) if written is not None and len(written) else ()
