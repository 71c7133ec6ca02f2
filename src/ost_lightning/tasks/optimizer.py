"""AdamW over groups of weights, and the schedule that all of them follow."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from ost_lightning.errors import UserError
from ost_lightning.tasks.schedules import Schedule, learning_rate_factor

_PRETRAINED: Final = "video_clip.clip."
_TOWER: Final = re.compile(r"\.(vision|text)_model\.(?:encoder\.layers\.(\d+)|embeddings|pre_layrnorm)\b")


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW and its schedule.

    Attributes:
        learning_rate: Peak.
        weight_decay: On matrices; biases, norms and the logit scale have none.
        weight_decay_on_all: Weight decay on those too, as in the released code.
        betas: Of AdamW.
        eps: Of AdamW.
        schedule: Course of the learning rate; see `learning_rate_factor`.
        warmup_fraction: Share of the training that is warm-up.
        new_module_lr_multiplier: Times the learning rate, for what pre-training did not have (temporal heads, learned
            matchers).
        layer_decay: Times the learning rate for each layer that lies between a weight and its tower's output, 0 to 1;
            the embeddings lie below the first layer. 1 trains all layers alike (Bao et al., ICLR 2022).
        fused: One kernel for all updates; None: where all weights are on a GPU.
    """

    learning_rate: float = 8e-6
    weight_decay: float = 1e-3
    weight_decay_on_all: bool = False
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    schedule: Schedule = "cosine_after_warmup"
    warmup_fraction: float = 0.1
    new_module_lr_multiplier: float = 1.0
    layer_decay: float = 1.0
    fused: bool | None = None


def optimizer_and_schedule(
    parameters: Iterable[tuple[str, Parameter]], settings: OptimizerSettings, steps: int
) -> OptimizerLRScheduler:
    """AdamW, with the schedule followed step by step.

    Args:
        parameters: Names, as a task gives them, and weights; frozen ones are left out.
        settings: How.
        steps: Optimizer steps of the training.

    Raises:
        UserError: If all weights are frozen.
    """
    trained = {name: parameter for name, parameter in parameters if parameter.requires_grad}
    if not trained:
        raise UserError("There is nothing to train: all weights are frozen. Unfreeze a tower, or add a temporal head.")
    factors = layer_factors(trained, settings.layer_decay)
    groups: defaultdict[tuple[float, float], list[Parameter]] = defaultdict(list)
    for name, parameter in trained.items():
        factor = factors[name] if name.startswith(_PRETRAINED) else settings.new_module_lr_multiplier
        decays = parameter.ndim > 1 or settings.weight_decay_on_all
        groups[settings.learning_rate * factor, settings.weight_decay if decays else 0.0].append(parameter)
    on_gpu = all(parameter.is_cuda for parameter in trained.values())
    optimizer = torch.optim.AdamW(
        [
            {"params": members, "lr": rate, "weight_decay": decay}
            for (rate, decay), members in sorted(groups.items(), key=itemgetter(0), reverse=True)
        ],
        betas=settings.betas,
        eps=settings.eps,
        fused=(on_gpu if settings.fused is None else settings.fused) or None,
    )
    schedule = LambdaLR(
        optimizer, lambda step: learning_rate_factor(settings.schedule, step, steps, settings.warmup_fraction)
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def layer_factors(names: Iterable[str], decay: float) -> dict[str, float]:
    """Share of the learning rate for each weight: `decay` to the number of layers above it.

    Args:
        names: Of weights; those outside the towers' layers and embeddings have a share of 1.
        decay: 0 to 1.
    """
    placed: dict[str, tuple[str, int]] = {}
    depth: defaultdict[str, int] = defaultdict(int)
    everything = list(names)
    for name in everything:
        if found := _TOWER.search(name):
            tower, layer = found[1], int(found[2]) + 1 if found[2] else 0
            placed[name] = tower, layer
            depth[tower] = max(depth[tower], layer)
    return {
        name: decay ** (depth[placed[name][0]] + 1 - placed[name][1]) if name in placed else 1.0 for name in everything
    }
