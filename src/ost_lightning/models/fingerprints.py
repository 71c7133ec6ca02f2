"""What frame embeddings depend on, as short keys: the weights, and what was taken out of a video."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import av
import torch
import transformers
from torch import Tensor, nn

from ost_lightning.models.video_clip import VideoCLIP
from ost_lightning.video import EvaluationClips, ShardMember, VideoRecord
from ost_lightning.video.storage.addresses import is_remote

_WITHOUT_EFFECT: Final = frozenset(
    {
        "training",
        "pretrained",
        "tuned_from",
        "init_from",
        "freeze_vision",
        "freeze_text",
        "gradient_checkpointing",
        "records",
    }
    # of Hugging Face's modules; what counts of their configuration is `vision_settings`
    | {"config", "name_or_path", "all_tied_weights_keys"}
)


@torch.no_grad()
def frame_fingerprint(video_clip: VideoCLIP, arithmetic: str) -> str:
    """Identifies everything that turns pixels into frame embeddings.

    That is: names, types, shapes and values of all parameters and buffers except those of the text tower and of
    `similarity_to_logits` (so the vision tower, its projection, any head on top, pixel statistics), the plain settings
    of all these modules, the arithmetic, the code of `models` and `video`, and the versions of the libraries. Where the
    weights came from does not matter. Since the code counts, a new version of the package encodes everything again:
    what an older one has cached is not found, and goes when the cache needs room.

    Args:
        video_clip: Encoder, with the weights that count.
        arithmetic: Device type and precision: the same weights give slightly other embeddings elsewhere.

    Returns:
        32 hexadecimal digits.
    """
    encoder = video_clip.encoder
    text = encoder.tower("text")
    without_effect = {id(part) for module in text.whole for part in module.modules()}
    without_effect |= {id(parameter) for parameter in (*text.parameters(), *encoder.logit_parameters)}
    without_effect |= {id(buffer) for module in text.whole for buffer in module.buffers()}
    head = f"{_code()}/{arithmetic}/{json.dumps(encoder.vision_settings(), sort_keys=True)}"
    digest = blake2b(head.encode(), digest_size=16)
    for name, module in video_clip.named_modules():
        if id(module) not in without_effect:
            digest.update(f"{name}={_settings(module)}".encode())
    for name, tensor in [*video_clip.named_parameters(), *video_clip.named_buffers()]:
        if id(tensor) not in without_effect:
            digest.update(f"{name}={tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def mixture_fingerprint(original: str, tuned: str, ratio: float) -> str:
    """Identifies a mixture of two sets of weights without making it.

    Args:
        original: Fingerprint of the original weights.
        tuned: Fingerprint of the tuned weights.
        ratio: Share of the original weights, 0 to 1.
    """
    if original == tuned or ratio == 0:
        return tuned
    if ratio == 1:
        return original
    return blake2b(f"{original}/{tuned}/{ratio!r}".encode(), digest_size=16).hexdigest()


class ClipKeys:
    """Identifies clips: which file in which state, which part of it, and how frames and squares are taken out of it.

    A file is known by its path, size and time of change: reading it whole would cost about as much as decoding it. A
    folder of frames is known by those of all files in it.

    Args:
        clips: The data set whose sampler, transform and sizes count.
    """

    def __init__(self, clips: EvaluationClips) -> None:
        transform = clips.transform
        parts = dict(transform.named_modules()) if isinstance(transform, nn.Module) else {"": transform}
        self._taken = f"{_settings(clips)}{[(name, _settings(part)) for name, part in parts.items()]}"

    def of(self, record: VideoRecord) -> str | None:
        """Key of one record's clip, 32 hexadecimal digits; None if there is no such file on this machine."""
        address = record.path
        file = address.shard if isinstance(address, ShardMember) else address
        if is_remote(str(file)):
            return None
        try:
            path = Path(file).resolve(strict=True)
            state = _state(path)
        except OSError:
            return None
        # the id counts because frames may be drawn by it
        video = (record.id, str(path), *state, record.start, record.end)
        parts = (_code(), video, str(address) if isinstance(address, ShardMember) else "", self._taken)
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def _state(path: Path) -> tuple[object, ...]:
    """Size and time of change of a file, or of all files in a folder: its own stay when a frame is overwritten.

    Raises:
        OSError: If one of them is not there.
    """
    if not path.is_dir():
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    with os.scandir(path) as entries:
        statuses = {entry.name: entry.stat() for entry in entries}
    return tuple((name, status.st_size, status.st_mtime_ns) for name, status in sorted(statuses.items()))


@cache
def _code() -> str:
    """The code that turns a file into embeddings: ours, and the versions of the libraries below it."""
    digest = blake2b(f"{torch.__version__} {transformers.__version__} {av.__version__}".encode(), digest_size=8)
    for package in ("ost_lightning.video", "ost_lightning.models"):
        for file in sorted(Path(str(files(package))).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _settings(thing: object) -> str:
    """The public attributes of an object as text; of those that are not plain values, the type."""
    held = {
        name: _plain(value)
        for name, value in vars(thing).items()
        if not name.startswith("_") and name not in _WITHOUT_EFFECT
    }
    return f"{type(thing).__qualname__}{json.dumps(held, sort_keys=True)}"


def _plain(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return type(value).__qualname__


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
