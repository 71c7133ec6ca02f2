"""VideoPrism: a video encoder that relates the frames of a clip, with a text tower (Zhao et al., ICML 2024)."""

import string
from collections.abc import Callable
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, VideoPrismClipModel

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.base import DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.pretrained.preprocessing import Resize, StatisticsName
from ost_lightning.models.encoders.towers.sentences import attention_mask

_TEMPERATURE: Final = 0.01
"""Temperature of the publisher's demonstration; checkpoints contain none."""
_SPACES: Final = str.maketrans(string.punctuation, " " * len(string.punctuation))


def canonicalize(sentence: str) -> str:
    """Lowercases, replaces punctuation and repeated spaces by one, and ends with a period.

    Source: `canonicalize_text` in the publisher's code. The tokenizer of transformers does none of this.
    """
    return " ".join(sentence.translate(_SPACES).lower().split()) + "."


class VideoPrismEncoder(DualEncoder):
    """A `VideoPrismClipModel`, for evaluation only, because its checkpoints have no temperature to train with.

    The model pools the patches of all frames of a clip into one vector. Here its pooling head reads the patches of
    each frame, after they were related to those of all other frames. Before the last normalization, the clip's vector
    is in each attention head a weighted mean of the frames' vectors; a clip of one frame has the same vector.
    """

    model_type: ClassVar[str] = "videoprism"
    architecture: ClassVar[type[PreTrainedModel]] = VideoPrismClipModel
    statistics: ClassVar[StatisticsName] = "none"
    resize: ClassVar[Resize] = "squash"
    read_at: ClassVar[Literal["end", "start"] | None] = None
    canonicalize: ClassVar[Callable[[str], str] | None] = staticmethod(canonicalize)
    relates_frames: ClassVar[bool] = True
    trainable: ClassVar[bool] = False
    unembedded_tokens: ClassVar[int] = 100  # <extra_id_0> and so on, which T5's tokenizer adds

    @classmethod
    def _check_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, pretrained: str) -> None:
        if added := tokenizer("")["input_ids"]:
            raise CheckpointError(
                f"The tokenizer of {pretrained} adds {tokenizer.convert_ids_to_tokens(added)} to sentences, but "
                "VideoPrism was trained without. Use a folder that contains the model's own tokenizer."
            )

    @property
    def embedding_dim(self) -> int:
        """Width of both towers' outputs."""
        width: int = self.model.config.vision_config.hidden_size
        return width

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds images (n, 3, S, S), each as a clip of one frame, as (n, d)."""
        return self.encode_clips(pixels[:, None])[:, 0]

    def encode_clips(self, pixels: Tensor) -> Tensor:
        """Embeds the frames of clips, (B, T, 3, S, S), in the context of their clips, as (B, T, d).

        Position embeddings are interpolated for a number of frames other than the checkpoint's.
        """
        video = self.model.video_model
        resized = pixels.shape[1] != self.model.config.vision_config.num_frames
        tokens = video.vision_model(pixels, interpolate_pos_encoding=resized).last_hidden_state
        for layer in video.auxiliary_layers:
            tokens = layer(tokens)
        patches = tokens.unflatten(1, (pixels.shape[1], -1)).flatten(0, 1)
        frames: Tensor = video.head_layernorm(video.head(patches)[0])[:, 0]
        embedded: Tensor = frames.unflatten(0, tuple(pixels.shape[:2]))
        return embedded

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences (n, L) as (n, d), read at a class token that follows the padding."""
        mask = attention_mask(tokens, lengths)  # without it, transformers lets every token see the ones behind it
        features: Tensor = self.model.get_text_features(input_ids=tokens, attention_mask=mask).pooler_output
        return features

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """None: the temperature is a constant."""
        return ()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = self.model.device
        return device

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Divides cosine similarities by the temperature of the publisher's demonstration, 0.01."""
        return similarities / _TEMPERATURE

    @property
    def backbone_name(self) -> str:
        """Layers of each frame and across frames, width and patch size."""
        vision = self.model.config.vision_config
        layers = f"{vision.num_spatial_layers}+{vision.num_temporal_layers}+{vision.num_auxiliary_layers}"
        return f"VideoPrism-{layers}x{vision.hidden_size}/{vision.tubelet_size[-1]} at {self.image_size}"

    def vision_modules(self) -> tuple[nn.Module, ...]:
        """Parts of the vision tower, which as a whole makes one vector per clip and is never called."""
        video = self.model.video_model
        return (video.vision_model, *video.auxiliary_layers, video.head)

    def tower(self, name: TowerName) -> Tower:
        """Returns the parts of one tower."""
        if name == "text":
            text = self.model.text_model
            return Tower(text, (text.embeddings,), text.layers)
        video = self.model.video_model
        vision = video.vision_model
        below = (vision.spatial_embeddings, vision.temporal_embeddings)
        layers = [*vision.spatial_layers, *vision.temporal_layers, *video.auxiliary_layers]
        return Tower(video, below, nn.ModuleList(layers))
