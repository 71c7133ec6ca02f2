"""Tiny models of open_clip with random weights: the real architectures, made small, in open_clip's folder format."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.models import eva, fastvit, vision_transformer, vision_transformer_hybrid
from torch import nn

from tests.models.encoders.siglip_miniature import tokenizer

OPENAI = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
UNIT = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
CLIP_PIXELS = {**OPENAI, "interpolation": "bicubic", "resize_mode": "shortest"}


@timm.models.register_model
def miniature_pe_core(**kwargs: Any) -> nn.Module:
    size = {"img_size": 48, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2, "ref_feat_shape": (3, 3)}
    kind = {"global_pool": "map", "attn_type": "rope", "use_pre_transformer_norm": True, "use_rot_pos_emb": True}
    rope = {"rope_grid_offset": 1.0, "rope_grid_indexing": "xy", "attn_pool_num_heads": 2, "attn_pool_mlp_ratio": 4.0}
    return eva.Eva(**{**size, **kind, **rope, **_without_pretraining(kwargs)})


@timm.models.register_model
def miniature_eva02(**kwargs: Any) -> nn.Module:
    size = {"img_size": 48, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2, "ref_feat_shape": (4, 4)}
    kind = {"qkv_fused": False, "swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True}
    return eva.Eva(**{**size, **kind, "use_rot_pos_emb": True, **_without_pretraining(kwargs)})


@timm.models.register_model
def miniature_siglip(**kwargs: Any) -> nn.Module:
    size = {"img_size": 48, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}
    kind = {"class_token": False, "global_pool": "map"}
    return vision_transformer.VisionTransformer(**{**size, **kind, **_without_pretraining(kwargs)})


@timm.models.register_model
def miniature_mci(**kwargs: Any) -> nn.Module:
    stem = vision_transformer_hybrid.ConvStem(
        channels=(8, 8, 32), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0, act_layer=nn.GELU
    )
    embed = partial(vision_transformer_hybrid.HybridEmbed, backbone=stem, proj=False)
    size = {"img_size": 48, "patch_size": 1, "embed_dim": 32, "depth": 2, "num_heads": 2, "no_embed_class": True}
    return vision_transformer.VisionTransformer(embed_layer=embed, **{**size, **_without_pretraining(kwargs)})


@timm.models.register_model
def miniature_fastvit(**kwargs: Any) -> nn.Module:
    positions = (None, partial(fastvit.RepConditionalPosEnc, spatial_shape=(7, 7)))
    size = {"layers": (1, 1), "embed_dims": (16, 32), "mlp_ratios": (2, 2), "pos_embs": positions}
    kind = {"downsamples": (False, True), "se_downsamples": (False, True), "token_mixers": ("repmixer", "attention")}
    return fastvit.FastVit(**{**size, **kind, "lkc_use_act": True, **_without_pretraining(kwargs)})


@timm.models.register_model
def miniature_convnext(**kwargs: Any) -> nn.Module:
    network = timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), **_without_pretraining(kwargs))
    network.default_cfg = {"pool_size": (2, 2)}
    return network


def _without_pretraining(kwargs: dict[str, Any]) -> dict[str, Any]:
    ignored = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"}
    return {name: value for name, value in kwargs.items() if name not in ignored}


@dataclass(frozen=True)
class Family:
    """What distinguishes a family of open_clip's models.

    Attributes:
        vision: vision_cfg.
        text: text_cfg, beyond the sizes.
        pixels: preprocess_cfg.
        model: Further settings of the model.
        positions: Number of text positions.
        padded: Whether the text tower sees padding.
        letters: Whether the tokenizer is one of transformers.
    """

    vision: dict[str, Any]
    text: dict[str, Any] = field(default_factory=dict)
    pixels: dict[str, Any] = field(default_factory=lambda: CLIP_PIXELS)
    model: dict[str, Any] = field(default_factory=dict)
    positions: int = 77
    padded: bool = False
    letters: bool = False


def _timm(name: str, pool: str = "token", proj: str | None = None) -> dict[str, Any]:
    return {"image_size": 48, "timm_model_name": f"miniature_{name}", "timm_pool": pool, "timm_proj": proj}


CUSTOM = {"custom_text": True}
VIT = {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
BIDIRECTIONAL = {"no_causal_mask": True}
SIGLIP_TEXT = {**BIDIRECTIONAL, "hf_tokenizer_name": "timm/none", "tokenizer_kwargs": {"clean": "canonicalize"}}

FAMILIES = {
    "laion": Family(VIT),
    "openai": Family(VIT, model={"quick_gelu": True}),
    "dfn": Family(VIT, model={"quick_gelu": True, **CUSTOM}),
    "pe_core": Family(
        _timm("pe_core", pool="map"),
        pixels={**HALF, "interpolation": "bilinear", "resize_mode": "squash"},
        model=CUSTOM,
        positions=32,
    ),
    "eva02": Family(_timm("eva02"), model=CUSTOM),
    "mobileclip2": Family(
        _timm("fastvit", "avg"),
        BIDIRECTIONAL,
        {**UNIT, "interpolation": "bilinear", "resize_mode": "shortest"},
        CUSTOM,
        padded=True,
    ),
    "mobileclip2_b": Family(
        _timm("mci"), pixels={**UNIT, "interpolation": "bilinear", "resize_mode": "shortest"}, model=CUSTOM
    ),
    "siglip": Family(
        _timm("siglip", pool="map", proj="none"),
        {**SIGLIP_TEXT, "pool_type": "last", "proj_bias": True, "norm_kwargs": {"eps": 1e-6}},
        {**HALF, "interpolation": "bicubic", "resize_mode": "squash"},
        {**CUSTOM, "init_logit_bias": -10},
        positions=32,
        padded=True,
        letters=True,
    ),
    "worldwide": Family(
        VIT, {"hf_tokenizer_name": "none/none", "pool_type": "eos", "eos_id": 1}, positions=40, letters=True
    ),
    "convnext": Family(_timm("convnext", "", "linear")),
    "resnet": Family({"image_size": 48, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}),
}


def write_open_clip(folder: Path, name: str, seed: int = 0, **changes: Any) -> Path:
    """Writes a folder as open_clip does, with every weight random; `changes` are further settings of the model."""
    family = FAMILIES[name]
    torch.manual_seed(seed)
    text = {"width": 16, "heads": 2, "layers": 2, "context_length": family.positions, **family.text}
    if family.letters:
        tokenizer().save_pretrained(folder)
        text["vocab_size"] = len(tokenizer())
    settings = {"embed_dim": 32, "vision_cfg": family.vision, "text_cfg": text, **family.model, **changes}
    arguments = {key: value for key, value in settings.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if settings.get("custom_text") else open_clip.CLIP
    model = kind(**arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(std=0.1)
            if key.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        model.logit_scale.fill_(3.0)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": settings, "preprocess_cfg": family.pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / WEIGHTS)
    return folder


WEIGHTS = "open_clip_model.safetensors"
