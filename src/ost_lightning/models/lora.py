"""Low-rank adapters (LoRA, Hu et al., ICLR 2022) in an encoder's towers, by peft."""

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
    """Adapters: W x becomes W x + (alpha / rank) B A x, with W as it was pre-trained and B beginning at zero.

    Attributes:
        rank: Rank of the product B A.
        alpha: Weight of the product, times the rank.
        dropout: Probability of dropout on the adapters' input.
        towers: Towers with adapters; everything else but the temperature of the logits is kept as it is.
        layers: Names of the linear layers that are adapted.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    towers: Literal["vision", "text", "both"] = "both"
    layers: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj")


class AdaptedVideoCLIP(VideoCLIP):
    """A `VideoCLIP` of which low-rank adapters, the temperature and a temporal head are all that is trained.

    Args:
        pretrained: As in `VideoCLIP`.
        lora: The adapters.
        init_from: As in `VideoCLIP`. A checkpoint may hold the weights of a plain model, which are then adapted, or
            adapters too, which are trained on.
        options: The other arguments of `VideoCLIP`.
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
            self._begin_with(init_from)
        add_adapters(self.encoder, lora)
        if init_from is not None and adapted:
            self._begin_with(init_from)

    def _as_own(self, plain: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Adapters that change nothing beside the plain weights: a mixture with them mixes what the adapters do."""
        return original_of(dict(self.encoder.model.named_parameters()), plain)

    def save_pretrained(self, folder: Path) -> None:
        """Writes a plain model, with the adapters added into its weights."""
        adapted = self.encoder.model
        self.encoder.model = merged(adapted)
        try:
            super().save_pretrained(folder)
        finally:
            self.encoder.model = adapted


def add_adapters(encoder: DualEncoder, settings: LoRA) -> None:
    """Puts adapters into the layers of an encoder; then they and the temperature are all that is trained.

    Raises:
        UserError: If peft is not installed, or the layers have no such parts.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError("LoRA needs peft: install it with `pip install 'ost-lightning[lora]'`.") from error
    names = {module: name for name, module in encoder.model.named_modules()}
    chosen = TOWERS if settings.towers == "both" else (settings.towers,)
    towers = "|".join(re.escape(names[encoder.tower(tower).layers]) for tower in chosen)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=rf"({towers})\..*\.({'|'.join(settings.layers)})",
    )
    try:
        inject_adapter_in_model(config, encoder.model)
    except ValueError as error:
        raise UserError(
            f"No layer of the {settings.towers} tower is called {' or '.join(settings.layers)}: set lora.layers to "
            f"names of linear layers, such as q_proj, v_proj, fc1."
        ) from error
    for parameter in encoder.logit_parameters:
        parameter.requires_grad_(True)


def _has_adapters(source: Path) -> bool:
    """Whether weights to begin with are those of an adapted model; a folder in HF format holds a plain one."""
    return not source.is_dir() and any(_UP in name for name in checkpoint_weights(source))


def original_of(adapted: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The pre-trained weights under the names of an adapted model: adapters that change nothing.

    A mixture of these with the tuned weights, (1 - r) B for B and A as it is, is the mixture of the products.

    Args:
        adapted: Name to weight of the adapted model.
        original: Name to weight of the pre-trained one; weights that it lacks are left out.
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
def merged(adapted: Any) -> Any:
    """A plain Hugging Face model with the adapters added into its weights; the given one stays as it is."""
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
