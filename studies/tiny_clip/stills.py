"""Stills for pre-training the tiny CLIP: single pictures without action class, video or camera motion."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ost_lightning.toyworld.poses import pose_of
from ost_lightning.toyworld.scene import FRAME_SIDE, Appearance, Scene
from ost_lightning.toyworld.vocabulary import COLORS, EXTRAS, HATS, PROPS, SETTINGS, STATES


@dataclass(frozen=True, slots=True)
class Still:
    """A random combination of attributes in one state."""

    appearance: Appearance
    state: str


def sample_still(rng: random.Random) -> Still:
    """Draws every attribute independently; three of ten stills have no extra object."""
    appearance = Appearance(
        setting=rng.choice(list(SETTINGS)),
        outfit=rng.choice(list(COLORS)),
        hat=rng.choice(list(HATS)),
        prop=rng.choice(PROPS),
        prop_color=rng.choice(list(COLORS)),
        extra=rng.choice(list(EXTRAS)) if rng.random() < 0.7 else None,
    )
    return Still(appearance, rng.choice(list(STATES)))


def render_still(still: Still, rng: random.Random) -> NDArray[np.uint8]:
    """Renders one still as uint8 (FRAME_SIDE, FRAME_SIDE, 3)."""
    return np.asarray(Scene(still.appearance, rng).draw(pose_of(still.state, rng), rng))


def _chunk(seed: str, count: int) -> tuple[list[Still], NDArray[np.uint8]]:
    rng = random.Random(seed)
    stills = [sample_still(rng) for _ in range(count)]
    return stills, np.stack([render_still(still, rng) for still in stills])


def render_stills(count: int, seed: str, workers: int, chunk: int = 500) -> tuple[list[Still], NDArray[np.uint8]]:
    """Renders many stills in parallel; the same seed gives the same stills with any number of workers.

    Returns:
        The stills and their pixels, uint8 (count, FRAME_SIDE, FRAME_SIDE, 3).
    """
    sizes = [min(chunk, count - start) for start in range(0, count, chunk)]
    pixels = np.empty((count, FRAME_SIDE, FRAME_SIDE, 3), np.uint8)
    stills: list[Still] = []
    with ProcessPoolExecutor(workers) as pool:
        parts: Iterator[tuple[list[Still], NDArray[np.uint8]]] = pool.map(
            _chunk, [f"{seed}/{k}" for k in range(len(sizes))], sizes
        )
        for part, part_pixels in tqdm(parts, total=len(sizes), desc="render stills", unit=f"x{chunk}"):
            pixels[len(stills) : len(stills) + len(part)] = part_pixels
            stills.extend(part)
    return stills, pixels
