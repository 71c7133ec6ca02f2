"""Tiny models with random weights of every kind of encoder, with tokenizers of the right class and few tokens.

Each sentence is spelled: a token per letter or character.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    BertTokenizer,
    ChineseCLIPConfig,
    ChineseCLIPModel,
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    MetaClip2Config,
    MetaClip2Model,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Siglip2Config,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipModel,
    VideoPrismClipModel,
    VideoPrismConfig,
    VideoPrismTokenizer,
    XLMRobertaTokenizer,
)
from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

from ost_lightning.models import VideoCLIP
from ost_lightning.text import SentenceSet
from tests.models.encoders.siglip_miniature import tokenizer as siglip_tokenizer
from tests.models.encoders.siglip_miniature import write_siglip

PLAIN = ("kick drum", "drum", "a dog s tail on a beach", "x")
SENTENCES = SentenceSet({"name": tuple((text,) for text in PLAIN)})
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
FOREIGN = "äöüßéñабвгд打篮球手"
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SIZES, "image_size": 48, "patch_size": 16}
PROJECTION = 24


def clip_tokenizer() -> CLIPTokenizer:
    characters = [*LETTERS, ".", ","]
    tokens = ["<unk>", *characters, *(f"{character}</w>" for character in characters)]
    vocabulary = {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    # LongCLIP's tokenizer is OpenAI's, whose limit is not that of the model
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def xlm_tokenizer() -> XLMRobertaTokenizer:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(token, 0.0) for token in special] + [(token, -2.0) for token in ("▁", *LETTERS, *FOREIGN, ".", ",")]
    return XLMRobertaTokenizer(vocab=[*pieces, ("<mask>", 0.0)])


def bert_tokenizer() -> BertTokenizer:
    characters = [*LETTERS, *FOREIGN, ".", ","]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{letter}" for letter in characters)]
    return BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})


def siglip2_tokenizer() -> Siglip2Tokenizer:
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *LETTERS, *FOREIGN]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return Siglip2Tokenizer(vocab=vocabulary, merges=[], add_bos_token=False, add_eos_token=True)


def videoprism_tokenizer() -> VideoPrismTokenizer:
    pieces = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    return VideoPrismTokenizer(vocab=pieces + [(token, -2.0) for token in ("▁", *LETTERS, *FOREIGN, ".")])


def _text(tokenizer: PreTrainedTokenizerBase, **more: Any) -> dict[str, Any]:
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 40, **ids, **more}


def _clip(config: type[CLIPConfig], tokenizer: PreTrainedTokenizerBase, vision: dict[str, Any], **text: Any) -> Any:
    return config(vision_config=VISION | vision, text_config=_text(tokenizer, **text), projection_dim=PROJECTION)


@dataclass(frozen=True)
class Family:
    """One kind of encoder.

    Attributes:
        architecture: Class of the model in transformers.
        tokenizer: Function that makes the tokenizer.
        config: Function that makes the configuration from the tokenizer; None for SigLIP, which has its own file.
        mean: Mean of pixels.
        std: Standard deviation of pixels.
        positions: Number of tokens of the longest sentence.
        trainable: Whether the kind can be tuned.
        clean: Function that the authors apply to sentences.
    """

    architecture: type[PreTrainedModel]
    tokenizer: Callable[[], PreTrainedTokenizerBase]
    config: Callable[[Any], Any] | None = None
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    positions: int = 40
    trainable: bool = True
    clean: Callable[[str], str] = field(default=str)

    def write(self, folder: Path, seed: int = 0) -> Path:
        """Writes a folder in HF format, as `save_pretrained` does."""
        if self.config is None:
            return write_siglip(folder)
        torch.manual_seed(seed)
        tokenizer = self.tokenizer()
        model = self.architecture(self.config(tokenizer))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
                if name in ("logit_scale", "logit_bias"):
                    parameter.fill_(3.0 if name == "logit_scale" else -2.0)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if self.architecture is Siglip2Model:
            settings = {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 16, "max_num_patches": 9}
            (folder / "preprocessor_config.json").write_text(json.dumps(settings))
        return folder

    def reference(self, folder: Path) -> Any:
        """The model as transformers loads it."""
        attention = "eager" if self.architecture is VideoPrismClipModel else "sdpa"
        return self.architecture.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()

    def pixels(self, frames: Tensor) -> Tensor:
        """Normalized frames."""
        mean, std = torch.tensor(self.mean).view(3, 1, 1), torch.tensor(self.std).view(3, 1, 1)
        normalized: Tensor = (frames / 255 - mean) / std
        return normalized

    def tokens(self, sentences: Sequence[str], padded: bool) -> dict[str, Tensor]:
        """Tokens as the authors' documentation makes them, with a mask where the model needs one."""
        always = self.architecture in (SiglipModel, Siglip2Model)
        padding = "max_length" if padded or always else True
        encoded = self.tokenizer()(
            [self.clean(sentence) for sentence in sentences],
            padding=padding,
            padding_side="right",  # the class of SigLIP 2 pads on the left by default
            max_length=self.positions,
            truncation=True,
            return_tensors="pt",
        )
        masked = self.architecture in (AltCLIPModel, ChineseCLIPModel, VideoPrismClipModel)
        return {name: encoded[name] for name in ("input_ids", *(("attention_mask",) if masked else ()))}


def _siglip2(tokenizer: PreTrainedTokenizerBase) -> SiglipConfig:
    return SiglipConfig(vision_config=VISION, text_config=_text(tokenizer, projection_size=32))


def _naflex(tokenizer: PreTrainedTokenizerBase) -> Siglip2Config:
    vision = {**SIZES, "patch_size": 16, "num_patches": 9}  # 48 x 48 pixels in training
    return Siglip2Config(vision_config=vision, text_config=_text(tokenizer, projection_size=32))


def _videoprism(tokenizer: PreTrainedTokenizerBase) -> VideoPrismConfig:
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_frames": 4,
        "image_size": [48, 48],
    }
    vision |= {"tubelet_size": [1, 16, 16], "num_spatial_layers": 2, "num_temporal_layers": 1}
    text = _text(tokenizer, vocab_size=len(tokenizer) - 100)
    return VideoPrismConfig(vision_config=vision | {"num_auxiliary_layers": 1}, text_config=text)


FAMILIES = {
    "LongCLIP": Family(
        CLIPModel, clip_tokenizer, lambda made: _clip(CLIPConfig, made, {}, max_position_embeddings=248), positions=248
    ),
    "TinyCLIP": Family(
        CLIPModel,
        clip_tokenizer,
        # its towers differ in width, depth and heads
        lambda made: _clip(
            CLIPConfig,
            made,
            {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "hidden_act": "gelu"},
            hidden_size=16,
            num_hidden_layers=1,
            hidden_act="gelu",
        ),
    ),
    "MetaCLIP 2": Family(MetaClip2Model, xlm_tokenizer, lambda made: _clip(MetaClip2Config, made, {})),
    "AltCLIP": Family(
        AltCLIPModel,
        xlm_tokenizer,
        lambda made: _clip(AltCLIPConfig, made, {}, max_position_embeddings=42, project_dim=20, bos_token_id=0),
    ),
    "Chinese-CLIP": Family(ChineseCLIPModel, bert_tokenizer, lambda made: _clip(ChineseCLIPConfig, made, {})),
    "SigLIP": Family(SiglipModel, siglip_tokenizer, None, (0.5,) * 3, (0.5,) * 3, 32),
    "SigLIP 2": Family(SiglipModel, siglip2_tokenizer, _siglip2, (0.5,) * 3, (0.5,) * 3),
    "SigLIP 2 NaFlex": Family(Siglip2Model, siglip2_tokenizer, _naflex, (0.5,) * 3, (0.5,) * 3),
    "VideoPrism": Family(
        VideoPrismClipModel,
        videoprism_tokenizer,
        _videoprism,
        (0.0,) * 3,
        (1.0,) * 3,
        trainable=False,
        clean=lambda text: text + ".",
    ),
}


def clips(batch: int = 2, frames: int = 4, size: int = 48) -> Tensor:
    return torch.randint(0, 256, (batch, frames, 3, size, size), dtype=torch.uint8)


def inputs_of(family: Family, frames: Tensor) -> dict[str, Tensor]:
    """Frames (n, 3, S, S) as the library's forward pass takes them, each as a picture or a video of one frame."""
    pixels = family.pixels(frames)
    if "VideoPrism" in family.architecture.__name__:
        # otherwise transformers adds the positions of all frames to a single one, which then counts as many
        return {"pixel_values_videos": pixels[:, None], "interpolate_pos_encoding": True}
    if "Siglip2" not in family.architecture.__name__:
        return {"pixel_values": pixels}
    shape, patches = pixels.shape[-1] // 16, torch.stack([convert_image_to_patches(image, 16) for image in pixels])
    padded = torch.nn.functional.pad(patches, (0, 0, 0, 3))  # the processor pads to the largest number of patches
    mask = (torch.arange(padded.shape[1]) < shape**2).long().expand(len(pixels), -1)
    return {
        "pixel_values": padded,
        "pixel_attention_mask": mask,
        "spatial_shapes": torch.full((len(pixels), 2), shape),
    }


def text_vectors(model: VideoCLIP, sentences: SentenceSet = SENTENCES) -> Tensor:
    return model.encode_sentences(model.tokenize(sentences))["name"]


def changed_config(folder: Path, target: Path, tower: str, **values: Any) -> Path:
    """Copies a folder and changes the configuration of one tower."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    config = json.loads((target / "config.json").read_text())
    config[f"{tower}_config"] |= values
    (target / "config.json").write_text(json.dumps(config))
    return target
