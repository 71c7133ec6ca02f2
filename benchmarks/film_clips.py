"""Clips like those of Kinetics to measure readers with: a moving camera over textured ground, objects, film grain."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 30
SECONDS = 10


@dataclass(frozen=True)
class Film:
    width: int
    height: int
    gop: int
    seed: int

    @property
    def name(self) -> str:
        return f"film_{self.width}x{self.height}_gop{self.gop}_{self.seed}.mp4"


def make(film: Film, folder: Path) -> Path:
    """Encodes a clip with x264's defaults (crf 23, medium, three B frames), unless it is there."""
    path = folder / film.name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.mp4")
    options = {"g": str(film.gop), "crf": "23", "threads": "1"}
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


def kilobits(path: Path) -> float:
    return path.stat().st_size * 8 / SECONDS / 1000


def pictures(film: Film):
    rng = np.random.default_rng(film.seed)
    width, height = film.width, film.height
    ground = texture(rng, 2 * height, 2 * width, contrast=38)
    skin = texture(rng, height, width, contrast=45)
    rows, columns = np.mgrid[:height, :width]
    phase, speed = rng.uniform(0, 6.28, 9), rng.uniform(0.6, 1.6, 4)
    for k in range(RATE * SECONDS):
        t = k / RATE
        top = int((0.5 + 0.25 * np.sin(0.23 * speed[3] * t + phase[0])) * height)
        left = int((0.5 + 0.25 * np.sin(0.31 * speed[3] * t + phase[1])) * width)
        picture = ground[top : top + height, left : left + width].copy()
        for j in range(3):
            x = width * (0.5 + 0.33 * np.sin(speed[j] * t + phase[2 + j]))
            y = height * (0.5 + 0.28 * np.cos(0.8 * speed[j] * t + phase[5 + j]))
            inside = (columns - x) ** 2 + ((rows - y) * (0.6 + 0.2 * j)) ** 2 < (height * (0.1 + 0.05 * j)) ** 2
            picture[inside] = np.roll(skin, (int(y) + 40 * j, int(x) + 90 * j), (0, 1))[inside]
        picture += rng.normal(0, 3.2, (height, width, 1)).astype(np.float32)  # grain
        yield np.clip(picture, 0, 255).astype(np.uint8)


def texture(rng: np.random.Generator, height: int, width: int, contrast: float) -> NDArray[np.float32]:
    """Noise with the spectrum of natural pictures (amplitude falls with frequency)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((3, height, width))) / frequency**1.2
    grain = np.fft.irfft2(spectrum, s=(height, width))
    shared = 0.8 * grain[:1] + 0.2 * grain  # mostly grey
    return (120 + contrast * shared / shared.std()).transpose(1, 2, 0).astype(np.float32)
