"""SigLIP and SigLIP 2 with fixed resolution: attention-pooled pictures, bidirectional text, a scale and a bias.

Sources: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023; Tschannen et al., "SigLIP 2", 2025.
"""

import string
from collections.abc import Callable
from typing import ClassVar, Final

from torch import Tensor, nn
from transformers import PreTrainedModel, SiglipModel

from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.preprocessing import Resize, StatisticsName

_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


def canonicalize(sentence: str) -> str:
    """Lower case, without punctuation and repeated spaces, as in training (`canonicalize_text` of big_vision).

    SigLIP's tokenizer does the same by itself; that of SigLIP 2 does no more than lower the case.
    """
    return " ".join(sentence.replace("_", " ").translate(_PUNCTUATION).lower().split())


class SiglipEncoder(DualEncoder):
    """A `SiglipModel`. SigLIP 2 has the same model and model type, except for NaFlex, which is not supported.

    The text tower reads the last of all positions and attends to the padding on the way, without a mask: a sentence
    that is padded to another length has another embedding.
    """

    model_type: ClassVar[str] = "siglip"
    architecture: ClassVar[type[PreTrainedModel]] = SiglipModel
    statistics: ClassVar[StatisticsName] = "half"
    resize: ClassVar[Resize] = "squash"
    fixed_length: ClassVar[bool] = True
    canonicalize: ClassVar[Callable[[str], str] | None] = staticmethod(canonicalize)

    @property
    def embedding_dim(self) -> int:
        """Width of both towers' outputs."""
        width: int = self.model.config.vision_config.hidden_size
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(n, 3, S, S) to (n, d), pooled by attention; there is no projection."""
        features: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """(n, L) to (n, d), read off the last position."""
        features: Tensor = self.model.get_text_features(input_ids=tokens).pooler_output
        return features

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """Scale and bias."""
        return self.model.logit_scale, self.model.logit_bias

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Scaled similarities with the learned bias: log-odds that picture and text belong together."""
        logits: Tensor = super().similarity_to_logits(similarities) + self.model.logit_bias
        return logits

    def tower(self, name: TowerName) -> Tower:
        """Parts of one of the towers; the poolings belong to the backbones."""
        backbone = self.model.vision_model if name == "vision" else self.model.text_model
        return Tower(backbone, (backbone.embeddings,), backbone.encoder.layers)
