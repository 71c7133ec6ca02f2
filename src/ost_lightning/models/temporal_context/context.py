"""Context tokens of a clip, which every frame attends to in the next layer."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.models.temporal_context.merging import merge_tokens

_BIAS_STD: Final = 0.02


class TemporalContext(nn.Module):
    """Temporal contextualization: each layer hands context tokens of all frames to the next one (TC-CLIP).

    A layer picks the patches of each frame that its class token attends to most. Those of all frames are merged into
    context tokens, which pass through the layer's own MLP. In the next layer, every frame attends to them as further
    keys and values, with a learned bias per head. The first layer has no context, and the last one makes none.

    The only new weights are the biases. Frames have no positions in time. Even at the start of training, embeddings are
    not those of CLIP, because context takes a part of the attention.

    Source: Kim et al., "Leveraging temporal contextualization for video action recognition", ECCV 2024, without its
    video-conditional prompts.

    Args:
        shape: Sizes of the vision tower, filled in by `ContextualVideoCLIP`.
        seed_share: Share of a frame's patches that are merged into context, above 0 to 1.
        context_tokens: Number of context tokens per clip, k. Clips with fewer picked patches have as many as those.
        merges_per_round: Largest number of merges per round; see `merge_tokens`.

    Raises:
        UserError: If a number is out of range, or the tower has a single layer.
    """

    def __init__(
        self, shape: TowerShape, seed_share: float = 0.3, context_tokens: int = 96, merges_per_round: int = 100
    ) -> None:
        super().__init__()
        if not 0 < seed_share <= 1 or min(context_tokens, merges_per_round) < 1:
            raise UserError(
                f"video_clip.temporal_context has a seed_share of {seed_share}, {context_tokens} context_tokens and "
                f"{merges_per_round} merges_per_round: expected a share above 0 and up to 1, and at least 1 of both."
            )
        if shape.layers < 2:
            raise UserError("video_clip.temporal_context needs a vision tower with two layers or more.")
        self.seed_share, self.context_tokens, self.merges_per_round = seed_share, context_tokens, merges_per_round
        self.biases = nn.ParameterList(torch.empty(shape.heads, 2) for _ in range(shape.layers - 1))
        for bias in self.biases:
            nn.init.trunc_normal_(bias, std=_BIAS_STD)

    def seeds(self, patches: int) -> int:
        """Returns the number of patches that are picked from each frame.

        Args:
            patches: Number of patches of a frame, P.
        """
        return max(1, int(self.seed_share * patches))

    def forward(self, tokens: Tensor, layers: Sequence[Any]) -> Tensor:
        """Runs the layers of a vision tower.

        Args:
            tokens: Tokens of each frame in front of the first layer, the class token first, (B, T, 1 + P, D).
            layers: CLIP's layers.

        Returns:
            Class tokens after the last layer, (B, T, D).
        """
        context: Tensor | None = None
        for index, layer in enumerate(layers[:-1]):
            # transformers recomputes activations in training mode only, but gradients also pass through frozen towers
            if getattr(layer, "gradient_checkpointing", False) and torch.is_grad_enabled():
                tokens, context = checkpoint(self.run_layer, layer, index, tokens, context, use_reentrant=False)[:2]
            else:
                tokens, context, _ = self.run_layer(layer, index, tokens, context)
        attended = self._attend(layers[-1], len(layers) - 1, tokens, context, queries=1)[0]
        class_tokens = tokens[:, :, :1] + attended
        output: Tensor = class_tokens + layers[-1].mlp(layers[-1].layer_norm2(class_tokens))
        return output[:, :, 0]

    def run_layer(
        self, layer: Any, index: int, tokens: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs one layer, and makes context for the next one.

        Args:
            layer: One of CLIP's layers.
            index: Index of the layer, from 0.
            tokens: Tokens of each frame, (B, T, 1 + P, D).
            context: Context tokens of the layer before, (B, k, D); None in front of the first layer.

        Returns:
            Tokens (B, T, 1 + P, D) and context tokens (B, k, D) after the layer, and the indices of the picked patches
            of each frame, int64 (B, T, n), the most attended first.
        """
        attended, of_class = self._attend(layer, index, tokens, context)
        tokens = tokens + attended
        patches = tokens[:, :, 1:]
        seeds = of_class[..., 1 : tokens.shape[2]].topk(self.seeds(patches.shape[2]), dim=-1).indices
        picked = patches.gather(2, seeds[..., None].expand(-1, -1, -1, patches.shape[-1])).flatten(1, 2)
        merged = merge_tokens(picked, self.context_tokens, self.merges_per_round)
        tokens, merged = (states + layer.mlp(layer.layer_norm2(states)) for states in (tokens, merged))
        return tokens, merged, seeds

    def _attend(
        self, layer: Any, index: int, tokens: Tensor, context: Tensor | None, queries: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attends from the first `queries` tokens of each frame to its own tokens, and to the context.

        Returns:
            (B, T, queries, D), and without gradients the attention of the class token, the mean over heads,
            (B, T, 1 + P + k).
        """
        attention = layer.self_attn
        batch, frames, own = tokens.shape[:3]
        normalized = layer.layer_norm1(tokens)
        query = _in_heads(attention.q_proj(normalized[:, :, :queries]).flatten(0, 1), attention.head_dim)
        key, value = (
            _in_heads(projection(normalized).flatten(0, 1), attention.head_dim)
            for projection in (attention.k_proj, attention.v_proj)
        )
        bias = None
        if context is not None:
            normalized_context = layer.layer_norm1(context)
            key, value = (
                torch.cat([states, _for_each_frame(projection(normalized_context), frames, attention.head_dim)], dim=2)
                for states, projection in ((key, attention.k_proj), (value, attention.v_proj))
            )
            bias = self._bias(index, own, context.shape[1]).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, bias, scale=attention.scale)
        output: Tensor = attention.out_proj(attended.transpose(1, 2).flatten(2)).unflatten(0, (batch, frames))
        with torch.no_grad():
            logits = attention.scale * query[:, :, :1].float() @ key.float().transpose(2, 3)
            shares = (logits if bias is None else logits + bias).softmax(dim=-1)
        return output, shares[:, :, 0].mean(1).unflatten(0, (batch, frames))

    def _bias(self, index: int, own: int, context: int) -> Tensor:
        """Returns what is added to the logits of own and of context keys, (1, heads, 1, own + context)."""
        table: Tensor = self.biases[index - 1]
        parts = [table[:, :1].expand(-1, own), table[:, 1:].expand(-1, context)]
        return torch.cat(parts, dim=1)[None, :, None]


def _in_heads(states: Tensor, width: int) -> Tensor:
    """Maps (n, L, D) to (n, heads, L, width)."""
    heads: Tensor = states.unflatten(-1, (-1, width))  # untyped in torch
    return heads.transpose(1, 2)


def _for_each_frame(context: Tensor, frames: int, width: int) -> Tensor:
    """Repeats the context of each clip, (B, k, D), for its frames, (B T, heads, k, width)."""
    return _in_heads(context, width)[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1)
