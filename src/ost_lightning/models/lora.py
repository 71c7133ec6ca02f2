"""Low-rank adapters (LoRA, Hu et al., ICLR 2022) in an encoder's towers, inserted with peft."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.models.checkpoints.initial_weights import checkpoint_weights
from ost_lightning.models.encoders import TOWERS, DualEncoder
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
        UserError: If peft is not installed, the encoder is for evaluation only, or no layer of the towers has one of
            the names.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError("LoRA needs peft: install it with `pip install 'ost-lightning[lora]'`.") from error
    if not encoder.trainable:
        raise UserError(f"LoRA trains a model, but {encoder.model_type} is for evaluation only: use VideoCLIP.")
    temperature = [parameter for parameter in encoder.logit_parameters if parameter.requires_grad]
    names = {module: name for name, module in encoder.model.named_modules()}
    adapted = TOWERS if settings.towers == "both" else (settings.towers,)
    towers = [encoder.tower(tower) for tower in adapted]
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(
            rf"{re.escape(names[tower.layers])}\..*\.({'|'.join(settings.layers or tower.attention)})"
            for tower in towers
        ),
    )
    try:
        inject_adapter_in_model(config, encoder.model)
    except ValueError as error:
        raise UserError(
            f"No layer of the {settings.towers} tower is called {' or '.join(settings.layers or ())}: set lora.layers "
            f"to names of linear layers, such as {', '.join(towers[0].attention)}, or null for these."
        ) from error
    for parameter in temperature:
        parameter.requires_grad_(True)


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
    """Returns a plain Hugging Face model with the adapters merged into its weights; the argument is unchanged."""
    from peft.tuners.lora import Linear

    deltas = {
        f"{name}.weight": module.get_delta_weight("default")
        for name, module in adapted.named_modules()
        if isinstance(module, Linear)
    }
    state: dict[str, Any] = {}
    for name, weight in adapted.state_dict().items():
        if _UP not in name and _DOWN not in name:
            plain = name.replace(_BASE, "")
            state[plain] = weight + deltas[plain] if plain in deltas else weight
    model = type(adapted)(deepcopy(adapted.config))
    model.load_state_dict(state)
    return model
