"""SigLIP and fixed-resolution SigLIP 2: attention-pooled images, a bidirectional text tower, logit scale and bias.

Sources: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023; Tschannen et al., "SigLIP 2", 2025.
"""

import string
from collections.abc import Callable
from typing import Any, ClassVar, Final

from torch import Tensor, nn
from transformers import PreTrainedModel, SiglipModel

from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.preprocessing import Preprocessing, Resize, StatisticsName
from ost_lightning.models.encoders.sentences import SentenceTokenizer

_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def canonicalize(sentence: str) -> str:
    """Lowercases, and removes punctuation and repeated spaces, as in training (`canonicalize_text` in big_vision).

    SigLIP's tokenizer does the same itself; SigLIP 2's tokenizer only lowercases.
    """
    return " ".join(sentence.replace("_", " ").translate(_PUNCTUATION).lower().split())


class SiglipEncoder(DualEncoder):
    """A `SiglipModel`. SigLIP 2 has the same model and model type, except for NaFlex, which is not supported.

    The text embedding is read from the last position, and attention includes the padding without a mask. A sentence
    that is padded to a different length therefore has a different embedding. The logit bias is not trained.
    """

    model_type: ClassVar[str] = "siglip"
    architecture: ClassVar[type[PreTrainedModel]] = SiglipModel
    statistics: ClassVar[StatisticsName] = "half"
    resize: ClassVar[Resize] = "squash"
    fixed_length: ClassVar[bool] = True
    canonicalize: ClassVar[Callable[[str], str] | None] = staticmethod(canonicalize)

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__(model, tokenizer, preprocessing)
        # it cancels in every softmax over classes: the gradient is rounding error, which Adam would amplify
        model.logit_bias.requires_grad_(False)

    @property
    def embedding_dim(self) -> int:
        """Width of both towers' outputs."""
        width: int = self.model.config.vision_config.hidden_size
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds images (n, 3, S, S) as (n, d), pooled by attention without a projection."""
        features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d), read from the last position."""
        features: Tensor = self.model.get_text_features(input_ids=tokens).pooler_output
        return features

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """Logit scale and bias."""
        return self.model.logit_scale, self.model.logit_bias

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Scales similarities and adds the learned bias, which gives the log-odds that image and text match."""
        logits: Tensor = super().similarity_to_logits(similarities) + self.model.logit_bias
        return logits

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower; the backbones include the pooling."""
        backbone = self.model.vision_model if name == "vision" else self.model.text_model
        return Tower(backbone, (backbone.embeddings,), backbone.encoder.layers)
