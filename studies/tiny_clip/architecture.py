"""The tiny CLIP before training: architecture, initial weights, tokenizer."""

import math
import random
from typing import Final

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from studies.tiny_clip.captions import caption
from studies.tiny_clip.stills import sample_still

IMAGE_SIDE: Final = 48
WIDTH: Final = 128
POSITIONS: Final = 77
_HEADS: Final = 4
_PATCH: Final = 8
_VOCABULARY: Final = 1000


def train_tokenizer(seed: str) -> CLIPTokenizer:
    """Learns byte-pair merges from captions; otherwise as in CLIP: lower case, 77 positions, end token as padding."""
    rng = random.Random(seed)
    stills = (sample_still(rng) for _ in range(20_000))
    corpus = [caption(still.appearance, still.state, rng) for still in stills]
    tokenizer: CLIPTokenizer = CLIPTokenizer(model_max_length=POSITIONS).train_new_from_iterator(corpus, _VOCABULARY)
    return tokenizer


def tiny_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Returns a CLIP of 1.1 million parameters with 8-pixel patches, initialized from torch's global generator."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": _HEADS,
        "max_position_embeddings": POSITIONS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "hidden_act": "gelu",
        "projection_dim": WIDTH,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": _HEADS,
        "image_size": IMAGE_SIDE,
        "patch_size": _PATCH,
        "hidden_act": "gelu",
        "projection_dim": WIDTH,
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))
    _initialize_like_trained(model)
    return model


@torch.no_grad()
def _initialize_like_trained(model: CLIPModel) -> None:
    """Applies mimetic initialization (Trockman and Kolter, ICML 2023) to the vision tower.

    Q K^T starts near the identity, V W near its negative, and position embeddings are sinusoids.
    """
    vision = model.vision_model
    for layer in vision.encoder.layers:
        attention = layer.self_attn
        rows = WIDTH // _HEADS
        for head in range(_HEADS):
            left, singular, right = torch.linalg.svd(_near_identity(0.7, 0.7))
            root = singular[:rows].sqrt()
            attention.q_proj.weight[head * rows : (head + 1) * rows] = (left[:, :rows] * root).T
            attention.k_proj.weight[head * rows : (head + 1) * rows] = right[:rows] * root[:, None]
        left, singular, right = torch.linalg.svd(_near_identity(0.4, -0.4))
        attention.v_proj.weight.copy_(right * singular.sqrt()[:, None])
        attention.out_proj.weight.copy_(left * singular.sqrt())
    side = IMAGE_SIDE // _PATCH
    rows_of, columns_of = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    frequencies = 100.0 ** -(torch.arange(WIDTH // 4) / (WIDTH // 4))
    waves = [
        wave(axis.flatten()[:, None] * frequencies) for axis in (rows_of, columns_of) for wave in (torch.sin, torch.cos)
    ]
    vision.embeddings.position_embedding.weight[1:] = 0.5 * torch.cat(waves, dim=1)


def _near_identity(noise: float, identity: float) -> Tensor:
    return noise * torch.randn(WIDTH, WIDTH) / math.sqrt(WIDTH) + identity * torch.eye(WIDTH)


class CosineHead(nn.Module):
    """Learned class vectors of one attribute, compared by cosine; used only in the attribute warm-up.

    Args:
        values: Number of values of the attribute.
        scale: Inverse temperature.
    """

    def __init__(self, values: int, scale: float = 14.0) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(values, WIDTH) / math.sqrt(WIDTH))
        self.scale = scale

    def forward(self, embeddings: Tensor) -> Tensor:
        """Returns logits (B, values) of L2-normalized embeddings (B, WIDTH); a vector's length acts as temperature."""
        return self.scale * embeddings @ self.vectors.T
