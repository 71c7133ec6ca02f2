"""Outputs of the authors' code at a tiny size, and the conversion of its weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from ost_lightning.models import TokenizedSentences
from ost_lightning.models.checkpoints.conversion import ImportedCheckpoint, import_checkpoint
from ost_lightning.models.checkpoints.layouts import ReleasedLayout
from tests.models.foreign import tokenizer

HERE = Path(__file__).parent


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


def converted(
    state: Mapping[str, Tensor], folder: Path, heads: tuple[int, int] = (1, 1), **options: Any
) -> ImportedCheckpoint:
    """Converts a checkpoint to `folder / "converted"`.

    Args:
        state: Name to tensor, as in the authors' file.
        folder: Folder, which may have the CLIP that the weights were tuned from in `clip`; a tokenizer of one word per
            token otherwise: t1, t2 and so on.
        heads: Attention heads of the towers, which are not in the weights: those of tiny ones are not one per 64
            channels.
        options: Other arguments of `import_checkpoint`, and `key`, under which the file has the state.
    """
    if not (folder / "clip").exists():
        tokens = next(tensor for name, tensor in state.items() if name.endswith("token_embedding.weight"))
        tokenizer(len(tokens)).save_pretrained(folder / "clip")
    torch.save({options.pop("key", "state_dict"): dict(state), "epoch": 3}, folder / "released.pth")
    found = import_checkpoint(folder / "released.pth", folder / "converted", str(folder / "clip"), **options)
    file = folder / "converted" / "config.json"
    config = json.loads(file.read_text())
    for tower, number in zip(("vision_config", "text_config"), heads, strict=True):
        config[tower]["num_attention_heads"] = number
    file.write_text(json.dumps(config))
    return found


def assert_gradients(
    model: nn.Module, layout: ReleasedLayout, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Compares the gradients of a model with those of the authors' code, under the authors' names."""
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    entries = {entry.released: entry for entry in layout.entries(state)}
    for released, gradient in expected.items():
        entry = entries[released]
        for name, part in zip(entry.names, entry.change(gradient), strict=True):
            found = gradients[f"{entry.part}.{name}"]
            assert found is not None, name
            assert (found - part).norm() <= 1e-4 * part.norm(), name


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
