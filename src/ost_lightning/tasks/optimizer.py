"""AdamW with parameter groups, and the learning-rate schedule that they share."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from ost_lightning.errors import UserError
from ost_lightning.models import DualEncoder, matching_names
from ost_lightning.models.encoders import TOWERS
from ost_lightning.tasks.schedules import Schedule, held_step, learning_rate_factor


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of AdamW and its schedule.

    Attributes:
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of matrices; by default, vectors and scalars (biases, norms, the temperature) have
            none.
        weight_decay_on_all: Whether vectors and scalars have weight decay too, as in the released code.
        no_weight_decay: Patterns of the names of further weights without weight decay, such as `*position_embedding*`.
        betas: Decay rates of AdamW's two moments.
        eps: Term that AdamW adds to the denominator.
        schedule: Name of the learning-rate schedule; see `learning_rate_factor`.
        warmup_fraction: Fraction of training that is warm-up, 0 to 1.
        warmup_start_fraction: Fraction of the peak at the first step of warm-up, 0 to 1.
        min_lr_fraction: Fraction of the peak at which cosine schedules end, 0 to 1.
        hold_rate_for: Number of steps for which a rate is held, 10 in TACO; see `held_step`. 1 sets it at every step.
        new_module_lr_multiplier: Multiplier of the learning rate for modules that were not pre-trained (temporal heads,
            learned matchers).
        layer_decay: Multiplier of the learning rate per layer between a weight and its tower's output, 0 to 1; the
            embeddings count as below the first layer. 1 gives all layers the same rate (Bao et al., ICLR 2022).
        fused: Whether to use the fused implementation of AdamW; None for yes if all weights are on a GPU.
    """

    learning_rate: float = 8e-6
    weight_decay: float = 1e-3
    weight_decay_on_all: bool = False
    no_weight_decay: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    schedule: Schedule = "cosine_after_warmup"
    warmup_fraction: float = 0.1
    warmup_start_fraction: float = 0.0
    min_lr_fraction: float = 0.01
    hold_rate_for: int = 1
    new_module_lr_multiplier: float = 1.0
    layer_decay: float = 1.0
    fused: bool | None = None


def optimizer_and_schedule(
    named_parameters: Iterable[tuple[str, Parameter]],
    settings: OptimizerSettings,
    steps: int,
    encoder: DualEncoder | None = None,
    steps_of_epoch: int | None = None,
) -> OptimizerLRScheduler:
    """Returns AdamW and its schedule, which is updated at every step.

    Args:
        named_parameters: All weights of the task by name; frozen ones are ignored.
        settings: Optimizer and schedule settings.
        steps: Number of optimizer steps of the training run.
        encoder: Pre-trained part of the task; all other weights count as new.
        steps_of_epoch: Number of optimizer steps of an epoch, after which a held rate is set again; None for `steps`.

    Raises:
        UserError: If all weights are frozen, a pattern matches no trained weight, or rates are held for no step.
    """
    if settings.hold_rate_for < 1:
        raise UserError(f"optimizer.hold_rate_for is {settings.hold_rate_for}: expected at least 1 step.")
    named = {parameter: name for name, parameter in named_parameters if parameter.requires_grad}
    trained = list(named)
    if not trained:
        raise UserError("There is nothing to train: all weights are frozen. Unfreeze a tower, or add a temporal head.")
    factors = layer_factors(encoder, settings.layer_decay) if encoder is not None else {}
    exempt = set(matching_names(named.values(), settings.no_weight_decay, "optimizer.no_weight_decay"))
    groups: defaultdict[tuple[float, float], list[Parameter]] = defaultdict(list)
    for parameter in trained:
        factor = factors.get(parameter, settings.new_module_lr_multiplier)
        decays = (parameter.ndim > 1 or settings.weight_decay_on_all) and named[parameter] not in exempt
        groups[settings.learning_rate * factor, settings.weight_decay if decays else 0.0].append(parameter)
    on_gpu = all(parameter.is_cuda for parameter in trained)
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
        optimizer,
        lambda step: learning_rate_factor(
            settings.schedule,
            held_step(step, steps_of_epoch or max(1, steps), settings.hold_rate_for),
            steps,
            settings.warmup_fraction,
            settings.min_lr_fraction,
            settings.warmup_start_fraction,
        ),
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def layer_factors(encoder: DualEncoder, decay: float) -> dict[Parameter, float]:
    """Returns the learning-rate multiplier of each pre-trained weight: `decay` to the power of the layers above it.

    Args:
        encoder: Encoder, whose weights outside the towers' layers and embeddings have the multiplier 1. Weights that
            were added to the pre-trained model are left out.
        decay: Multiplier per layer, 0 to 1.
    """
    factors = dict.fromkeys(encoder.parameters(), 1.0)
    for name in TOWERS:
        tower = encoder.tower(name)
        depth = len(tower.layers)
        factors |= dict.fromkeys(tower.embedding_parameters, decay ** (depth + 1))
        for index, layer in enumerate(tower.layers):
            factors |= dict.fromkeys(layer.parameters(), decay ** (depth - index))
    added = set(encoder.added_parameters)
    return {parameter: factor for parameter, factor in factors.items() if parameter not in added}
