"""CLIP of ViT-B size with random weights, which need no download and take the same time as trained ones."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel

from ost_lightning.models import TokenizedSentences, VideoCLIP
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.vocabulary import SentenceKind


def random_clip(patch: int, device: str, layers: int = 12, **options: Any) -> VideoCLIP:
    """Returns ViT-B/32 or ViT-B/16, with the small packaged tokenizer, which is not timed."""
    with tempfile.TemporaryDirectory() as folder:
        return VideoCLIP(str(save_random_clip(patch, Path(folder), layers)), **options).to(device)


def save_random_clip(patch: int, folder: Path, layers: int = 12) -> Path:
    """Writes ViT-B/32 or ViT-B/16 in HF format, with the small packaged tokenizer, and returns the folder."""
    small = CLIPConfig.from_pretrained(tiny_clip_folder())
    ends = {key: getattr(small.text_config, key) for key in ("vocab_size", "bos_token_id", "eos_token_id")}
    depth = {"num_hidden_layers": layers}
    config = CLIPConfig(text_config=ends | depth, vision_config={"patch_size": patch} | depth)
    CLIPModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_clip_folder() / name).read_bytes())
    return folder


def random_sentences(clip: VideoCLIP, kinds: tuple[SentenceKind, ...], classes: int, length: int) -> TokenizedSentences:
    """Returns four sentences of random tokens per class and kind (one for the name)."""
    text = clip.encoder.model.config.text_config
    tokens, lengths = {}, {}
    for kind in kinds:
        count = 1 if kind == "name" else 4
        rows = torch.randint(3, text.vocab_size, (classes, count, length))
        rows[..., 0], rows[..., -1] = text.bos_token_id, text.eos_token_id
        tokens[kind], lengths[kind] = rows, torch.full((classes, count), length)
    return TokenizedSentences(tokens, lengths)
