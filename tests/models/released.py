"""Outputs of the authors' code at a tiny size, and a CLIP in HF format with the same weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import CLIPConfig, CLIPModel

from ost_lightning.models import TokenizedSentences
from ost_lightning.models.checkpoints.foreign_layouts import correspondences
from tests.models.foreign import tokenizer

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Sizes:
    """Sizes of the towers: width, heads and layers of each, and what they share."""

    vision: tuple[int, int, int]
    text: tuple[int, int, int]
    embedding: int
    vocabulary: int
    image: int
    patch: int


@dataclass(frozen=True)
class Released:
    """Tensors that the authors' code wrote, by name, and its sizes."""

    tensors: Mapping[str, Tensor]
    about: Mapping[str, str]

    @classmethod
    def load(cls, name: str) -> Self:
        """Reads a file by its path beside this module, without the suffix."""
        with safe_open(HERE / f"{name}.safetensors", "pt") as file:
            return cls({key: file.get_tensor(key) for key in list(file.keys())}, file.metadata())

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Returns the tensors whose names begin with a prefix, without it."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    def number(self, name: str) -> int:
        """Returns one of the sizes."""
        return int(self.about[name])

    def names(self) -> list[list[str]]:
        """Returns each class name as words."""
        found: list[list[str]] = json.loads(self.about["names"])
        return found


def openai_clip(weights: Mapping[str, Tensor], sizes: Sizes) -> CLIPModel:
    """Builds a CLIP from weights under OpenAI's names."""
    config = CLIPConfig(
        vision_config={**_tower(*sizes.vision), "image_size": sizes.image, "patch_size": sizes.patch},
        text_config={
            **_tower(*sizes.text),
            "vocab_size": sizes.vocabulary,
            "bos_token_id": sizes.vocabulary - 2,
            "eos_token_id": sizes.vocabulary - 1,
            "pad_token_id": 0,
        },
        projection_dim=sizes.embedding,
    )
    model = CLIPModel(config).eval()
    converted = {}
    for entry in correspondences(sizes.vision[2], sizes.text[2]):
        converted |= entry.to_hugging_face(weights[entry.openai])
    model.load_state_dict(converted)
    return model


def _tower(width: int, heads: int, layers: int) -> dict[str, int | str]:
    return {
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "intermediate_size": 4 * width,
        "hidden_act": "quick_gelu",
    }


def write(model: CLIPModel, folder: Path) -> Path:
    """Writes a model as a folder in HF format, with a tokenizer of one word per token: t1, t2 and so on."""
    model.save_pretrained(folder)
    tokenizer(model.config.text_config.vocab_size).save_pretrained(folder)
    return folder


def sentences(rows: Tensor) -> TokenizedSentences:
    """Returns token ids (K, L), with zeros behind the end, as sentences with prompts; class k has row k."""
    lengths = rows.argmax(-1) + 1  # the end token has the largest id
    return TokenizedSentences({"name": rows[:, None]}, {"name": lengths[:, None]}, torch.arange(len(rows)))


def assert_outputs_and_loss(released: Released, videos: Tensor, texts: Tensor, logits: Tensor) -> None:
    """Compares unit vectors (B, d) and (K, d), logits (B, K) and their loss with the figures of the authors' code."""
    features = (F.normalize(released[f"outputs/{kind}_features"], dim=-1) for kind in ("video", "text"))
    for found, expected in zip((videos, texts), features, strict=True):
        assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert_close(logits.detach(), released["outputs/logits"], rtol=1e-5, atol=1e-5)
    loss = F.cross_entropy(logits, released["training/labels"])
    assert_close(loss.detach(), released["training/loss"], rtol=1e-5, atol=0)
