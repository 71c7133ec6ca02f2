"""Fingerprints of everything that frame embeddings depend on: the weights, and the clip that was read."""

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
from torch import Tensor, nn

from ost_lightning.models.video_clip import VideoCLIP
from ost_lightning.video import EvaluationClips, ShardMember, VideoRecord
from ost_lightning.video.storage.addresses import is_remote

_IGNORED_SETTINGS: Final = frozenset(
    {
        "training",
        "pretrained",
        "tuned_from",
        "init_from",
        "trained_with",
        "freeze_vision",
        "freeze_text",
        "gradient_checkpointing",
        "records",
        "scores",
        "prompted_towers",
        "runs_layers_for",
    }
    # attributes of Hugging Face modules; the relevant part of their configuration is in `vision_settings`
    | {"config", "name_or_path", "all_tied_weights_keys"}
)


@torch.no_grad()
def frame_fingerprint(video_clip: VideoCLIP, arithmetic: str) -> str:
    """Returns a fingerprint of everything that turns pixels into frame embeddings.

    It covers the parameters and buffers (names, types, shapes and values) of the vision tower, its projection and
    prompts, any head, and the pixel statistics. It also covers the plain settings of these modules, the arithmetic, the
    code of `models` and `video`, and the versions of the libraries. The text tower and its prompts, the weights of
    `similarity_to_logits` and the origin of the weights don't matter.

    Because the code is included, a new version of the package encodes everything again. Embeddings that an older
    version cached are not found, and are evicted when the cache needs space.

    Args:
        video_clip: Encoder with its current weights.
        arithmetic: Device type and precision, which slightly change the embeddings of the same weights.

    Returns:
        32 hexadecimal digits.
    """
    encoder = video_clip.encoder
    ignored = {id(parameter) for parameter in encoder.logit_parameters}
    for module in video_clip.text_modules:
        ignored |= {id(part) for part in (*module.modules(), *module.parameters(), *module.buffers())}
    head = f"{_code_version()}/{arithmetic}/{json.dumps(encoder.vision_settings(), sort_keys=True)}"
    digest = blake2b(head.encode(), digest_size=16)
    for name, module in video_clip.named_modules():
        if id(module) not in ignored:
            digest.update(f"{name}={_settings(module)}".encode())
    for name, tensor in [*video_clip.named_parameters(), *video_clip.named_buffers()]:
        if id(tensor) not in ignored:
            digest.update(f"{name}={tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def mixture_fingerprint(original: str, tuned: str, ratio: float) -> str:
    """Returns the fingerprint of a mixture of two sets of weights, without computing the mixture.

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
    """Keys of clips: the file and its state, the segment of the video, and how frames are sampled and cropped.

    A file is identified by its path, inode, size, and times of modification and change, because hashing its content
    would take about as long as decoding it. Programs that copy files can set the modification time, but not the time of
    change. A folder of frames is identified by all of its files.

    Args:
        clips: Data set whose sampler, transform and sizes the keys depend on.
    """

    def __init__(self, clips: EvaluationClips) -> None:
        transform = clips.transform
        modules = dict(transform.named_modules()) if isinstance(transform, nn.Module) else {"": transform}
        self._clip_settings = f"{_settings(clips)}{[(name, _settings(module)) for name, module in modules.items()]}"

    def of(self, record: VideoRecord) -> str | None:
        """Returns the key of a record's clip, 32 hexadecimal digits; None if the file is not on this machine."""
        address = record.path
        file = address.shard if isinstance(address, ShardMember) else address
        if is_remote(str(file)):
            return None
        try:
            path = Path(file).resolve(strict=True)
            state = file_state(path)
        except OSError:
            return None
        # the id is included because the random choice of frames may depend on it
        video = (record.id, str(path), *state, record.start, record.end, record.frames)
        parts = (_code_version(), video, str(address) if isinstance(address, ShardMember) else "", self._clip_settings)
        return blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def file_state(path: Path) -> tuple[object, ...]:
    """Returns inode, size and times of a file, or of every file in a folder.

    A folder's own size and time would not change when a frame is overwritten.

    Args:
        path: File, or folder of frames.

    Raises:
        OSError: If the file is missing.
    """
    if not path.is_dir():
        return _state(path.stat())
    with os.scandir(path) as entries:
        statuses = {entry.name: entry.stat() for entry in entries}
    return tuple((name, *_state(status)) for name, status in sorted(statuses.items()))


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@cache
def _code_version() -> str:
    """Digest of the code that turns a file into embeddings: this package's source and the libraries' versions."""
    import transformers  # takes a second, and not everyone who imports this module asks for fingerprints

    digest = blake2b(f"{torch.__version__} {transformers.__version__} {av.__version__}".encode(), digest_size=8)
    for package in ("ost_lightning.video", "ost_lightning.models"):
        for file in sorted(Path(str(files(package))).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _settings(instance: object) -> str:
    """The public attributes of an object as text: plain values, or the type of any other value."""
    attributes = {
        name: _plain(value)
        for name, value in vars(instance).items()
        if not name.startswith("_") and name not in _IGNORED_SETTINGS
    }
    return f"{type(instance).__qualname__}{json.dumps(attributes, sort_keys=True)}"


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
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
