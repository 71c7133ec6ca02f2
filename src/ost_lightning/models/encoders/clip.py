"""CLIP: one class token per frame, a causal text tower, projections to a joint space (Radford et al., ICML 2021)."""

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, PreTrainedModel
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.pretrained.preprocessing import Preprocessing
from ost_lightning.models.encoders.promptable import (
    LayerRunner,
    PromptableEncoder,
    TokenPrompter,
    TowerShape,
    run_layer,
    run_text_tower,
    run_vision_tower,
)
from ost_lightning.models.encoders.towers.end_token import embed_end_tokens
from ost_lightning.models.encoders.towers.packed import PackedLayers
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention

Layer = TypeVar("Layer", bound=CLIPEncoderLayer)


class CLIPEncoder(DualEncoder, PromptableEncoder):
    """A `CLIPModel`: OpenAI's CLIP and other models with its architecture (LAION, DataComp, MetaCLIP 1, ...).

    The vision tower's last layer is computed for the class token only, except with `eager` attention, which keeps all
    tokens so that attention maps are complete. On a CPU, evaluation runs the towers' layers with packed weights.
    """

    model_type: ClassVar[str] = "clip"
    architecture: ClassVar[type[PreTrainedModel]] = CLIPModel

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__(model, tokenizer, preprocessing)
        self._packed_layers = PackedLayers()
        if model.config._attn_implementation != "eager":
            layers = model.vision_model.encoder.layers
            layers[-1] = as_class_token_layer(layers[-1])

    @property
    def embedding_dim(self) -> int:
        """Width of the joint space."""
        width: int = self.model.config.projection_dim
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds images (n, 3, S, S) as (n, d)."""
        vision = self.model.vision_model
        if not self._packed_layers.can_run(vision, vision.encoder.layers, pixels):
            features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
            return features
        with self._packed_layers.packed(vision.encoder.layers) as run_layers:
            states = run_layers(vision.pre_layrnorm(vision.embeddings(pixels)))
            features = self.model.visual_projection(vision.post_layernorm(states[:, 0]))
        return features

    def encode_with_attention(self, pixels: Tensor) -> tuple[Tensor, VisionAttention]:
        """Embeds images (n, 3, S, S) as (n, d), and returns each layer's attention, with a class token."""
        layers, implementation = self.model.vision_model.encoder.layers, self.model.config._attn_implementation
        last = layers[-1]
        try:
            # fused attention returns no probabilities, and the class token's layer has only its own row
            self.model.set_attn_implementation("eager")
            if isinstance(last, ClassTokenLayer):
                layers[-1] = _sharing_weights(last, CLIPEncoderLayer)
            outputs = self.model.vision_model(pixel_values=pixels, output_attentions=True)
        finally:
            layers[-1] = last
            self.model.set_attn_implementation(implementation)
        return self.model.visual_projection(outputs.pooler_output), VisionAttention(tuple(outputs.attentions))

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d). Attention is causal, so padding after the end token needs no mask."""
        return embed_end_tokens(self.model, tokens, self.end_token)

    def tower_shape(self, name: TowerName) -> TowerShape:
        """Returns the sizes of one tower."""
        vision, text = self.model.config.vision_config, self.model.config.text_config
        if name == "text":
            sizes = (text.hidden_size, text.num_hidden_layers, text.num_attention_heads)
            return TowerShape(*sizes, self.tokenizer.max_tokens)
        sizes = (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads)
        return TowerShape(*sizes, (self.image_size // vision.patch_size) ** 2 + 1, vision.patch_size)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Maps token ids (n, L) to token embeddings (n, L, W), without position embeddings."""
        embedded: Tensor = self.model.text_model.embeddings.token_embedding(tokens)
        return embedded

    def encode_embedded_tokens(self, embedded: Tensor, ends: Tensor) -> Tensor:
        """Embeds token embeddings (n, L, W), read at the end tokens' positions (n,), as (n, d)."""
        features: Tensor = self.model.text_projection(run_text_tower(self.model.text_model, embedded, ends))
        return features

    def encode_prompted_clips(self, pixels: Tensor, prompter: TokenPrompter) -> Tensor:
        """Embeds clips (B, T, 3, S, S), with vectors that join the tokens of every layer, as (B, T, d)."""
        class_tokens = run_vision_tower(self.model.vision_model, pixels, prompter)
        features: Tensor = self.model.visual_projection(class_tokens).unflatten(0, tuple(pixels.shape[:2]))
        return features

    def encode_clips_with(self, pixels: Tensor, run: LayerRunner) -> Tensor:
        """Embeds clips (B, T, 3, S, S), with the layers of the vision tower run by a function, as (B, T, d)."""
        vision = self.model.vision_model
        tokens = vision.pre_layrnorm(vision.embeddings(pixels.flatten(0, 1))).unflatten(0, tuple(pixels.shape[:2]))
        features: Tensor = self.model.visual_projection(vision.post_layernorm(run(tokens, vision.encoder.layers)))
        return features

    def encode_with_states(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embeds images (n, 3, S, S) as (n, d), and returns all tokens after each layer, (n, 1 + P, D)."""
        vision = self.model.vision_model
        *layers, last = vision.encoder.layers
        if isinstance(last, ClassTokenLayer):
            last = _sharing_weights(last, CLIPEncoderLayer)
        states = [vision.pre_layrnorm(vision.embeddings(pixels))]
        for layer in (*layers, last):
            states.append(run_layer(layer, states[-1]))
        features: Tensor = self.model.visual_projection(vision.post_layernorm(states[-1][:, 0]))
        return features, tuple(states[1:])

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower."""
        if name == "vision":
            vision = self.model.vision_model
            below = (vision.embeddings, vision.pre_layrnorm)
            return Tower(vision, below, vision.encoder.layers, self.model.visual_projection)
        text = self.model.text_model
        return Tower(text, (text.embeddings,), text.encoder.layers, self.model.text_projection)


class ClassTokenLayer(CLIPEncoderLayer):
    """The last layer of a vision tower, computed for the class token only.

    A frame's embedding is the class token of the last layer, which attends to all tokens; the layer's patch outputs
    are unused. Skipping them saves ten twelfths of the layer's matrix products, forward and backward, and changes no
    result. This is 7 % of a tower with 12 layers and 3 % of one with 24.
    """

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **options: Any) -> Tensor:
        """Maps (F, L, D) to (F, 1, D), the first row of the full layer's output.

        Args:
            hidden_states: Tokens of each frame, the class token first, (F, L, D).
            attention_mask: Mask of padding, always None because frames have no padding.
            options: Other options of `CLIPEncoderLayer`, ignored.
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
        output: Tensor = token + self.mlp(self.layer_norm2(token))
        return output


def as_class_token_layer(layer: CLIPEncoderLayer) -> ClassTokenLayer:
    """Converts a layer; the result shares its weights."""
    return _sharing_weights(layer, ClassTokenLayer)


def _sharing_weights(layer: CLIPEncoderLayer, kind: type[Layer]) -> Layer:
    with torch.device("meta"):
        converted = kind(layer.self_attn.config)
    for name, part in layer.named_children():
        setattr(converted, name, part)
    return converted.train(layer.training)
