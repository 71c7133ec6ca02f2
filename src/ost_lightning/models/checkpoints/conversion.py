"""Conversion of foreign checkpoints to folders in HF format, and back."""

import hashlib
import pickle
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from ost_lightning.errors import CheckpointError
from ost_lightning.files import atomic_write
from ost_lightning.models.checkpoints.foreign_layouts import (
    KeyReport,
    Layout,
    from_hugging_face,
    layout_of,
    to_hugging_face,
)
from ost_lightning.models.encoders import NAMED_STATISTICS, Preprocessing
from ost_lightning.models.encoders.pretrained.hub import local_files_only
from ost_lightning.models.encoders.pretrained.loading import load_tokenizer, source_of
from ost_lightning.models.safe_checkpoints import read_frame_count, read_weights
from ost_lightning.models.unreadable_weights import problem_in

RELEASED_NOTICE: Final = (
    "If the authors of OST released these weights: the page that hosts them licenses them under CC BY-NC-SA 4.0 "
    "(non-commercial, share alike), unlike their code (MIT). Conversion does not change the license."
)
_WEIGHTS_FILE: Final = "model.safetensors"
_ORIGIN_FILE: Final = "ORIGIN.txt"


def import_checkpoint(file: Path, folder: Path, clip: str) -> tuple[Layout, KeyReport]:
    """Writes a checkpoint of OpenAI's CLIP, OST or ViFi-CLIP as a folder in HF format.

    Tensors keep their dtype. They are memory-mapped from the file, so the conversion needs little additional memory.

    Args:
        file: Checkpoint in a format that `read_weights` supports.
        folder: New folder for config.json, model.safetensors, the tokenizer, the preprocessing and ORIGIN.txt.
        clip: Hub id or folder of a CLIP in HF format, the source of the tokenizer, and of the token embedding if the
            file omits it (ViFi-CLIP).

    Returns:
        Layout of the checkpoint, and the comparison of its tensors with those of a complete CLIP.

    Raises:
        CheckpointError: If the file is not exactly one complete CLIP, or the folder already exists.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} already exists: choose another name, or remove it.")
    tensors = read_weights(file)
    layout = layout_of(tensors)
    lacks_tokens = layout == "released" and not any(name.endswith("token_embedding.weight") for name in tensors)
    config, converted, report = to_hugging_face(tensors, _token_embedding(clip) if lacks_tokens else None)
    vocabulary: int = config.text_config.vocab_size  # type: ignore[union-attr]  # a config object once constructed
    tokenizer = load_tokenizer(clip, vocabulary)
    if tokenizer.eos_token_id != vocabulary - 1:
        raise CheckpointError(
            f"The tokenizer of {clip} ends sentences with token {tokenizer.eos_token_id}, but the checkpoint expects "
            f"{vocabulary - 1}, its last token: name the CLIP that it was tuned from (--pretrained)."
        )
    with atomic_write(folder) as partial:
        partial.mkdir()
        config.architectures = [CLIPModel.__name__]
        config.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        save_file(converted, partial / _WEIGHTS_FILE, metadata={"format": "pt"})
        _preprocessing(file, layout, config).save(partial)
        (partial / _ORIGIN_FILE).write_text(_origin(file, layout, report), encoding="utf-8")
    return layout, report


def export_checkpoint(folder: Path, file: Path, layout: Layout) -> int:
    """Writes a folder in HF format as a checkpoint that the authors' code can read.

    Args:
        folder: Folder with config.json and model.safetensors.
        file: New file: a state dictionary (`openai`), or one under the key `model` (`released`).
        layout: Layout of the new file.

    Returns:
        Number of tensors.

    Raises:
        CheckpointError: If the folder is incomplete or doesn't fit the layout, or the file already exists.
    """
    if file.exists():
        raise CheckpointError(f"{file} already exists: choose another name, or remove it.")
    weights = folder / _WEIGHTS_FILE
    if not weights.is_file() or not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} lacks config.json or {_WEIGHTS_FILE}: expected a complete CLIP in HF format.")
    config = CLIPConfig.from_pretrained(folder)
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} can't be read: {problem_in(error)}") from error
    renamed = from_hugging_face(config, tensors, layout)
    # saving a view would save its entire storage
    content = {name: tensor.clone() if _is_view(tensor) else tensor for name, tensor in renamed.items()}
    with atomic_write(file) as partial:
        torch.save({"model": content} if layout == "released" else content, partial)
    return len(content)


def _preprocessing(file: Path, layout: Layout, config: CLIPConfig) -> Preprocessing:
    """Returns the preprocessing of OpenAI's CLIP, or that of the released code: ImageNet's statistics, and decord."""
    size: int = config.vision_config.image_size  # type: ignore[union-attr, assignment]
    if layout == "openai":
        return Preprocessing(size, NAMED_STATISTICS["clip"].mean, NAMED_STATISTICS["clip"].std)
    statistics = NAMED_STATISTICS["imagenet"]
    return Preprocessing(
        size,
        statistics.mean,
        statistics.std,
        filter="bilinear",
        frames=read_frame_count(file),
        sample_aspect=False,
    )


def _token_embedding(clip: str) -> Tensor:
    try:
        model = CLIPModel.from_pretrained(source_of(clip), local_files_only=local_files_only(clip))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint omits its token embedding, and there is no CLIP '{clip}' to take it from: name the CLIP "
            "that it was tuned from (--pretrained)."
        ) from error
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"The weights of {clip} can't be read: {problem_in(error)}") from error
    embedding: Tensor = model.text_model.embeddings.token_embedding.weight.detach()
    return embedding


def _is_view(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() != tensor.nbytes


def _origin(file: Path, layout: Layout, report: KeyReport) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    lines = [f"Converted from {file.name} (SHA-256 {digest}).", f"{report}."]
    if layout == "released":
        lines.append(RELEASED_NOTICE)
    return "\n".join(lines) + "\n"
