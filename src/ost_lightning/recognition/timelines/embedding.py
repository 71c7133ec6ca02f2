"""Embeds a long video: every frame of a grid of times decoded and encoded once, in bounded memory."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from hashlib import blake2b
from itertools import islice, pairwise
from statistics import median
from typing import Any, Final

import torch
from torch import Tensor

from ost_lightning.errors import NON_FINITE_HINT, NonFiniteError, UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.evaluation import ClipSettings
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition.timelines.embedded_video import EmbeddedVideo, steps_in
from ost_lightning.recognition.timelines.timeline import Gap
from ost_lightning.video import EvaluationTransform, FrameSource, VideoAddress, VideoReadError, open_video
from ost_lightning.video.decoding import DamagedPart, FrameFolder, stream_readable

GRID_RATE: Final = 4.0
"""Default number of frames per second that are looked at."""
_BATCH: Final = 32
_NOT_ASKED: Final = "not looked at"
"""Reason for gaps outside the part of a video that was asked for."""
_Item = tuple[int, Tensor] | DamagedPart


def embed_video(
    address: VideoAddress,
    video_clip: VideoCLIP,
    clips: ClipSettings,
    digest: str,
    rate: float = GRID_RATE,
    frame_rate: float | None = None,
    part: tuple[float, float] | None = None,
) -> EmbeddedVideo:
    """Embeds the frames of a video on a grid of times. Each is decoded and encoded once, while the next are read.

    Args:
        address: File, folder of frames, member of a tar shard, or URL.
        video_clip: Encoder of frames, on the device for computation.
        clips: Settings that define how frames are resized and cropped; the center crop is used.
        digest: Digest of weights and settings; see `frame_digest`.
        rate: Number of frames per second to look at. A video with fewer has each of its frames embedded.
        frame_rate: Frame rate of a video without times, such as a folder of frames; None for the video's own times.
        part: Beginning and end of the part to look at, in seconds; the rest becomes gaps. None for the whole video.

    Raises:
        UserError: If the video can't be read or has no times, a number or the part is out of range, or the encoder
            relates frames.
    """
    for name, value in (("rate", rate), ("frame_rate", frame_rate)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"The {name} is {value}: expected a positive number of frames per second.")
    require_single_frames(video_clip)
    geometry = clips.geometry()
    transform = EvaluationTransform(geometry.crop_size, 1, geometry.framing, clips.crop_offsets)
    with open_video(address, sample_aspect=geometry.sample_aspect, resize=geometry.resize) as video:
        times, duration = video_times(video, frame_rate)
        steps = [step / rate for step in range(steps_in(duration, rate))]
        on_screen = [bisect_right(times, second) - 1 for second in steps]
        asked = _asked(steps, on_screen, duration, part)
        readable = stream_readable(video, asked, geometry.short_side, transform.crop_spec)
        row_of, embeddings, damaged = _encoded(readable, video_clip)
    name = without_passwords(str(address))
    if not row_of:
        raise VideoReadError(address, f"no frame can be decoded ({damaged[0].reason})")
    if not bool(embeddings.isfinite().all()):
        raise NonFiniteError(f"{name}: its embeddings are not finite (NaN or infinity). {NON_FINITE_HINT}")
    order = sorted(row_of)
    rank = {index: place for place, index in enumerate(order)}
    rows = torch.tensor([rank.get(index, -1) for index in on_screen])
    embedded = embeddings[[row_of[index] for index in order]]
    reasons = dict.fromkeys(set(on_screen).difference(asked), _NOT_ASKED)
    reasons.update((index, one.reason) for one in damaged for index in one.indices)
    gaps = _gaps(on_screen, reasons, [*steps, duration])
    return EmbeddedVideo(name, duration, rate, embedded, rows, digest, gaps, frame_rate)


def frame_digest(weights: str, video_clip: VideoCLIP, clips: ClipSettings) -> str:
    """Returns a digest of what frame embeddings depend on besides the video, 16 hexadecimal digits.

    Args:
        weights: Digest of the weights.
        video_clip: Encoder of frames.
        clips: Settings that define how frames are resized and cropped.
    """
    geometry = {name: value for name, value in asdict(clips.geometry()).items() if name != "frames"}
    pixels = [video_clip.preprocessing.mean, video_clip.preprocessing.std]
    settings: dict[str, Any] = {
        "weights": weights,
        "geometry": geometry,
        "offsets": clips.crop_offsets,
        "pixels": pixels,
    }
    settings |= {"fp8": True} if video_clip.encoder.fp8 else video_clip.encoder.unusual_precision
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def require_single_frames(video_clip: VideoCLIP) -> None:
    """Checks that the encoder embeds each frame by itself.

    Raises:
        UserError: If it relates the frames of a clip.
    """
    encoder = video_clip.encoder
    if video_clip.relates_frames:
        part = "a temporal head" if video_clip.temporal_head is not None else f"the encoder {type(encoder).__name__}"
        if video_clip.runs_layers_for:
            part = f"a vision tower with {video_clip.runs_layers_for}"
        raise UserError(
            f"{video_clip.pretrained} has {part}, which relates the frames of a clip, so that the frames of a long "
            "video can't be embedded once for all stretches. Use weights that embed frames by themselves."
        )


def video_times(video: FrameSource, frame_rate: float | None = None) -> tuple[Sequence[float], float]:
    """Returns the time of each frame, and the length of the video, in seconds.

    Args:
        video: Open video.
        frame_rate: Frame rate of a video without times; None for the video's own times.

    Raises:
        UserError: If the video has no times and no frame rate is given.
    """
    if frame_rate is not None:
        return [index / frame_rate for index in range(len(video))], len(video) / frame_rate
    if isinstance(video, FrameFolder):
        raise VideoReadError(video.path, "a folder of frames has no times: give its frame rate (frame_rate)")
    times = video.times(range(len(video)))
    steps = [after - before for before, after in pairwise(times)]
    # the last frame stays as long as an average one
    return times, times[-1] + (1 / video.rate if video.rate else median(steps) if steps else 1 / GRID_RATE)


@torch.inference_mode()
def _encoded(readable: Iterator[_Item], video_clip: VideoCLIP) -> tuple[dict[int, int], Tensor, list[DamagedPart]]:
    """Row of each frame, embeddings (F, d) in host memory, and the parts that could not be read."""
    device = video_clip.encoder.device
    row_of: dict[int, int] = {}
    embeddings = [torch.empty(0, video_clip.embedding_dim)]
    damaged: list[DamagedPart] = []
    # one batch is read while another one is encoded
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(lambda: list(islice(readable, _BATCH)))
        while batch := following.result():
            following = reader.submit(lambda: list(islice(readable, _BATCH)))
            damaged += [item for item in batch if isinstance(item, DamagedPart)]
            frames = [item for item in batch if not isinstance(item, DamagedPart)]
            if frames:
                row_of.update((index, len(row_of)) for index, _ in frames)
                pixels = torch.stack([crops for _, crops in frames]).to(device)
                embeddings.append(video_clip.encode_frames(pixels)[:, 0].cpu())
    return row_of, torch.cat(embeddings), damaged


def _asked(
    steps: Sequence[float], on_screen: Sequence[int], duration: float, part: tuple[float, float] | None
) -> list[int]:
    """Frames that are looked at, in order of time."""
    if part is None:
        return list(dict.fromkeys(on_screen))
    start, end = part
    if not (0 <= start < end and start < duration):
        raise UserError(f"There is no part from {start} to {end} s in a video of {duration:g} s.")
    return list(dict.fromkeys(index for step, index in zip(steps, on_screen, strict=True) if start <= step < end))


def _gaps(on_screen: Sequence[int], reasons: Mapping[int, str], edges: Sequence[float]) -> tuple[Gap, ...]:
    """Parts of the grid without frames, by the reason for each frame; adjacent ones with the same reason are joined."""
    gaps: list[Gap] = []
    for step, index in enumerate(on_screen):
        if index not in reasons:
            continue
        if gaps and (gaps[-1].end, gaps[-1].reason) == (edges[step], reasons[index]):
            gaps[-1] = Gap(gaps[-1].start, edges[step + 1], gaps[-1].reason)
        else:
            gaps.append(Gap(edges[step], edges[step + 1], reasons[index]))
    return tuple(gaps)
