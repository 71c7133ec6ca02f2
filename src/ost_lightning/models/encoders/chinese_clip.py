"""Chinese-CLIP: a CLIP whose text tower is a Chinese RoBERTa (Yang et al., 2022)."""

from typing import ClassVar

from transformers import ChineseCLIPModel, PreTrainedModel

from ost_lightning.models.encoders.altclip import BERT_ATTENTION, BertTextEncoder
from ost_lightning.models.encoders.base import Tower, TowerName


class ChineseCLIPEncoder(BertTextEncoder):
    """A `ChineseCLIPModel`."""

    model_type: ClassVar[str] = "chinese_clip"
    architecture: ClassVar[type[PreTrainedModel]] = ChineseCLIPModel

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower."""
        if name == "vision":
            return super().tower(name)
        text = self.model.text_model
        return Tower(text, (text.embeddings,), text.encoder.layer, self.model.text_projection, BERT_ATTENTION)
