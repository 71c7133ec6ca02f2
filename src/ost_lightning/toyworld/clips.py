"""Videos of actions: their states in order, with random deviations, filmed by a simulated camera, as H.264 .mp4."""

import math
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ost_lightning.files import atomic_write
from ost_lightning.toyworld.difficulty import DIFFICULTIES, Difficulty
from ost_lightning.toyworld.grammar import ActionClass, vary
from ost_lightning.toyworld.poses import Pose, between, pose_of
from ost_lightning.toyworld.scene import FRAME_SIDE, Scene
from ost_lightning.toyworld.vocabulary import EXTRAS, SETTINGS, STATES

FRAMES: Final = DIFFICULTIES["standard"].frames
FRAME_RATE: Final = 8
DEVIATION: Final = 0.5
"""Probability that a typical attribute is redrawn for a clip."""
INTRUSION: Final = 0.8
"""Probability that a random state, in most cases foreign to the action, is inserted, for each that may be."""
_TRANSITION: Final = 0.3


def render_clip(action: ActionClass, seed: str, difficulty: Difficulty = "standard") -> NDArray[np.uint8]:
    """Renders one video of an action, as seen by the camera.

    Args:
        action: Class of the video.
        seed: Seed, any text; the same seed gives the same pixels.
        difficulty: Setting of the world.

    Returns:
        uint8 (T, FRAME_SIDE, FRAME_SIDE, 3), with 32 frames in the standard setting and 48 in the hard one.
    """
    rng = random.Random(seed)
    appearance = vary(action.appearance, rng, rate=DEVIATION, settings=list(SETTINGS), extras=list(EXTRAS))
    scene = Scene(appearance, rng)
    frames = [scene.draw(pose, rng) for pose in perform(action.steps, rng, difficulty)]
    return film(frames, rng)


def perform(steps: tuple[str, ...], rng: random.Random, difficulty: Difficulty = "standard") -> list[Pose]:
    """Draws the pose in each frame: each state lasts for a random time and blends into the next.

    Args:
        steps: States in order.
        rng: Source of randomness for durations and deviations.
        difficulty: Setting of the world.
    """
    setting = DIFFICULTIES[difficulty]
    states = list(steps)
    for _ in range(setting.foreign_states):
        if rng.random() < INTRUSION:
            states.insert(rng.randint(0, len(states)), rng.choice(list(STATES)))
    durations = np.array([rng.gammavariate(3.0, 1.0) + 0.6 for _ in states])
    ends = np.cumsum(durations) / durations.sum()
    held = [pose_of(state, rng) for state in states]
    poses = []
    for frame in range(setting.frames):
        moment = (frame + 0.5) / setting.frames
        k = min(int(np.searchsorted(ends, moment)), len(states) - 1)
        start = float(ends[k - 1]) if k else 0.0
        into = (moment - start) / (float(ends[k]) - start)
        pose = between(held[k - 1], held[k], into / _TRANSITION) if k and into < _TRANSITION else held[k]
        sway = 6 * math.sin(0.9 * frame)
        poses.append(
            replace(
                pose,
                x=pose.x + 0.008 * math.sin(0.7 * frame),
                left_arm=pose.left_arm + sway,
                right_arm=pose.right_arm - sway,
            )
        )
    return poses


def film(frames: list[Image.Image], rng: random.Random) -> NDArray[np.uint8]:
    """Simulates a camera: exposure, color cast, blur and strength of the noise are constant within a clip.

    Args:
        frames: Rendered frames, `FRAME_SIDE` pixels square.
        rng: Source of randomness for the camera.

    Returns:
        uint8 (T, FRAME_SIDE, FRAME_SIDE, 3).
    """
    gamma, blur, noise = rng.uniform(0.5, 1.9), rng.uniform(0.6, 1.3), rng.uniform(10, 28)
    cast = np.array([rng.uniform(0.55, 1.15) for _ in range(3)], np.float32)
    grain = np.random.default_rng(rng.getrandbits(32))
    filmed = np.empty((len(frames), FRAME_SIDE, FRAME_SIDE, 3), np.uint8)
    for k, frame in enumerate(frames):
        light = np.asarray(frame.filter(ImageFilter.GaussianBlur(blur)), np.float32) / 255
        exposed = light**gamma * cast * 255 + grain.normal(0, noise, (FRAME_SIDE, FRAME_SIDE, 1))
        filmed[k] = np.clip(exposed, 0, 255)
    return filmed


def write_mp4(path: Path, frames: NDArray[np.uint8]) -> None:
    """Encodes frames as H.264 .mp4: the same bytes on every machine, complete or not at all.

    Args:
        path: Path of the file to write.
        frames: Frames, uint8 (T, H, W, 3), with even sides.
    """
    with atomic_write(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264",
            rate=FRAME_RATE,
            # without the last option, the same frames are encoded differently from run to run
            options={"crf": "28", "preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"},
        )
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FRAME_RATE)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
