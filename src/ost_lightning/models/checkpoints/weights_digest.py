"""A digest that identifies weights."""

from hashlib import blake2b

import torch
from torch import nn


@torch.no_grad()
def weights_digest(module: nn.Module) -> str:
    """Returns a digest of the values of all parameters, independent of where they were loaded from.

    Args:
        module: Module on any device.

    Returns:
        32 hexadecimal digits.
    """
    digest = blake2b(digest_size=16)
    for name, parameter in sorted(module.named_parameters()):
        digest.update(f"{name}={parameter.dtype}{tuple(parameter.shape)}".encode())
        digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
