"""A check for weights that are NaN or infinite, as left by a training that diverged or by a damaged file."""

import torch
from torch import nn

from ost_lightning.errors import NonFiniteError


@torch.no_grad()
def require_finite_weights(module: nn.Module) -> None:
    """Checks all parameters of a module, with a single host-device synchronization.

    Args:
        module: Module on any device.

    Raises:
        NonFiniteError: If a weight is NaN or infinite; it names the first parameter that has one.
    """
    parameters = dict(module.named_parameters())
    if not parameters:
        return
    finite = torch.stack([parameter.isfinite().all() for parameter in parameters.values()]).tolist()
    damaged = [name for name, is_finite in zip(parameters, finite, strict=True) if not is_finite]
    if damaged:
        first = parameters[damaged[0]]
        raise NonFiniteError(
            f"The weights are not finite: {damaged[0]} has {int((~first.isfinite()).sum())} NaN or infinite of "
            f"{first.numel()} values{f', and {len(damaged) - 1} other parameters have some' if damaged[1:] else ''}. "
            "The training diverged, or the file was damaged: use an earlier checkpoint, or train again with a lower "
            "learning rate."
        )
