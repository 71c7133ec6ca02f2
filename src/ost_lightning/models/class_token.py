"""CLIP's vision tower without what nobody reads: of its last layer only the class token goes on."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import CLIPEncoderLayer


class ClassTokenLayer(CLIPEncoderLayer):
    """The last layer of a vision tower, computed for the class token alone.

    Frames are embedded by the class token of the last layer, which attends to all tokens; what the layer makes of the
    patches is read by nothing. Leaving it out saves ten twelfths of the layer's products, in the backward pass too, and
    changes no result: 7 % of a tower of 12 layers, 3 % of one of 24.
    """

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Tensor:
        """(F, L, D) to (F, 1, D): the first row of what the whole layer gives.

        Args:
            hidden_states: Tokens of each frame, the class token first.
            attention_mask: None: frames have no padding.
            options: What `CLIPEncoderLayer` takes and this has no use for.
        """
        attention = self.self_attn
        token, tokens = hidden_states[:, :1], self.layer_norm1(hidden_states)
        query, key, value = (
            projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            for projected in (attention.q_proj(tokens[:, :1]), attention.k_proj(tokens), attention.v_proj(tokens))
        )
        dropout = attention.dropout if self.training and attention.dropout else 0.0
        attended = F.scaled_dot_product_attention(
            query, key, value, attention_mask, dropout_p=dropout, scale=attention.scale
        )
        token = token + attention.out_proj(attended.transpose(1, 2).flatten(2))
        made: Tensor = token + self.mlp(self.layer_norm2(token))
        return made


def as_class_token_layer(layer: CLIPEncoderLayer) -> ClassTokenLayer:
    """The same layer with the same weights."""
    with torch.device("meta"):
        made = ClassTokenLayer(layer.self_attn.config)
    for name, part in layer.named_children():
        setattr(made, name, part)
    return made.train(layer.training)
