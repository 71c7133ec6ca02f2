"""A dual encoder for videos that trains learned prompts in its towers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.models.checkpoints.part_files import PartName, part_weights
from ost_lightning.models.constructor_settings import constructor_settings
from ost_lightning.models.encoders import TOWERS, DualEncoder, TowerName
from ost_lightning.models.encoders.pretrained.loading import source_of
from ost_lightning.models.encoders.promptable import PromptableEncoder, TowerShape
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from ost_lightning.models.prompts.base import TextPrompts, VisionPrompts
from ost_lightning.models.tokenized_sentences import TokenizedSentences, tokenize
from ost_lightning.models.video_clip import VideoCLIP
from ost_lightning.text import LabelSpace, SentenceSet, TokenCount

_TEXT: str = "text_prompts."


class PromptedVideoCLIP(VideoCLIP):
    """A `VideoCLIP` with learned prompts in its text tower, its vision tower, or both.

    Gradients of the prompts pass through the towers even if these are frozen. While text prompts are trained, the
    sentences are encoded anew in every step.

    Args:
        pretrained: Hub id, folder in HF format, or `tiny`; see `VideoCLIP`. The encoder must be a CLIP.
        text_prompts: Factory of prompts for a text tower of a given shape.
        vision_prompts: Factory of prompts for a vision tower of a given shape.
        init_from: Initial weights: a checkpoint that training wrote (`.ckpt`) or a folder in HF format; see
            `VideoCLIP`. They must include the prompts.
        options: Other arguments of `VideoCLIP`.

    Raises:
        UserError: If the encoder takes no prompts, none are given, or a number is out of range.
    """

    parts: ClassVar[frozenset[PartName]] = frozenset({"temporal_head", "text_prompts", "vision_prompts"})

    def __init__(
        self,
        pretrained: str = "openai/clip-vit-base-patch16",
        *,
        text_prompts: Callable[[TowerShape], TextPrompts] | None = None,
        vision_prompts: Callable[[TowerShape], VisionPrompts] | None = None,
        init_from: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pretrained, **options)
        self.init_from = init_from
        given = {"text": text_prompts is not None, "vision": vision_prompts is not None}
        self.prompted_towers = frozenset(tower for tower in TOWERS if given[tower])
        if vision_prompts is not None:
            self.runs_layers_for = "learned prompts"
        encoder = _promptable(self.encoder, self.prompted_towers, pretrained)
        self.text_prompts = text_prompts(encoder.tower_shape("text")) if text_prompts is not None else None
        self.vision_prompts = vision_prompts(encoder.tower_shape("vision")) if vision_prompts is not None else None
        for part in ("text_prompts", "vision_prompts"):
            self._load_part(part)
        if init_from is not None:
            self._load_initial_weights(init_from)
            self._logit_scale.apply(self.encoder)

    @property
    def text_modules(self) -> tuple[nn.Module, ...]:
        """Modules that only sentences depend on."""
        prompts = () if self.text_prompts is None else (self.text_prompts,)
        return (*super().text_modules, *prompts)

    @property
    def token_count(self) -> TokenCount:
        """Token counter of the checkpoint, whose limit leaves room for the prompts."""
        return replace(super().token_count, limit=self._prompted_tokenizer.max_tokens)

    def tokenize(self, sentences: SentenceSet) -> TokenizedSentences:
        """Tokenizes sentences with the checkpoint's own tokenizer, and finds the prompts of each class.

        Raises:
            UserError: If the prompts belong to other classes.

        Warns:
            UserWarning: If sentences and prompts exceed the text tower's positions, so that sentences are truncated.
        """
        rows = None
        if self.text_prompts is not None:
            number = len(next(iter(sentences.sentences.values()), ()))
            rows = self.text_prompts.rows_of(sentences.labels, number)
        return tokenize(sentences, self.encoder.tokenizer if rows is None else self._prompted_tokenizer, rows)

    def part_settings(self) -> dict[str, Any]:
        """Returns class and settings of the prompts as plain values."""
        parts: dict[str, nn.Module | None] = {"text_prompts": self.text_prompts, "vision_prompts": self.vision_prompts}
        return {name: _settings(part) for name, part in parts.items() if part is not None}

    def remark_on(self, labels: LabelSpace) -> str | None:
        """Returns a sentence on scores of a label space that the prompts don't belong to; None if they do."""
        return None if self.text_prompts is None else self.text_prompts.remark_on(labels)

    def original_parameters(self) -> dict[str, Tensor]:
        """Returns the pre-trained weights in host memory, under the names of `named_parameters`; see `VideoCLIP`.

        The temperature is returned as it is if it is not trained, or if both towers are frozen: it belongs to the
        prompts.
        """
        original = super().original_parameters()
        scalars = {id(parameter) for parameter in self.encoder.logit_parameters}
        fixed = not any(parameter.requires_grad for parameter in self.encoder.logit_parameters)
        if fixed or (self.freeze_vision and self.freeze_text):
            kept = {name: parameter for name, parameter in self.named_parameters() if id(parameter) in scalars}
            original |= {name: parameter.detach().cpu().clone() for name, parameter in kept.items()}
        return original

    def require_possible_frames(self, frames: int) -> None:
        """Checks that the architecture allows this many frames per clip.

        Raises:
            UserError: If it doesn't.
        """
        if self.vision_prompts is not None:
            self.vision_prompts.check_frames(frames)

    def set_training_classes(self, labels: LabelSpace) -> None:
        """Makes prompts for the training classes, if each class has its own; called before `fit`.

        Raises:
            UserError: If there are prompts for other classes.
        """
        if self.text_prompts is not None:
            self.text_prompts.set_classes(labels)

    def take_classes(self, weights: Mapping[str, Tensor]) -> None:
        """Makes room for the prompts of the classes in weights that are about to be loaded.

        Raises:
            CheckpointError: If there are prompts for other classes.
        """
        if self.text_prompts is not None:
            found = {name.removeprefix(_TEXT): weight for name, weight in weights.items() if name.startswith(_TEXT)}
            self.text_prompts.take_classes(found)

    def _embed_clips(self, pixels: Tensor) -> Tensor:
        if self.vision_prompts is None:
            return super()._embed_clips(pixels)
        return self._promptable.encode_prompted_clips(pixels, self.vision_prompts)

    def _embed_sentences(self, tokens: Tensor, lengths: Tensor, prompts: Tensor | None) -> Tensor:
        if self.text_prompts is None or prompts is None:
            return super()._embed_sentences(tokens, lengths, prompts)
        ends = (tokens == self.encoder.end_token).int().argmax(-1)
        embedded = self.text_prompts(self._promptable.embed_tokens(tokens), ends, prompts.to(tokens.device))
        return self._promptable.encode_embedded_tokens(embedded, ends + self.text_prompts.count)

    @property
    def _promptable(self) -> PromptableEncoder:
        return self.encoder  # type: ignore[return-value] # the constructor has checked it

    @property
    def _prompted_tokenizer(self) -> SentenceTokenizer:
        """The tokenizer with a limit that leaves room for the prompts."""
        tokenizer, taken = self.encoder.tokenizer, 0 if self.text_prompts is None else self.text_prompts.count
        return replace(tokenizer, max_tokens=tokenizer.max_tokens - taken)

    def _load_part(self, part: PartName) -> None:
        if part == "text_prompts":
            found = part_weights(Path(source_of(self.pretrained)), part)
            self.take_classes({_TEXT + name: weight for name, weight in found.items()})
        super()._load_part(part)


def _settings(prompts: nn.Module) -> dict[str, Any]:
    settings = {name: value for name, value in constructor_settings(prompts).items() if name != "shape"}
    names = prompts.names if isinstance(prompts, TextPrompts) else ()
    digest = blake2b(json.dumps(names).encode(), digest_size=8).hexdigest()
    classes = {"classes": len(names), "classes_digest": digest} if names else {}
    return {"class": type(prompts).__name__, **settings, **classes}


def _promptable(encoder: DualEncoder, towers: frozenset[TowerName], pretrained: str) -> PromptableEncoder:
    """Checks that the encoder takes prompts in these towers, and returns it."""
    if not towers:
        raise UserError(
            "A PromptedVideoCLIP trains learned prompts, but has none: set video_clip.text_prompts, "
            "video_clip.vision_prompts or both, or use VideoCLIP."
        )
    known = encoder.promptable_towers if isinstance(encoder, PromptableEncoder) else frozenset[TowerName]()
    for tower in TOWERS:
        if tower in towers - known:
            raise UserError(
                f"{pretrained} is a {encoder.model_type}, whose {tower} tower takes no learned prompts: unset "
                f"video_clip.{tower}_prompts, or use a model of type clip."
            )
    promptable: PromptableEncoder = encoder  # type: ignore[assignment] # checked above
    return promptable
