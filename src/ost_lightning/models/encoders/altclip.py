"""AltCLIP: OpenAI's vision tower with a multilingual text tower, XLM-RoBERTa (Chen et al., Findings of ACL 2023)."""

from typing import Any, ClassVar, Final, Literal

from torch import Tensor
from transformers import AltCLIPModel, PreTrainedModel

from ost_lightning.models.encoders.base import Tower, TowerName
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.models.encoders.towers.sentences import attention_mask

BERT_ATTENTION: Final = ("query", "key", "value", "attention.output.dense")
"""Names of the linear layers of attention in a text tower like BERT's."""


class BertTextEncoder(CLIPEncoder):
    """A CLIP with a text tower like BERT's: read at its first token, with attention that ignores the padding."""

    read_at: ClassVar[Literal["end", "start"] | None] = "start"
    promptable_towers: ClassVar[frozenset[TowerName]] = frozenset({"vision"})

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d), read at the first token."""
        mask = attention_mask(tokens, lengths)
        features: Tensor = self.model.get_text_features(input_ids=tokens, attention_mask=mask).pooler_output
        return features


class AltCLIPEncoder(BertTextEncoder):
    """An `AltCLIPModel`."""

    model_type: ClassVar[str] = "altclip"
    architecture: ClassVar[type[PreTrainedModel]] = AltCLIPModel

    @classmethod
    def _positions(cls, text: Any) -> int:
        # the first token has the position behind that of the padding
        positions: int = text.max_position_embeddings - text.pad_token_id - 1
        return positions

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower; the text backbone includes the map to the width of the teacher."""
        if name == "vision":
            return super().tower(name)
        text = self.model.text_model
        below, layers = (text.roberta.embeddings,), text.roberta.encoder.layers
        return Tower(text, below, layers, self.model.text_projection, BERT_ATTENTION)
