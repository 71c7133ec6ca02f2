"""Access to the layers of an encoder's towers, for learned vectors that join their tokens (prompts)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ost_lightning.models.encoders.base import TowerName
from ost_lightning.models.encoders.towers.end_token import packed_states, states_at
from ost_lightning.models.encoders.towers.packed import packed_for_sentences


@dataclass(frozen=True, slots=True)
class TowerShape:
    """Sizes of a tower that prompts depend on.

    Attributes:
        width: Number of channels of a token, D.
        layers: Number of transformer layers.
        heads: Number of attention heads.
        positions: Largest number of tokens, the class token or start and end token included.
        patch_size: Side of a patch in pixels; 0 for a text tower.
    """

    width: int
    layers: int
    heads: int
    positions: int
    patch_size: int = 0


class TokenPrompter(Protocol):
    """Source of the vectors that join the tokens of a vision tower."""

    def place(self, tokens: Tensor, frames: int) -> Tensor:
        """Changes the embedded tokens of all frames before the first layer norm.

        Args:
            tokens: Tokens with CLIP's position embeddings, (B T, L, D), frames of a clip in a row.
            frames: T, number of frames per clip.

        Returns:
            (B T, L, D).
        """

    def prompts(self, layer: int, class_tokens: Tensor) -> Tensor:
        """Returns the vectors that join the tokens of a layer, which drops them again.

        Args:
            layer: Index of the layer, from 0.
            class_tokens: Class token of each frame in front of the layer, (B T, D), frames of a clip in a row.

        Returns:
            (B T, n, D).
        """


class LayerRunner(Protocol):
    """What runs the layers of a vision tower in its own way."""

    def __call__(self, tokens: Tensor, layers: Sequence[Any], /) -> Tensor:
        """Runs all layers.

        Args:
            tokens: Tokens of each frame in front of the first layer, the class token first, (B, T, 1 + P, D).
            layers: Layers from input to output. The last one may be made for the class token alone.

        Returns:
            Class tokens after the last layer, (B, T, D).
        """


class PromptableEncoder(ABC):
    """An encoder whose towers can be run layer by layer, and with vectors that join their tokens.

    Attributes:
        promptable_towers: Towers that take such vectors.
    """

    promptable_towers: ClassVar[frozenset[TowerName]] = frozenset({"vision", "text"})

    @abstractmethod
    def tower_shape(self, name: TowerName) -> TowerShape:
        """Returns the sizes of one tower."""

    @abstractmethod
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Maps token ids (n, L) to token embeddings (n, L, W), without position embeddings."""

    @abstractmethod
    def encode_embedded_tokens(self, embedded: Tensor, ends: Tensor) -> Tensor:
        """Embeds sentences that are given as token embeddings.

        Args:
            embedded: Token embeddings without position embeddings, (n, L, W).
            ends: Position of each sentence's end token, at which the tower is read, int64 (n,).

        Returns:
            (n, d), not normalized.
        """

    @abstractmethod
    def encode_with_states(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embeds images, and returns the tokens of the vision tower after each layer.

        Args:
            pixels: Normalized pixels, fp32 (n, 3, S, S).

        Returns:
            Embeddings (n, d), not normalized, and the tokens of each layer, class token first, (n, 1 + P, D).
        """

    @abstractmethod
    def encode_prompted_clips(self, pixels: Tensor, prompter: TokenPrompter) -> Tensor:
        """Embeds clips with vectors that join the tokens of every layer.

        Args:
            pixels: Normalized pixels, fp32 (B, T, 3, S, S).
            prompter: Source of these vectors.

        Returns:
            (B, T, d), not normalized.
        """

    @abstractmethod
    def encode_clips_with(self, pixels: Tensor, run: LayerRunner) -> Tensor:
        """Embeds clips, with the layers of the vision tower run by a function.

        Args:
            pixels: Normalized pixels, fp32 (B, T, 3, S, S).
            run: What runs the layers.

        Returns:
            (B, T, d), not normalized.
        """


def run_layer(layer: nn.Module, states: Tensor, mask: Tensor | None = None) -> Tensor:
    """Runs one transformer layer, whose activations are recomputed if gradient checkpointing is on.

    Transformers recomputes activations in training mode only. Frozen towers are in evaluation mode, but gradients of
    prompts pass through them.

    Args:
        layer: Layer of a Hugging Face tower.
        states: Tokens, (n, L, D).
        mask: Mask that is added to the attention scores, (1, 1, L, L); None for no mask.

    Returns:
        (n, L, D).
    """
    recomputed = getattr(layer, "gradient_checkpointing", False) and not layer.training
    if recomputed and torch.is_grad_enabled():
        states = checkpoint(layer, states, mask, use_reentrant=False)
    else:
        states = layer(states, mask)
    return states


def causal_mask(states: Tensor) -> Tensor:
    """Returns the mask with which tokens (n, L, D) attend to themselves and those before, (1, 1, L, L)."""
    length = states.shape[1]
    return torch.full((1, 1, length, length), float("-inf"), dtype=states.dtype, device=states.device).triu(1)


def run_text_tower(text: Any, embedded: Tensor, ends: Tensor) -> Tensor:
    """Runs CLIP's causal text tower on token embeddings (n, L, W); returns the states at the ends (n,), (n, W)."""
    states = text.embeddings(inputs_embeds=embedded)
    packed = packed_for_sentences(text, states)
    if packed is not None:
        return packed_states(packed, text, states, ends.to(states.device))
    mask = causal_mask(states)
    for layer in text.encoder.layers:
        states = run_layer(layer, states, mask)
    return states_at(ends, text.final_layer_norm(states))


def run_vision_tower(vision: Any, pixels: Tensor, prompter: TokenPrompter) -> Tensor:
    """Runs CLIP's vision tower on clips (B, T, 3, S, S) with prompts; returns the class tokens, (B T, D)."""
    tokens = vision.pre_layrnorm(prompter.place(vision.embeddings(pixels.flatten(0, 1)), pixels.shape[1]))
    for index, layer in enumerate(vision.encoder.layers):
        length = tokens.shape[1]
        prompted = torch.cat([tokens, prompter.prompts(index, tokens[:, 0])], dim=1)
        tokens = run_layer(layer, prompted)[:, :length]
    class_tokens: Tensor = vision.post_layernorm(tokens[:, 0])
    return class_tokens
