"""Conversion of foreign checkpoints to folders in HF format, and back."""

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from ost_lightning.errors import CheckpointError
from ost_lightning.files import atomic_write
from ost_lightning.models.checkpoints.class_names import class_names_as_tensor
from ost_lightning.models.checkpoints.foreign_layouts import (
    KeyReport,
    Layout,
    from_hugging_face,
    layout_of,
    text_tower,
    to_hugging_face,
)
from ost_lightning.models.checkpoints.layouts import layout_with_parts, plain_name
from ost_lightning.models.checkpoints.layouts.sorting import sort_checkpoint
from ost_lightning.models.checkpoints.part_files import write_part_weights
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


class ImportedCheckpoint(NamedTuple):
    """What became of a checkpoint.

    Attributes:
        layout: Name of its layout.
        report: Comparison of its tensors with those of a complete model.
        overlay: Overlay of `experiments/baselines` that the weights are for; None for those of a plain CLIP.
        settings: Settings of `video_clip` that follow from the shapes of its parts, by name.
        frames: Number of frames per clip that the weights were trained with; None if unknown.
    """

    layout: str
    report: KeyReport
    overlay: str | None = None
    settings: Mapping[str, object] = MappingProxyType({})
    frames: int | None = None


def import_checkpoint(file: Path, folder: Path, clip: str, classes: Sequence[str] | None = None) -> ImportedCheckpoint:
    """Writes a checkpoint in a foreign layout as a folder in HF format.

    Tensors keep their dtype. They are memory-mapped from the file, so the conversion needs little additional memory.

    Args:
        file: Checkpoint in a format that `read_weights` supports.
        folder: New folder for config.json, model.safetensors, the tokenizer, the preprocessing and ORIGIN.txt; parts
            beside the CLIP, such as learned prompts, get files of their own.
        clip: Hub id or folder of a CLIP in HF format, the source of the tokenizer, and of frozen weights that the file
            omits: the token embedding (ViFi-CLIP), or the text tower.
        classes: Names of the classes that the file has contexts for, in the order of the training's labels; None if it
            has none.

    Raises:
        CheckpointError: If the file is not exactly one complete model, or the folder already exists.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} already exists: choose another name, or remove it.")
    tensors = read_weights(file)
    layout = layout_with_parts(tensors)
    if layout is None:
        _check_classes(classes, None)
        return _import_clip(file, tensors, folder, clip)
    tensors = {plain_name(name): tensor for name, tensor in tensors.items()}
    _check_classes(classes, layout.class_contexts(tensors))
    found = sort_checkpoint(layout, tensors, lambda: text_tower(_clip_model(clip, "text tower")))
    size: int = found.config.vision_config.image_size
    preprocessing = Preprocessing(
        size,
        NAMED_STATISTICS[layout.statistics].mean,
        NAMED_STATISTICS[layout.statistics].std,
        filter=layout.filter,
        frames=layout.frames(tensors),
        short_side=round(size * layout.short_side_ratio),
        sample_aspect=False,
    )
    if classes is not None:
        found.parts["text_prompts"]["classes"] = class_names_as_tensor(classes)
    with atomic_write(folder) as partial:
        partial.mkdir()
        _write_model(partial, found.config, found.encoder, clip, preprocessing)
        for part, weights in found.parts.items():
            write_part_weights(weights, part, partial)
        (partial / _ORIGIN_FILE).write_text(_origin(file, layout.name, found.report), encoding="utf-8")
    return ImportedCheckpoint(
        layout.name, found.report, layout.overlay(tensors), layout.settings(tensors), preprocessing.frames
    )


def _import_clip(file: Path, tensors: Mapping[str, Tensor], folder: Path, clip: str) -> ImportedCheckpoint:
    """Writes a checkpoint that is a CLIP without other parts."""
    layout = layout_of(tensors)
    lacks_tokens = layout == "released" and not any(name.endswith("token_embedding.weight") for name in tensors)
    config, converted, report = to_hugging_face(tensors, _token_embedding(clip) if lacks_tokens else None)
    with atomic_write(folder) as partial:
        partial.mkdir()
        config.architectures = [CLIPModel.__name__]
        _write_model(partial, config, converted, clip, _preprocessing(file, layout, config))
        (partial / _ORIGIN_FILE).write_text(_origin(file, layout, report), encoding="utf-8")
    return ImportedCheckpoint(layout, report)


def _check_classes(classes: Sequence[str] | None, expected: int | None) -> None:
    """Checks that class names are given exactly if there are contexts of single classes, and as many."""
    if expected is None and classes is not None:
        raise CheckpointError("The checkpoint has no contexts of single classes: leave out --labels.")
    if expected is not None and classes is None:
        raise CheckpointError(
            f"The checkpoint has contexts of {expected} classes, but not their names: name the label space of the "
            "training with --labels, such as kinetics400. Its classes must be in the order of the training's labels."
        )
    if expected is not None and classes is not None and len(classes) != expected:
        raise CheckpointError(
            f"The checkpoint has contexts of {expected} classes, but --labels has {len(classes)}: name the label space "
            "of the training."
        )


def _write_model(
    folder: Path, config: Any, weights: Mapping[str, Tensor], clip: str, preprocessing: Preprocessing
) -> None:
    """Writes the encoder, the tokenizer of a CLIP, and the preprocessing."""
    vocabulary: int = config.text_config.vocab_size
    tokenizer = load_tokenizer(clip, vocabulary)
    if tokenizer.eos_token_id != vocabulary - 1:
        raise CheckpointError(
            f"The tokenizer of {clip} ends sentences with token {tokenizer.eos_token_id}, but the checkpoint expects "
            f"{vocabulary - 1}, its last token: name the CLIP that it was tuned from (--pretrained)."
        )
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_file(dict(weights), folder / _WEIGHTS_FILE, metadata={"format": "pt"})
    preprocessing.save(folder)


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
    embedding: Tensor = _clip_model(clip, "token embedding").text_model.embeddings.token_embedding.weight.detach()
    return embedding


def _clip_model(clip: str, omitted: str) -> CLIPModel:
    """Returns the CLIP that a checkpoint was tuned from, for weights that it omits."""
    try:
        model: CLIPModel = CLIPModel.from_pretrained(source_of(clip), local_files_only=local_files_only(clip))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint omits its {omitted}, and there is no CLIP '{clip}' to take it from: name the CLIP "
            "that it was tuned from (--pretrained)."
        ) from error
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"The weights of {clip} can't be read: {problem_in(error)}") from error
    return model


def _is_view(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() != tensor.nbytes


def _origin(file: Path, layout: str, report: KeyReport) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    lines = [f"Converted from {file.name} (SHA-256 {digest}).", f"{report}."]
    if layout == "released":
        lines.append(RELEASED_NOTICE)
    return "\n".join(lines) + "\n"
