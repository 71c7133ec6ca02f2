"""A tiny SigLIP with random weights for fast tests, and a tokenizer with one token per letter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipModel

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
IMAGE_SIZE, POSITIONS = 48, 32


def tokenizer(padding_side: str = "right") -> PreTrainedTokenizerFast:
    """A tokenizer with one token per letter; SigLIP pads on the right, SigLIP 2 by default on the left."""
    vocabulary = {token: number for number, token in enumerate(["<pad>", "</s>", "<unk>", *LETTERS])}
    backend = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side=padding_side, **special)


def write_siglip(folder: Path, padding_side: str = "right", **vision: Any) -> Path:
    """Writes a folder in HF format, as `save_pretrained` does, without preprocessor_config.json."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    letters = tokenizer(padding_side)
    config = SiglipConfig(
        vision_config={**sizes, "image_size": IMAGE_SIZE, "patch_size": 16, **vision},
        text_config={
            **sizes,
            "vocab_size": len(letters),
            "max_position_embeddings": POSITIONS,
            "projection_size": 32,
            "pad_token_id": 0,
            "eos_token_id": 1,
        },
    )
    model = SiglipModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.logit_scale.fill_(3.0)
        model.logit_bias.fill_(-2.0)
    model.save_pretrained(folder)
    letters.save_pretrained(folder)
    return folder


def pixels_of(clips: torch.Tensor) -> torch.Tensor:
    """uint8 frames (B, T, 3, S, S) as SigLIP's own image processor normalizes them."""
    return (clips.flatten(0, 1) / 255 - 0.5) / 0.5


def tokens_of(sentences: Sequence[str]) -> torch.Tensor:
    """Token ids in SigLIP's own convention, padded on the right to all positions."""
    encoded = tokenizer()(list(sentences), padding="max_length", max_length=POSITIONS, return_tensors="pt")
    tokens: torch.Tensor = encoded["input_ids"]
    return tokens
