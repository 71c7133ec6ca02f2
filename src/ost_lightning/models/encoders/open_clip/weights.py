"""A model of open_clip with its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.open_clip.source import Source, library
from ost_lightning.models.encoders.towers.pixels import as_patch_convolution
from ost_lightning.models.safe_checkpoints import read_weights
from ost_lightning.models.unreadable_weights import problem_in

_SCALARS: Final = ("logit_scale", "logit_bias")
_PARALLEL: Final = "module."
"""Prefix of weights that open_clip's training on several GPUs writes."""


def load_open_clip(source: Source) -> Any:
    """Loads a complete model in fp32, with the text tower as a module of its own.

    Args:
        source: Configuration and weights of the model.

    Returns:
        A `CustomTextCLIP` with its configuration in `config`.

    Raises:
        CheckpointError: If the model can't be built, or the weights are missing, damaged or belong to another one.
            Position embeddings of another size are not interpolated, and pickles with code are refused.
    """
    settings = {name: value for name, value in source.model.items() if name != "custom_text"}
    settings["vision_cfg"] = {**settings["vision_cfg"], "timm_model_pretrained": False}
    try:
        model = library().CustomTextCLIP(**settings)
    except (TypeError, ValueError, RuntimeError, LookupError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"open_clip {library().__version__} can't build the model of {source.name} ({reason}). Its configuration "
            "is damaged, or for another version of open_clip or timm."
        ) from error
    model.config = {**settings, "custom_text": True}
    _check_image_size(model, source)
    file = source.weights()
    _load_weights(model, _converted(model, _read(file), file), file)
    _embed_patches_fast(model.visual)
    return model


def _check_image_size(model: Any, source: Source) -> None:
    """Checks the configured size against that of a timm model, which has a size of its own."""
    trunk = getattr(model.visual, "trunk", None)
    built = getattr(getattr(trunk, "patch_embed", None), "img_size", None)
    if built is not None and tuple(built) != (configured := tuple(model.visual.image_size)):
        raise CheckpointError(
            f"vision_cfg.image_size of {source.name} is {configured[0]} x {configured[1]} pixels, but "
            f"{source.model['vision_cfg']['timm_model_name']} reads {built[0]} x {built[1]}: correct it, or use the "
            "vision tower of the other size."
        )


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix in (".npz", ".npy"):
        raise CheckpointError(f"{file} has the format of big_vision. Use open_clip's conversion of these weights.")
    if file.suffix != ".safetensors":
        return read_weights(file)
    try:
        weights: dict[str, Tensor] = load_file(file)
        return weights
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} can't be read: {problem_in(error)}") from error


def _converted(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """Returns weights under the model's names, from any layout that open_clip reads."""
    plain = {name.removeprefix(_PARALLEL): weight for name, weight in weights.items()}
    try:
        converted = library("open_clip.convert").convert_state_dict(model, plain)
        found: dict[str, Tensor] = library("open_clip.model").convert_to_custom_text_state_dict(converted)
    except (LookupError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"The weights in {file} are for another architecture ({error}).") from error
    for name in _SCALARS:  # checkpoints have them with and without a dimension
        scalar = getattr(model, name)
        if scalar is not None and name in found and found[name].numel() == 1:
            found[name] = found[name].reshape(scalar.shape)
    return found


def _load_weights(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    expected = model.state_dict()
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    reshaped = [
        f"{name} {tuple(weight.shape)} instead of {tuple(expected[name].shape)}"
        for name, weight in weights.items()
        if name in expected and weight.shape != expected[name].shape
    ]
    if missing or unknown or reshaped:
        raise CheckpointError(
            f"The weights in {file} are for another architecture or image size: {len(missing)} are missing, "
            f"{len(unknown)} unknown, and {len(reshaped)} have another shape "
            f"(first: {(missing or unknown or reshaped)[0]})."
        )
    model.load_state_dict(weights)


def _embed_patches_fast(visual: Any) -> None:
    """Replaces the convolution that splits an image into patches, if the tower has one."""
    owner, name = visual, "conv1"
    if hasattr(visual, "trunk"):
        owner, name = getattr(visual.trunk, "patch_embed", None), "proj"
    convolution = getattr(owner, name, None)
    if isinstance(convolution, nn.Conv2d) and convolution.kernel_size == convolution.stride:
        setattr(owner, name, as_patch_convolution(convolution))
