"""SigLIP and fixed-resolution SigLIP 2: attention-pooled images, a bidirectional text tower, logit scale and bias.

Sources: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023; Tschannen et al., "SigLIP 2", 2025.
"""

import string
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, SiglipModel
from transformers.models.siglip.modeling_siglip import SiglipMultiheadAttentionPoolingHead

from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.pretrained.preprocessing import Preprocessing, Resize, StatisticsName
from ost_lightning.models.encoders.towers.packed import PackedLayers, packed_for_sentences
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.models.encoders.towers.vision_attention import VisionAttention

_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def canonicalize(sentence: str) -> str:
    """Lowercases, and removes punctuation and repeated spaces, as in training (`canonicalize_text` in big_vision).

    SigLIP's tokenizer does the same itself; SigLIP 2's tokenizer only lowercases.
    """
    return " ".join(sentence.replace("_", " ").translate(_PUNCTUATION).lower().split())


class SiglipEncoder(DualEncoder):
    """A `SiglipModel`. SigLIP 2 has the same model and model type, except for NaFlex (`Siglip2Encoder`).

    The text embedding is read from the last position, and attention includes the padding without a mask. A sentence
    that is padded to a different length therefore has a different embedding. The logit bias is not trained.
    """

    model_type: ClassVar[str] = "siglip"
    architecture: ClassVar[type[PreTrainedModel]] = SiglipModel
    statistics: ClassVar[StatisticsName] = "half"
    resize: ClassVar[Resize] = "squash"
    fixed_length: ClassVar[bool] = True
    read_at: ClassVar[Literal["end", "start"] | None] = None
    canonicalize: ClassVar[Callable[[str], str] | None] = staticmethod(canonicalize)

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__(model, tokenizer, preprocessing)
        self._packed_layers = PackedLayers()
        # it cancels in every softmax over classes: the gradient is rounding error, which Adam would amplify
        model.logit_bias.requires_grad_(False)

    @property
    def embedding_dim(self) -> int:
        """Width of both towers' outputs."""
        width: int = self.model.config.vision_config.hidden_size
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds images (n, 3, S, S) as (n, d), pooled by attention without a projection."""
        vision = self.model.vision_model
        if not self._packed_layers.can_run(vision, vision.encoder.layers, pixels):
            features: Tensor = self._run_vision(pixels).pooler_output
            return features
        with self._packed_layers.packed(vision.encoder.layers) as run_layers:
            features = vision.head(vision.post_layernorm(run_layers(vision.embeddings(pixels))))
        return features

    def _run_vision(self, pixels: Tensor, **options: Any) -> Any:
        """Returns the outputs of the vision tower."""
        return self.model.vision_model(pixel_values=pixels, **options)

    def encode_with_attention(self, pixels: Tensor) -> tuple[Tensor, VisionAttention]:
        """Embeds images (n, 3, S, S) as (n, d), and returns the attention of layers and pooling."""
        vision, implementation = self.model.vision_model, self.model.config._attn_implementation
        try:
            self.model.set_attn_implementation("eager")  # fused attention returns no probabilities
            outputs = self._run_vision(pixels, output_attentions=True)
        finally:
            self.model.set_attn_implementation(implementation)
        features, pooling = _pool_with_attention(vision.head, outputs.last_hidden_state)
        return features, VisionAttention(tuple(outputs.attentions), pooling)

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d), read from the last position."""
        text = self.model.text_model
        packed = packed_for_sentences(text, tokens)
        if packed is None:
            features: Tensor = self.model.get_text_features(input_ids=tokens).pooler_output
            return features
        with packed.packed(text.encoder.layers) as run_layers:
            states = text.final_layer_norm(run_layers(text.embeddings(input_ids=tokens)))
            features = text.head(states[:, -1])
        return features

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """Logit scale and bias."""
        return self.model.logit_scale, self.model.logit_bias

    @property
    def logit_bias(self) -> nn.Parameter:
        """Learned bias."""
        bias: nn.Parameter = self.model.logit_bias
        return bias

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Scales similarities and adds the learned bias, which gives the log-odds that image and text match."""
        logits: Tensor = super().similarity_to_logits(similarities) + self.logit_bias
        return logits

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower; the backbones include the pooling."""
        backbone = self.model.vision_model if name == "vision" else self.model.text_model
        return Tower(backbone, (backbone.embeddings,), backbone.encoder.layers)


def _pool_with_attention(head: SiglipMultiheadAttentionPoolingHead, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Pools tokens (n, L, d) to (n, d) as the head does, and returns its attention (n, heads, 1, L).

    `torch.nn.MultiheadAttention` returns a copy of its attention, through which no gradient flows.
    """
    attention = head.attention
    inputs = (head.probe.expand(len(tokens), -1, -1), tokens, tokens)
    query, key, value = (
        F.linear(rows, weight, bias).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for rows, weight, bias in zip(
            inputs, attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
        )
    )
    shares = (query @ key.mT * attention.head_dim**-0.5).softmax(-1)
    pooled = attention.out_proj((shares @ value).transpose(1, 2).flatten(2))
    return (pooled + head.mlp(head.layernorm(pooled)))[:, 0], shares
