"""Kinetics-like clips for measuring readers: a hand-held camera, moving limbs, changing light, some grain.

The speed of sparse reading depends on the bit rate, and on its share in non-reference pictures.
`python benchmarks/film_clips.py [FILE ...]` prints both for these clips, and for other files.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.resources import cache_folder
from ost_lightning.video.decoding.bitstream import parser_for

RATE = 30
SECONDS = 10
FRAMES = RATE * SECONDS
LIMBS = 5
GRAIN = 1.0  # left after the compression of an upload


@dataclass(frozen=True)
class Film:
    width: int
    height: int
    gop: int
    seed: int

    @property
    def name(self) -> str:
        return f"hand_held_{self.width}x{self.height}_gop{self.gop}_{self.seed}.mp4"


def make(film: Film, folder: Path) -> Path:
    """Encodes a clip with x264's defaults, unless it exists; 340 x 256 uses crf 20, as in copies of Kinetics."""
    path = folder / film.name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.mp4")
    options = {"g": str(film.gop), "crf": "20" if (film.width, film.height) == (340, 256) else "23", "threads": "1"}
    with av.open(str(partial), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = film.width, film.height, "yuv420p"
        for k, picture in enumerate(pictures(film)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    partial.replace(path)
    return path


def pictures(film: Film) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(film.seed)
    width, height = film.width, film.height
    scale = height / 256
    camera = Camera(rng, width, height)
    ground = texture(rng, 2 * height, 2 * width, contrast=38)
    limbs = [Limb(rng, width, height) for _ in range(LIMBS)]
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    waves = rng.uniform(0.02, 0.06, (4, 2)) / scale * rng.choice([-1, 1], (4, 2))
    phases, speeds = rng.uniform(0, 6.28, 4), rng.uniform(3, 12, 4)
    for k in range(FRAMES):
        seconds = k / RATE
        # moving things are not rigid
        bends = [
            1.5 * scale * torch.sin(a * x + b * y + speed * seconds + phase)
            for (a, b), speed, phase in zip(waves, speeds, phases, strict=True)
        ]
        picture = sampled(ground, *camera.view(x, y, k))
        for limb in limbs:
            picture = limb.draw(picture, x + bends[0] + bends[1], y + bends[2] + bends[3], k)
        picture = picture * (1 + 0.02 * np.sin(4.4 * seconds))  # light
        noisy = picture.permute(1, 2, 0).numpy() + rng.normal(0, GRAIN, (height, width, 1))
        yield np.clip(noisy, 0, 255).astype(np.uint8)


class Camera:
    """Wanders over the ground, zooms, and shakes by parts of a pixel."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self.width, self.height, scale = width, height, height / 256
        self.paths = [wander(rng, 1.5, 30 * scale) + wander(rng, 0.15, 1.2 * scale) for _ in range(2)]
        self.zoom = 1 + wander(rng, 2, 0.05)

    def view(self, x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
        right, down = (path[k] for path in self.paths)
        return (
            (x - self.width / 2) * self.zoom[k] + self.width + right,
            (y - self.height / 2) * self.zoom[k] + self.height + down,
        )


class Limb:
    """A textured ellipse that swings about its center and drifts."""

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        scale = height / 256
        self.skin = texture(rng, height, height, contrast=45)
        self.x = width * rng.uniform(0.25, 0.75) + wander(rng, 0.8, 25 * scale)
        self.y = height * rng.uniform(0.3, 0.7) + wander(rng, 0.8, 15 * scale)
        swing, rate, phase = rng.uniform(0.3, 0.9), rng.uniform(0.4, 1.4), rng.uniform(0, 6.28)
        seconds = np.arange(FRAMES) / RATE
        self.angle = rng.uniform(0, 6.28) + swing * np.sin(6.28 * rate * seconds + phase)
        self.half_width, self.half_height = height * rng.uniform(0.06, 0.14), height * rng.uniform(0.14, 0.3)
        self.reach = max(self.half_width, self.half_height)

    def draw(self, picture: Tensor, x: Tensor, y: Tensor, k: int) -> Tensor:
        right, down = x - self.x[k], y - self.y[k]
        near = (right.abs() < self.reach) & (down.abs() < self.reach)
        rows, columns = (
            slice(int(indices.min()), int(indices.max()) + 1) if len(indices) else slice(0)
            for indices in near.nonzero(as_tuple=True)
        )
        right, down = right[rows, columns], down[rows, columns]
        cos, sin = np.cos(self.angle[k]), np.sin(self.angle[k])
        across, along = cos * right + sin * down, cos * down - sin * right
        distance = (across / self.half_width) ** 2 + (along / self.half_height) ** 2
        covered = ((1 - distance) * self.half_width / 2).clamp(0, 1)
        middle = self.skin.shape[-1] / 2
        background = picture[:, rows, columns]
        background += (sampled(self.skin, across + middle, along + middle) - background) * covered
        return picture


def wander(rng: np.random.Generator, seconds: float, deviation: float) -> NDArray[np.float64]:
    """Returns an Ornstein-Uhlenbeck process about 0 that decorrelates within `seconds`, one step per frame."""
    kept = np.exp(-1 / (seconds * RATE))
    steps = rng.standard_normal(FRAMES) * deviation * np.sqrt(1 - kept**2)
    path = np.zeros(FRAMES)
    for last, k in pairwise(range(FRAMES)):
        path[k] = kept * path[last] + steps[k]
    return path


def sampled(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Samples a picture bilinearly, mirrored beyond its borders: (3, H, W)."""
    height, width = picture.shape[-2:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    return F.grid_sample(picture[None], grid[None].float(), padding_mode="reflection", align_corners=True)[0]


def texture(rng: np.random.Generator, height: int, width: int, contrast: float) -> Tensor:
    """Returns noise with the spectrum of natural pictures (amplitude falls with frequency), mostly gray: (3, H, W)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((3, height, width))) / frequency**1.2
    noise = np.fft.irfft2(spectrum, s=(height, width))
    shared = 0.8 * noise[:1] + 0.2 * noise
    return torch.from_numpy(120 + contrast * shared / shared.std()).float()


def describe(path: Path) -> str:
    """Describes the bit rate of a file, and its share in non-reference pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        parse = parser_for(stream.codec_context.name, stream.codec_context.extradata)
        packets = [packet for packet in container.demux(stream) if packet.size]
        seconds = float(stream.duration * stream.time_base) if stream.duration else float(SECONDS)
        leaves = [packet.size for packet in packets if not parse(memoryview(packet), packet.is_keyframe).is_reference]
        total = sum(packet.size for packet in packets)
        return (
            f"{path.name}: {stream.width} x {stream.height}, {total * 8 / seconds / 1000:.0f} kb/s; non-reference: "
            f"{len(leaves) / len(packets):.0%} of {len(packets)} pictures, with {sum(leaves) / total:.0%} of the bytes"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="*", help="other clips to describe")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "film")
    options = parser.parse_args()
    sizes = ((340, 256), (1280, 720))
    films = [Film(*size, gop, seed) for size in sizes for gop in (250, 12) for seed in (0, 1)]
    for path in [*(make(film, options.cache) for film in films), *options.files]:
        print(describe(path), flush=True)


if __name__ == "__main__":
    main()
