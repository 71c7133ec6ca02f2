"""The seam between this package and pre-trained dual encoders."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel

from ost_lightning.matching import Matcher
from ost_lightning.models.encoders.loading import load_model, load_tokenizer, source_of
from ost_lightning.models.encoders.preprocessing import (
    NAMED_STATISTICS,
    Preprocessing,
    Resize,
    StatisticsName,
    read_preprocessing,
)
from ost_lightning.models.encoders.sentences import SentenceTokenizer

TowerName = Literal["vision", "text"]
TOWERS: Final[tuple[TowerName, ...]] = ("vision", "text")

_SIZES: Final = {768: "B", 1024: "L", 1280: "H"}
_WITHOUT_EFFECT: Final = frozenset({"_name_or_path", "architectures", "dtype", "transformers_version"})


@dataclass(frozen=True, slots=True)
class Tower:
    """Parts of one tower, for freezing, layer decay, adapters, sharding and compilation.

    Attributes:
        backbone: The tower without its projection: what is compiled.
        embeddings: What lies below the first layer.
        layers: Transformer layers, the lowest first.
        projection: Linear map to the joint space; None where there is none, or where it belongs to the backbone.
    """

    backbone: nn.Module
    embeddings: tuple[nn.Module, ...]
    layers: nn.ModuleList
    projection: nn.Module | None = None

    @property
    def whole(self) -> tuple[nn.Module, ...]:
        """Backbone and projection."""
        return (self.backbone,) if self.projection is None else (self.backbone, self.projection)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights of the tower."""
        for part in self.whole:
            yield from part.parameters()


class DualEncoder(nn.Module, ABC):
    """Pixels and sentences in, vectors of one space out: a Hugging Face model and what is special about its kind.

    A new kind of encoder is a subclass in a file of its own, listed in `encoders/__init__`.

    Attributes:
        model_type: Name of the architecture in config.json.
        architecture: Class of the model.
        statistics: Mean and standard deviation of pixels, where the checkpoint does not say.
        resize: Framing, where the checkpoint does not say.
        fixed_length: The text tower sees padding, so that sentences are always padded to all positions.
        canonicalize: Changes a sentence before it is tokenized; None leaves it as it is.
        unit_length: Embeddings are compared after L2 normalization. Otherwise they are for the matchers that
            `adapt_matcher` gives, which normalize.
        trainable: The encoder can be tuned; otherwise it is for evaluation.
        model: The Hugging Face model.
        tokenizer: Tokenizer of the checkpoint.
        preprocessing: Pixels that the checkpoint expects.

    Args:
        model: The Hugging Face model.
        tokenizer: Tokenizer of the checkpoint.
        preprocessing: Pixels that the checkpoint expects.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[type[PreTrainedModel]]
    statistics: ClassVar[StatisticsName] = "clip"
    resize: ClassVar[Resize] = "shortest_side"
    fixed_length: ClassVar[bool] = False
    canonicalize: ClassVar[Callable[[str], str] | None] = None
    unit_length: ClassVar[bool] = True
    trainable: ClassVar[bool] = True

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.tokenizer, self.preprocessing = tokenizer, preprocessing

    @classmethod
    def from_pretrained(cls, pretrained: str, attention: str = "sdpa") -> Self:
        """Reads a checkpoint.

        Args:
            pretrained: Hub id, folder or `tiny`, of this class's `model_type`.
            attention: Attention kernels, by their name in transformers.

        Raises:
            CheckpointError: If there is no such model, or it is incomplete.
        """
        model = load_model(cls.architecture, pretrained, attention)
        known = NAMED_STATISTICS[cls.statistics]
        default = Preprocessing(model.config.vision_config.image_size, known.mean, known.std, cls.resize)
        return cls(model, cls._tokenizer(pretrained, model.config), read_preprocessing(pretrained, default))

    @classmethod
    def load_tokenizer(cls, pretrained: str) -> SentenceTokenizer:
        """The tokenizer alone: no weights are read.

        Raises:
            CheckpointError: If there is none, or it belongs to another model.
        """
        return cls._tokenizer(pretrained, AutoConfig.from_pretrained(source_of(pretrained)))

    @classmethod
    def _tokenizer(cls, pretrained: str, config: Any) -> SentenceTokenizer:
        text = config.text_config
        tokenizer = load_tokenizer(pretrained, text.vocab_size)
        return SentenceTokenizer(tokenizer, text.max_position_embeddings, cls.fixed_length, cls.canonicalize)

    @property
    @abstractmethod
    def embedding_dim(self) -> int:
        """d, the width of the embeddings."""

    @abstractmethod
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeds pictures.

        Args:
            pixels: Normalized, fp32 (n, 3, S, S).

        Returns:
            (n, d), not normalized.
        """

    @abstractmethod
    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embeds sentences.

        Args:
            tokens: int64 (n, L), from this encoder's tokenizer.
            lengths: int64 (n,), how many of the tokens belong to the sentence.

        Returns:
            (n, d), not normalized.
        """

    @abstractmethod
    def tower(self, name: TowerName) -> Tower:
        """Parts of one of the towers."""

    @property
    def logit_parameters(self) -> tuple[nn.Parameter, ...]:
        """Weights of `similarity_to_logits`, one number each."""
        return (self.model.logit_scale,)

    def similarity_to_logits(self, similarities: Tensor) -> Tensor:
        """Cosine similarities scaled by the learned inverse temperature."""
        logits: Tensor = self.model.logit_scale.exp() * similarities
        return logits

    def encode_clips(self, pixels: Tensor) -> Tensor:
        """Embeds clips, each frame by itself unless the encoder relates frames.

        Args:
            pixels: Normalized, fp32 (B, T, 3, S, S).

        Returns:
            (B, T, d), not normalized.
        """
        features: Tensor = self.encode_pixels(pixels.flatten(0, 1)).unflatten(0, tuple(pixels.shape[:2]))
        return features

    def adapt_matcher(self, matcher: Matcher) -> Matcher:
        """The matcher that takes this encoder's embeddings: the same one, or a wrapper where texts depend on videos."""
        return matcher

    @property
    def image_size(self) -> int:
        """Side of the square that the vision tower reads, in pixels."""
        return self.preprocessing.image_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.logit_parameters[0].device

    @property
    def backbone_name(self) -> str:
        """Size of the vision transformer: `ViT-B/16`, or layers, width and patch size of another one."""
        vision = self.model.config.vision_config
        size = _SIZES.get(vision.hidden_size) if vision.num_hidden_layers >= 12 else None
        name = f"ViT-{size}" if size else f"ViT-{vision.num_hidden_layers}x{vision.hidden_size}"
        pixels = f" at {vision.image_size}" if vision.image_size != 224 else ""
        return f"{name}/{vision.patch_size}{pixels}"

    def vision_settings(self) -> dict[str, Any]:
        """Settings that frame embeddings depend on beside the weights."""
        config = self.model.config
        vision = {name: value for name, value in config.vision_config.to_dict().items() if name not in _WITHOUT_EFFECT}
        return {"attention": config._attn_implementation, **vision}

    def save_pretrained(self, folder: Path) -> None:
        """Writes the present weights, the tokenizer and the preprocessing as a folder in HF format."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        settings = json.dumps(self.preprocessing.as_image_processor(), indent=2)
        (folder / "preprocessor_config.json").write_text(f"{settings}\n", encoding="utf-8")
