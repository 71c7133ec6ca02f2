"""MetaCLIP 2: CLIP for text in 300 languages (Chuang et al., NeurIPS 2025)."""

from typing import ClassVar

from transformers import MetaClip2Model, PreTrainedModel

from ost_lightning.models.encoders.clip import CLIPEncoder


class MetaClip2Encoder(CLIPEncoder):
    """A `MetaClip2Model`: the parts of a CLIP, with a multilingual vocabulary whose end token has the id 2.

    `CLIPModel` would load the same weights without an error. But it takes the id 2 for OpenAI's old configuration and
    reads the text tower at the largest token id, which is a word.
    """

    model_type: ClassVar[str] = "metaclip_2"
    architecture: ClassVar[type[PreTrainedModel]] = MetaClip2Model
