"""The tiny models before training: architectures, initial weights, tokenizer."""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, SiglipConfig, SiglipModel

from ost_lightning.models.encoders import NAMED_STATISTICS, DualEncoder, Preprocessing
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.models.encoders.siglip import SiglipEncoder
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer
from studies.tiny_clip.captions import caption
from studies.tiny_clip.stills import sample_still

Architecture = Literal["clip", "siglip"]

IMAGE_SIDE: Final = 48
WIDTH: Final = 128
_CLIP_POSITIONS: Final = 77
_SIGLIP_POSITIONS: Final = 48  # sentences are always padded to them, and those of the rendered world have at most 41
_HEADS: Final = 4
_PATCH: Final = 8
_VOCABULARY: Final = 1000


def train_tokenizer(seed: str, stills: int = 20_000) -> CLIPTokenizer:
    """Learns byte-pair merges from captions of stills; otherwise as in CLIP: lower case, end token as padding."""
    rng = random.Random(seed)
    shown = (sample_still(rng) for _ in range(stills))
    corpus = [caption(still.appearance, still.state, rng) for still in shown]
    tokenizer: CLIPTokenizer = CLIPTokenizer().train_new_from_iterator(corpus, _VOCABULARY)
    return tokenizer


def tiny_clip(tokenizer: CLIPTokenizer) -> CLIPEncoder:
    """Returns a CLIP of 1.1 million parameters with 8-pixel patches, initialized from torch's global generator."""
    text, vision = _tower_settings(tokenizer, _CLIP_POSITIONS)
    own = {"hidden_act": "gelu", "projection_dim": WIDTH}
    model = CLIPModel(CLIPConfig(text_config=text | own, vision_config=vision | own, projection_dim=WIDTH))
    _initialize_like_trained(model)
    sentences = SentenceTokenizer(tokenizer, _CLIP_POSITIONS, end_token=tokenizer.eos_token_id)
    return CLIPEncoder(model, sentences, _preprocessing(CLIPEncoder))


def tiny_siglip(tokenizer: CLIPTokenizer) -> SiglipEncoder:
    """Returns a SigLIP of 1.3 million parameters, otherwise as the tiny CLIP.

    Logit scale and bias begin at 10 and -10 and are trained (Zhai et al., "Sigmoid Loss for Language Image
    Pre-Training", ICCV 2023).
    """
    text, vision = _tower_settings(tokenizer, _SIGLIP_POSITIONS)
    model = SiglipModel(SiglipConfig(text_config=text | {"projection_size": WIDTH}, vision_config=vision))
    _initialize_like_trained(model)
    nn.init.constant_(model.logit_scale, math.log(10.0))
    nn.init.constant_(model.logit_bias, -10.0)
    sentences = SentenceTokenizer(
        tokenizer, _SIGLIP_POSITIONS, fixed_length=True, canonicalize=SiglipEncoder.canonicalize
    )
    encoder = SiglipEncoder(model, sentences, _preprocessing(SiglipEncoder))
    encoder.logit_bias.requires_grad_()
    return encoder


ARCHITECTURES: Final[Mapping[Architecture, Callable[[CLIPTokenizer], DualEncoder]]] = {
    "clip": tiny_clip,
    "siglip": tiny_siglip,
}


def _tower_settings(tokenizer: CLIPTokenizer, positions: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of the text tower and of the vision tower that the architectures share."""
    tokenizer.model_max_length = positions
    both = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": _HEADS}
    text = {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "max_position_embeddings": positions,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return both | text, both | {"num_hidden_layers": 3, "image_size": IMAGE_SIDE, "patch_size": _PATCH}


def _preprocessing(encoder: type[DualEncoder]) -> Preprocessing:
    """Returns the architecture's statistics, and cropping for both, because the recipe crops its stills."""
    statistics = NAMED_STATISTICS[encoder.statistics]
    return Preprocessing(IMAGE_SIDE, statistics.mean, statistics.std, "shortest_side")


@torch.no_grad()
def _initialize_like_trained(model: CLIPModel | SiglipModel) -> None:
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
    patches = vision.embeddings.position_embedding.weight[-(side**2) :]  # CLIP's class token is before them
    patches.copy_(0.5 * torch.cat(waves, dim=1))


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
