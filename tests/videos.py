"""Real video files, encoded in the test. All frames differ, so that a wrong frame is detected."""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def pictures(count: int, width: int = 64, height: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    """Returns frames (count, height, width, 3) with a moving bar on a changing, textured background."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 60, (height, width, 3))
    frames = np.empty((count, height, width, 3), np.uint8)
    for k in range(count):
        background = np.array([(37 * k) % 200, (61 * k + 80) % 200, (17 * k + 150) % 200])
        frames[k] = background + texture
        start = (5 * k) % width
        frames[k, :, start : start + max(2, width // 8)] = 255
    return frames


def write_video(
    path: Path,
    count: int = 30,
    *,
    codec: str = "libx264",
    width: int = 64,
    height: int = 48,
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    ticks: list[int] | None = None,
    rotate: int = 0,
    aspect: Fraction = Fraction(1),
    seed: int = 0,
    shots: NDArray[np.uint8] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Encodes a video.

    Args:
        path: File to write; the suffix chooses the container.
        count: Number of frames.
        codec: Name of FFmpeg's encoder.
        width: Width in pixels.
        height: Height in pixels.
        options: Options of the encoder.
        pixels: Pixel format.
        ticks: Presentation times in 1/100 s, for a variable frame rate.
        rotate: Rotation in the display matrix, in degrees.
        aspect: Sample aspect ratio.
        seed: Seed of `pictures`.
        shots: Frames to encode instead of `pictures`.
        container: Options of the muxer.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with unchanged_priority(), av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        if aspect != 1:
            stream.sample_aspect_ratio = aspect
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 100)
        for k, picture in enumerate(pictures(count, width, height, seed) if shots is None else shots):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = ticks[k] if ticks is not None else k
            frame.time_base = Fraction(1, 100) if ticks is not None else Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    if rotate:
        set_display_matrix(path, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotate])
    return path


@contextmanager
def unchanged_priority() -> Iterator[None]:
    """Takes back the real-time priority that SVT-AV1 gives to a process of root: everything else would starve."""
    if not hasattr(os, "sched_setscheduler"):  # macOS
        yield
        return
    policy, setting = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy, setting)


def set_display_matrix(path: Path, matrix: tuple[float, float, float, float]) -> None:
    """Sets the display matrix in the track header of an upright .mp4 file, as phones do.

    Args:
        path: File to change.
        matrix: a, b, c, d: a stored point (p, q) is shown at (a p + c q, b p + d q), moved into the picture.
    """
    data = bytearray(path.read_bytes())
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    start = data.index(identity, data.index(b"tkhd"))
    a, b, c, d = (round(part * 65536) for part in matrix)
    data[start : start + len(identity)] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def decode_all(path: Path) -> NDArray[np.uint8]:
    """Decodes all frames with FFmpeg as a reference: in presentation order, upright, (T, 3, H, W)."""
    shown = []
    with av.open(str(path)) as container:
        reformatter = av.video.reformatter.VideoReformatter()
        for frame in container.decode(video=0):
            rgb = reformatter.reformat(frame, format="rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
            shown.append(np.rot90(rgb, frame.rotation // 90).transpose(2, 0, 1))
    return np.stack(shown)


def copy_stream(
    source: Path,
    path: Path,
    *,
    extradata: Callable[[bytes], bytes] | None = None,
    shift: int = 0,
    container: dict[str, str] | None = None,
) -> Path:
    """Remuxes a file's packets, optionally with changed global headers or `shift` frames (1/25 s) later."""
    with av.open(str(source)) as original, av.open(str(path), "w", options=container or {}) as output:
        stream = original.streams.video[0]
        copy = output.add_stream_from_template(stream)
        if extradata is not None:
            copy.codec_context.extradata = extradata(stream.codec_context.extradata or b"")
        for packet in original.demux(stream):
            if packet.size:
                ticks = round(shift / 25 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, copy
                output.mux(packet)
    return path


def without_reorder_depth(extradata: bytes) -> bytes:
    """Returns x264's headers (avcC) without the reorder depth in the SPS, which some encoders don't write."""
    end = 8 + int.from_bytes(extradata[6:8], "big")
    bits = "".join(f"{byte:08b}" for byte in extradata[8:end].replace(b"\0\0\3", b"\0\0")).rstrip("0")[:-1]
    # bitstream_restriction_flag = 1, another flag, two zeros, two vector lengths (log2), reorder depth, buffer size
    start = next(k for k in range(len(bits) - 9, 0, -1) if bits[k] == "1" and _restriction_ends(bits, k + 2))
    bits = bits[:start] + "01"
    sps = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return extradata[:6] + len(sps).to_bytes(2, "big") + sps + extradata[end:]


def _restriction_ends(bits: str, index: int) -> bool:
    numbers = []
    while index < len(bits) and len(numbers) < 6:  # Exp-Golomb codes
        zeros = len(bits[index:]) - len(bits[index:].lstrip("0"))
        numbers.append(int(bits[index : index + 2 * zeros + 1] or "0", 2) - 1)
        index += 2 * zeros + 1
    return index == len(bits) and len(numbers) == 6 and numbers[:2] == [0, 0] and numbers[4] <= numbers[5] <= 16


def damage_packets(file: Path, packets: Iterable[int]) -> Path:
    """Writes a copy of a video with some packets overwritten but for their start; counted in decoding order."""
    with av.open(str(file)) as container:
        payloads = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = file.read_bytes()
    for number in packets:
        payload = payloads[number]
        assert content.count(payload) == 1
        content = content.replace(payload, payload[:8] + bytes([0x5A]) * (len(payload) - 8))
    damaged = file.with_name(f"damaged_{file.name}")
    damaged.write_bytes(content)
    return damaged
