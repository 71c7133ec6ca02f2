"""Low-rank adapters (LoRA, Hu et al., ICLR 2022) in an encoder's towers, inserted with peft."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.models.checkpoints.initial_weights import checkpoint_weights
from ost_lightning.models.encoders import TOWERS, DualEncoder, TowerName
from ost_lightning.models.video_clip import VideoCLIP

_BASE: Final = ".base_layer"
_DOWN: Final = ".lora_A."
_UP: Final = ".lora_B."


@dataclass(frozen=True)
class LoRA:
    """Settings of the adapters: W x becomes W x + (alpha / rank) B A x, with W frozen and B starting at zero.

    Attributes:
        rank: Rank of the product B A.
        alpha: Scale of the product, before it is divided by the rank.
        dropout: Dropout probability on the adapters' input.
        towers: Towers that get adapters; all other weights except the temperature of the logits are frozen.
        layers: Names of the linear layers that get adapters; None for those of attention, whose names depend on the
            kind of encoder.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    towers: Literal["vision", "text", "both"] = "both"
    layers: tuple[str, ...] | None = None


class AdaptedVideoCLIP(VideoCLIP):
    """A `VideoCLIP` that trains only low-rank adapters, the temperature and a temporal head.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`; see `VideoCLIP`.
        lora: Settings of the adapters.
        init_from: Initial weights: a checkpoint that training wrote (`.ckpt`) or a folder in HF format; see
            `VideoCLIP`. If a checkpoint contains adapters, their training continues; otherwise new adapters are added
            to its weights.
        options: Other arguments of `VideoCLIP`.
    """

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        lora: LoRA = LoRA(),  # frozen
        init_from: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pretrained, **options)
        self.init_from = init_from
        adapted = init_from is not None and _has_adapters(init_from)
        if init_from is not None and not adapted:
            self._load_initial_weights(init_from)
        add_adapters(self.encoder, lora)
        if init_from is not None and adapted:
            self._load_initial_weights(init_from)
        if init_from is not None:
            self._logit_scale.apply(self.encoder)

    def _with_encoder_names(self, plain: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adds adapters with B = 0 to the plain weights, so that mixing with them scales the adapters' effect."""
        return with_zero_adapters(plain, dict(self.encoder.model.named_parameters()))

    def save_pretrained(self, folder: Path) -> None:
        """Writes a plain model with the adapters merged into its weights."""
        adapted = self.encoder.model
        self.encoder.model = merge_adapters(adapted)
        try:
            super().save_pretrained(folder)
        finally:
            self.encoder.model = adapted


def add_adapters(encoder: DualEncoder, settings: LoRA) -> None:
    """Adds adapters to the layers of an encoder, and freezes everything else except the temperature.

    Raises:
        UserError: If peft is not installed, the encoder is for evaluation only, or no layer of a tower has one of the
            names.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError("LoRA needs peft: install it with `pip install 'ost-lightning[lora]'`.") from error
    if not encoder.trainable:
        raise UserError(f"LoRA trains a model, but {encoder.model_type} is for evaluation only: use VideoCLIP.")
    temperature = [parameter for parameter in encoder.logit_parameters if parameter.requires_grad]
    targets: list[str] = []
    for tower in TOWERS if settings.towers == "both" else (settings.towers,):
        wanted, linear = settings.layers or encoder.tower(tower).attention, _linear_layers(encoder, tower)
        found = [name for name in linear if any(f".{name}".endswith(f".{layer}") for layer in wanted)]
        if not found:
            choice = sorted({name.rpartition(".")[2] for name in linear})
            raise UserError(
                f"No layer of the {tower} tower is called {' or '.join(wanted)}: set lora.layers to names of its "
                f"linear layers ({', '.join(choice)})."
            )
        targets += found
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(map(re.escape, targets)),
    )
    inject_adapter_in_model(config, encoder.model)
    for parameter in temperature:
        parameter.requires_grad_(True)


def _linear_layers(encoder: DualEncoder, tower: TowerName) -> list[str]:
    """Returns the names of the linear layers in a tower's layers, by which the encoder's model knows them."""
    names = {module: name for name, module in encoder.model.named_modules()}
    attention = (part for part in encoder.model.modules() if isinstance(part, nn.MultiheadAttention))
    uncalled = {part.out_proj for part in attention}  # torch reads its weight, so an adapter would have no effect
    parts = (part for layer in encoder.tower(tower).layers for part in layer.modules())
    return [names[part] for part in parts if isinstance(part, nn.Linear) and part not in uncalled]


def _has_adapters(source: Path) -> bool:
    """Whether initial weights include adapters; a folder in HF format never does."""
    return not source.is_dir() and any(_UP in name for name in checkpoint_weights(source))


def with_zero_adapters(original: Mapping[str, Tensor], adapted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns pre-trained weights under the names of an adapted model, with adapters that have no effect.

    These have the tuned model's A, and B = 0. Mixing them with the tuned weights gives (1 - r) B and A, whose product
    is the mixture of the two products.

    Args:
        original: Name to weight of the pre-trained model.
        adapted: Name to weight of the adapted model; weights that `original` lacks are omitted.
    """
    weights = {}
    for name, weight in adapted.items():
        plain = name.replace(_BASE, "")
        if _UP in name:
            weights[name] = torch.zeros_like(weight)
        elif _DOWN in name:
            weights[name] = weight.detach().clone()
        elif plain in original:
            weights[name] = original[plain]
    return weights


@torch.no_grad()
def merge_adapters(adapted: Any) -> Any:
    """Returns a plain model with the adapters merged into its weights; the argument is unchanged."""
    from peft.tuners.lora import Linear

    model = deepcopy(adapted)
    for name, module in adapted.named_modules():
        if isinstance(module, Linear):
            plain = model.get_submodule(name).get_base_layer()
            plain.weight += module.get_delta_weight("default")
            model.set_submodule(name, plain)
    return model
