"""Where a model of open_clip comes from: its configuration, its preprocessing and its weights."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.pretrained.hub import OPEN_CLIP, folder_of, hub_file
from ost_lightning.models.encoders.pretrained.preprocessing import NAMED_STATISTICS

CONFIG_FILE: Final = "open_clip_config.json"
WEIGHTS_FILE: Final = "open_clip_model.safetensors"
_HUB: Final = "hf-hub:"
_PICKLE: Final = "open_clip_pytorch_model.bin"
# as open_clip prefers them
_IN_FOLDER: Final = (WEIGHTS_FILE, "open_clip_pytorch_model.safetensors", _PICKLE, "model.safetensors")
_DEFAULT: Final[Mapping[str, Any]] = {
    "mean": NAMED_STATISTICS["clip"].mean,
    "std": NAMED_STATISTICS["clip"].std,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
_FORMS: Final = (
    f"{OPEN_CLIP}MODEL/WEIGHTS (a name or a file of weights), {OPEN_CLIP}hf-hub:ID, or a folder with {CONFIG_FILE}"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A model of open_clip before its weights are read.

    Attributes:
        name: Name of the model, for messages.
        model: Configuration of the architecture, open_clip's `model_cfg`.
        pixels: Mean, standard deviation, interpolation and resize mode, open_clip's `preprocess_cfg`.
        folder: Folder with the tokenizer's files; None if they are on the hub or in open_clip.
        weights: Function that returns the file of weights, downloading it if necessary.
    """

    name: str
    model: Mapping[str, Any]
    pixels: Mapping[str, Any]
    folder: Path | None
    weights: Callable[[], Path]


def library(module: str = "open_clip") -> Any:
    """Imports open_clip, which takes seconds, or a part of it.

    Raises:
        CheckpointError: If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise CheckpointError(
            f"Models of open_clip need a package that is not installed ({error}): install it with "
            "`pip install 'ost-lightning[open_clip]'`."
        ) from error


def is_open_clip(pretrained: str) -> bool:
    """Returns whether open_clip loads a model: by its prefix, or a folder that only open_clip can read."""
    folder = Path(pretrained)
    return pretrained.startswith(OPEN_CLIP) or (
        (folder / CONFIG_FILE).is_file() and not (folder / "config.json").is_file()
    )


def find_source(pretrained: str) -> Source:
    """Finds a model by its name, without reading or downloading its weights.

    Args:
        pretrained: `open_clip:MODEL/WEIGHTS`, `open_clip:hf-hub:ID`, or a folder with or without the prefix.

    Raises:
        CheckpointError: If there is no such model, it is not supported, or open_clip is not installed.
    """
    library()
    source = _find(pretrained)
    _check_supported(source)
    return source


def _find(pretrained: str) -> Source:
    name = pretrained.removeprefix(OPEN_CLIP)
    if name.startswith(_HUB):
        repository = name.removeprefix(_HUB)
        file = hub_file(repository, CONFIG_FILE)
        return _configured(pretrained, file, None, lambda: hub_file(repository, WEIGHTS_FILE, _PICKLE))
    folder = folder_of(pretrained)
    if folder.is_dir():
        return _configured(pretrained, folder / CONFIG_FILE, folder, lambda: _weights_in(folder))
    return _built_in(pretrained, name)


def _check_supported(source: Source) -> None:
    vision, text = source.model["vision_cfg"], source.model["text_cfg"]
    tokens = text.get("tokenizer_kwargs") or {}
    size = vision.get("image_size", 224)
    reasons = {
        "CoCa, whose text embedding depends on a mask of padding that was wrong in training": (
            "multimodal_cfg" in source.model or text.get("embed_cls")
        ),
        f"a text tower of transformers ({text.get('hf_model_name')})": text.get("hf_model_name"),
        f"the tokenizer mode '{text.get('tokenizer_mode')}'": text.get("tokenizer_mode"),
        "a tokenizer that drops tokens at random": tokens.get("reduction_mask"),
        f"frames that are not square ({size})": not isinstance(size, int) and len(set(size)) > 1,
        f"the resize mode '{source.pixels['resize_mode']}'": source.pixels["resize_mode"] not in ("shortest", "squash"),
        f"the interpolation '{source.pixels['interpolation']}'": (
            source.pixels["interpolation"] not in ("bicubic", "bilinear")
        ),
    }
    if found := [reason for reason, applies in reasons.items() if applies]:
        raise CheckpointError(f"{source.name} is not supported: it has {' and '.join(found)}.")


def _configured(pretrained: str, file: Path, folder: Path | None, weights: Callable[[], Path]) -> Source:
    """Reads open_clip_config.json."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        model, pixels = found["model_cfg"], found.get("preprocess_cfg") or {}
        parts = model["embed_dim"], {**model["vision_cfg"]}, {**model["text_cfg"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} can't be read ({type(error).__name__}: {error}). Expected model_cfg with embed_dim, vision_cfg "
            "and text_cfg, as open_clip writes it."
        ) from error
    width, vision, text = parts
    return Source(
        pretrained,
        {**model, "embed_dim": width, "vision_cfg": vision, "text_cfg": text},
        {**_DEFAULT, **{key: value for key, value in pixels.items() if value is not None}},
        folder,
        weights,
    )


def _weights_in(folder: Path) -> Path:
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"The folder {folder} contains no weights: expected one of {', '.join(_IN_FOLDER)}.")


def _built_in(pretrained: str, name: str) -> Source:
    """Finds one of the models that open_clip lists."""
    open_clip = library()
    models: Sequence[str] = open_clip.list_models()
    parts = name.split("/")
    splits = (("-".join(parts[:count]), "/".join(parts[count:])) for count in range(len(parts), 0, -1))
    model, weights = next(((model, weights) for model, weights in splits if model in models), (None, ""))
    if model is None:
        near = get_close_matches(parts[0], models, n=5, cutoff=0.5)
        raise CheckpointError(
            f"There is no model '{name}' in open_clip {open_clip.__version__}"
            f"{', but ' + ', '.join(near) if near else ''}. Expected {_FORMS}."
        )
    config = open_clip.get_model_config(model)
    tags: Sequence[str] = open_clip.list_pretrained_tags_by_model(model)
    if tag := open_clip.get_pretrained_cfg(model, weights):
        _check_activation(pretrained, model, weights, config, tag)
        return Source(pretrained, config, _pixels(tag), None, lambda: _download(pretrained, tag))
    if not Path(weights).is_file():
        near = get_close_matches(weights, tags, n=5, cutoff=0.4) or list(tags[:8])
        raise CheckpointError(
            f"open_clip has no weights '{weights}' for {model}, and there is no such file. "
            f"{'It has ' + ', '.join(near) + '.' if near else 'It has none for this model: name a file.'}"
        )
    pixels = [_pixels(open_clip.get_pretrained_cfg(model, tag)) for tag in tags]
    if not pixels or any(other != pixels[0] for other in pixels):
        warnings.warn(
            f"{pretrained} doesn't say how pixels are normalized, so the mean and standard deviation of OpenAI's CLIP "
            "are used. If the weights were trained with others, set video_clip.pixel_statistics.",
            stacklevel=2,
        )
        pixels = [dict(_DEFAULT)]
    return Source(pretrained, config, pixels[0], None, lambda: Path(weights))


def _pixels(tag: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tag.get(key, value) for key, value in _DEFAULT.items()}


def _check_activation(
    pretrained: str, model: str, weights: str, config: Mapping[str, Any], tag: Mapping[str, Any]
) -> None:
    """Checks that weights were trained with the model's activation; open_clip only warns, and the scores are wrong."""
    trained, built = (bool(settings.get("quick_gelu")) for settings in (tag, config))
    if trained == built:
        return
    other = f"{model}-quickgelu" if trained else model.removesuffix("-quickgelu")
    raise CheckpointError(
        f"{pretrained}: the weights were trained with {'QuickGELU' if trained else 'GELU'}, but {model} has "
        f"{'QuickGELU' if built else 'GELU'}. Use {OPEN_CLIP}{other}/{weights}."
    )


def _download(pretrained: str, tag: Mapping[str, Any]) -> Path:
    """Returns the file of weights that open_clip knows by name."""
    if not (address := tag.get("hf_hub")):
        raise CheckpointError(
            f"The weights of {pretrained} are not on the Hugging Face hub. Download {tag.get('url')}, and name the "
            "file in their place."
        )
    repository, _, file = address.rpartition("/")
    if not file:
        return hub_file(repository, WEIGHTS_FILE, _PICKLE)
    safe = [f"{Path(file).stem}.safetensors"] if file.endswith((".bin", ".pth")) else []
    return hub_file(repository, *safe, file)
