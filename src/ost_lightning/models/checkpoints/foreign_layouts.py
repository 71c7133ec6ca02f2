"""Tensor names of CLIP in OpenAI's checkpoints, in the released OST and ViFi-CLIP checkpoints, and in HF format."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from ost_lightning.errors import CheckpointError

Layout = Literal["openai", "released"]
"""`openai`: OpenAI's CLIP. `released`: OST and ViFi-CLIP, whose towers are called image_encoder and text_encoder."""

_CHANNELS_PER_HEAD: Final = 64  # the same in every CLIP; the number of heads can't be derived from the weights
_PARALLEL: Final = "module."  # prefix of nn.DataParallel
_RELEASED: Final = {"image_encoder.": "visual.", "text_encoder.": "", "logit_scale": "logit_scale"}
_TOKENS: Final = "token_embedding.weight"
NOT_WEIGHTS: Final = frozenset({"input_resolution", "context_length", "vocab_size", "attn_mask"})
"""Sizes that OpenAI's archives store as buffers."""
# token embeddings of the training sentences
_EMBEDDED_SENTENCES: Final = frozenset(
    f"prompt_learner.{name}" for name in ("complete_text_embeddings", "token_prefix", "token_suffix")
)


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Names of one tensor in both layouts.

    Attributes:
        openai: Name in OpenAI's layout.
        hugging_face: Name in HF's layout, or three names where HF splits a tensor that OpenAI stacks.
        transposed: Whether HF stores the transpose of OpenAI's tensor.
    """

    openai: str
    hugging_face: tuple[str, ...]
    transposed: bool = False

    def to_hugging_face(self, tensor: Tensor) -> dict[str, Tensor]:
        """Returns HF's tensors, as views wherever possible."""
        if self.transposed:
            return {self.hugging_face[0]: tensor.T.contiguous()}
        if len(self.hugging_face) == 1:
            return {self.hugging_face[0]: tensor}
        return dict(zip(self.hugging_face, tensor.tensor_split(len(self.hugging_face)), strict=True))

    def to_openai(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Returns OpenAI's tensor."""
        parts = [tensors[name] for name in self.hugging_face]
        return parts[0].T.contiguous() if self.transposed else parts[0] if len(parts) == 1 else torch.cat(parts)


@dataclass(frozen=True, slots=True)
class KeyReport:
    """Comparison of a file's tensors with those of a complete CLIP; names are those in the file.

    Attributes:
        matched: Tensors that were found and used.
        completed: Tensors that the file omits by design, taken from another CLIP.
        missing: Tensors that the file lacks.
        unexpected: Tensors of unknown meaning.
        ignored: Tensors that are known not to be weights of CLIP.
    """

    matched: tuple[str, ...]
    completed: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    ignored: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} tensors matched"]
        for label in ("missing", "unexpected", "completed", "ignored"):
            names: tuple[str, ...] = getattr(self, label)
            examples = f" ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else ""
            parts += [f"{len(names)} {label}{examples}"]
        return ", ".join(parts)


def correspondences(vision_layers: int, text_layers: int) -> Iterator[Correspondence]:
    """Yields the names of every tensor of a CLIP with a vision transformer."""
    yield Correspondence("logit_scale", ("logit_scale",))
    yield Correspondence("visual.class_embedding", ("vision_model.embeddings.class_embedding",))
    yield Correspondence("visual.conv1.weight", ("vision_model.embeddings.patch_embedding.weight",))
    yield Correspondence("visual.positional_embedding", ("vision_model.embeddings.position_embedding.weight",))
    yield Correspondence("visual.proj", ("visual_projection.weight",), transposed=True)
    yield Correspondence("positional_embedding", ("text_model.embeddings.position_embedding.weight",))
    yield Correspondence(_TOKENS, ("text_model.embeddings.token_embedding.weight",))
    yield Correspondence("text_projection", ("text_projection.weight",), transposed=True)
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    for openai, hugging_face in norms.items():
        yield from _affine(openai, hugging_face)
    for layers, openai, hugging_face in (
        (vision_layers, "visual.transformer.resblocks", "vision_model.encoder.layers"),
        (text_layers, "transformer.resblocks", "text_model.encoder.layers"),
    ):
        for layer in range(layers):
            yield from _block(f"{openai}.{layer}", f"{hugging_face}.{layer}")


def _affine(openai: str, hugging_face: str) -> Iterator[Correspondence]:
    for part in ("weight", "bias"):
        yield Correspondence(f"{openai}.{part}", (f"{hugging_face}.{part}",))


def _block(openai: str, hugging_face: str) -> Iterator[Correspondence]:
    for part in ("weight", "bias"):
        stacked = tuple(f"{hugging_face}.self_attn.{name}_proj.{part}" for name in "qkv")
        yield Correspondence(f"{openai}.attn.in_proj_{part}", stacked)
    names = {
        "attn.out_proj": "self_attn.out_proj",
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    for openai_part, hugging_face_part in names.items():
        yield from _affine(f"{openai}.{openai_part}", f"{hugging_face}.{hugging_face_part}")


def layout_of(names: Mapping[str, Any]) -> Layout:
    """Determines the layout of a checkpoint from its tensors' names.

    Raises:
        CheckpointError: If the layout is unknown, or the vision tower is not a vision transformer.
    """
    plain = {name.removeprefix(_PARALLEL) for name in names}
    if "image_encoder.conv1.weight" in plain and "image_encoder.class_embedding" in plain:
        return "released"
    if "visual.conv1.weight" in plain and "visual.class_embedding" in plain:
        return "openai"
    if any(name.startswith(("visual.layer1.", "image_encoder.layer1.")) for name in plain):
        raise CheckpointError("The checkpoint's vision tower is a ResNet; only vision transformers can be converted.")
    if any(name.startswith("video_clip.") for name in plain):
        raise CheckpointError(
            "The checkpoint was written by `ost fit`: use it with --ckpt_path, or write it as a folder with the "
            "callback WeightEnsembling (ratios: [0], save_to: FOLDER) of `ost test`."
        )
    raise CheckpointError(
        f"The checkpoint is not a CLIP in a known layout: expected tensors like visual.conv1.weight (OpenAI) or "
        f"module.image_encoder.conv1.weight (OST, ViFi-CLIP), found {', '.join(sorted(names)[:4])}."
    )


def to_hugging_face(
    tensors: Mapping[str, Tensor], token_embedding: Tensor | None = None
) -> tuple[CLIPConfig, dict[str, Tensor], KeyReport]:
    """Renames the tensors of a foreign checkpoint.

    Args:
        tensors: Name to tensor of the file, in one of the layouts.
        token_embedding: Token embedding (vocabulary, width) for released ViFi-CLIP checkpoints, which omit it because
            it was frozen.

    Returns:
        The configuration derived from the shapes, the tensors under HF's names, and the comparison with a complete
        CLIP. Tensors keep their dtype and, where possible, their memory.

    Raises:
        CheckpointError: If the file is not exactly one complete CLIP.
    """
    layout = layout_of(tensors)
    original = {_openai_name(name, layout): name for name in tensors}
    found = {plain: tensors[name] for plain, name in original.items()}
    completed: tuple[str, ...] = ()
    if layout == "released" and _TOKENS not in found and token_embedding is not None:
        _check_completion(found, token_embedding)
        found[_TOKENS], completed = token_embedding, (_TOKENS,)
    table = list(correspondences(_depth(found, "visual.transformer"), _depth(found, "transformer")))
    known = {entry.openai for entry in table}
    ignored = {name for name in found if name in NOT_WEIGHTS or name in _EMBEDDED_SENTENCES}
    report = KeyReport(
        matched=tuple(original[name] for name in found if name in known and name in original),
        completed=completed,
        missing=tuple(entry.openai for entry in table if entry.openai not in found),
        unexpected=tuple(original[name] for name in found if name not in known | ignored),
        ignored=tuple(original[name] for name in found if name in ignored),
    )
    if report.missing or report.unexpected:
        raise CheckpointError(f"The checkpoint is not exactly one complete CLIP: {report}.{_hint(report, layout)}")
    try:
        config = _config(found)
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"The shapes in the checkpoint are not those of a CLIP ({error}).") from error
    converted = {key: value for entry in table for key, value in entry.to_hugging_face(found[entry.openai]).items()}
    _check_shapes(config, converted)
    return config, converted, report


def text_tower(model: CLIPModel) -> dict[str, Tensor]:
    """Returns the text tower of a CLIP and its temperature, under OpenAI's names."""
    tensors, config = model.state_dict(), cast("Any", model.config)
    table = correspondences(config.vision_config.num_hidden_layers, config.text_config.num_hidden_layers)
    return {entry.openai: entry.to_openai(tensors) for entry in table if not entry.openai.startswith("visual.")}


def from_hugging_face(config: CLIPConfig, tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Renames the tensors of a folder in HF format.

    Raises:
        CheckpointError: If they are not those of a CLIP that the layout can represent.
    """
    vision, text = (cast("Any", part) for part in (config.vision_config, config.text_config))
    for tower, part in (("vision", vision), ("text", text)):
        if part.hidden_size != _CHANNELS_PER_HEAD * part.num_attention_heads or part.hidden_act != "quick_gelu":
            raise CheckpointError(
                f"The {tower} tower has {part.num_attention_heads} heads of {part.hidden_size} channels and the "
                f"activation {part.hidden_act}, but the layout '{layout}' implies one head per {_CHANNELS_PER_HEAD} "
                "channels and the activation quick_gelu."
            )
    table = list(correspondences(vision.num_hidden_layers, text.num_hidden_layers))
    names = {name for entry in table for name in entry.hugging_face}
    # older HF files also contain these position counters
    differing = sorted(name for name in names ^ set(tensors) if not name.endswith("position_ids"))
    if differing:
        raise CheckpointError(
            f"The tensors in the file don't match its config.json; missing or unexpected: {', '.join(differing[:4])}."
        )
    prefixed = layout == "released"
    return {(_released_name(entry.openai) if prefixed else entry.openai): entry.to_openai(tensors) for entry in table}


def _openai_name(name: str, layout: Layout) -> str:
    plain = name.removeprefix(_PARALLEL)
    if layout == "released":
        for released, openai in _RELEASED.items():
            if plain.startswith(released):
                return openai + plain.removeprefix(released)
    return plain


def _released_name(openai: str) -> str:
    if openai == "logit_scale":
        return f"{_PARALLEL}logit_scale"
    if openai.startswith("visual."):
        return f"{_PARALLEL}image_encoder.{openai.removeprefix('visual.')}"
    return f"{_PARALLEL}text_encoder.{openai}"


def _depth(names: Mapping[str, Any], tower: str) -> int:
    blocks = (re.match(rf"{re.escape(tower)}\.resblocks\.(\d+)\.", name) for name in names)
    return max(1, len({block[1] for block in blocks if block}))


def _config(found: Mapping[str, Tensor]) -> CLIPConfig:
    """Derives sizes from shapes; activation, head width and end token are the same in every CLIP of these layouts."""
    width, _, _, patch = found["visual.conv1.weight"].shape
    side = math.isqrt(len(found["visual.positional_embedding"]) - 1)
    vocabulary, text_width = found[_TOKENS].shape
    joint = found["visual.proj"].shape[1]
    vision = {
        "hidden_size": width,
        "num_attention_heads": max(1, width // _CHANNELS_PER_HEAD),
        "num_hidden_layers": _depth(found, "visual.transformer"),
        "intermediate_size": len(found["visual.transformer.resblocks.0.mlp.c_fc.weight"]),
        "patch_size": patch,
        "image_size": patch * side,
        "hidden_act": "quick_gelu",
        "projection_dim": joint,
    }
    text = {
        "hidden_size": text_width,
        "num_attention_heads": max(1, text_width // _CHANNELS_PER_HEAD),
        "num_hidden_layers": _depth(found, "transformer"),
        "intermediate_size": len(found["transformer.resblocks.0.mlp.c_fc.weight"]),
        "max_position_embeddings": len(found["positional_embedding"]),
        "vocab_size": vocabulary,
        "hidden_act": "quick_gelu",
        "projection_dim": joint,
        # these models read the position of the largest token id, so the end token is the last one
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=joint)


def _check_shapes(config: CLIPConfig, converted: Mapping[str, Tensor]) -> None:
    with torch.device("meta"):
        expected = {name: value.shape for name, value in CLIPModel(config).named_parameters()}
    wrong = [
        f"{name} is {tuple(converted[name].shape)} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if name not in converted or converted[name].shape != shape
    ]
    if wrong or len(expected) != len(converted):
        raise CheckpointError(f"The shapes in the checkpoint are inconsistent: {'; '.join(wrong[:3])}.")


def _check_completion(found: Mapping[str, Tensor], token_embedding: Tensor) -> None:
    """Checks that the start token's embedding in the file's sentences is that of the other CLIP."""
    sentences = found.get("prompt_learner.complete_text_embeddings", found.get("prompt_learner.token_prefix"))
    if sentences is not None and not torch.allclose(
        sentences[0, 0].float(), token_embedding[-2].float(), atol=1e-3, rtol=1e-2
    ):
        raise CheckpointError(
            "The checkpoint omits its token embedding, and that of the given CLIP doesn't match its sentences: name "
            "the CLIP that it was tuned from (--pretrained)."
        )


def _hint(report: KeyReport, layout: Layout) -> str:
    if any(name.endswith("prompt_learner.ctx") or "VPT" in name for name in report.unexpected):
        return " It was tuned with learned prompts, which a plain CLIP can't represent."
    if report.missing == (_TOKENS,) and layout == "released":
        return " ViFi-CLIP's checkpoints omit the token embedding: name the CLIP that it was tuned from (--pretrained)."
    return ""
