"""Comparison of an exported graph with the suite, on random frames and on decoded videos."""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, evaluation_clips, probabilities
from ost_lightning.export.formats import GraphFormat, Precision
from ost_lightning.export.graph import ExportSource
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.video import UNLABELED, SampleKey, VideoRecord

TOLERANCE: Final = 1e-4
"""Largest difference of a probability in fp32."""
_RENDERED: Final = 4
"""Number of rendered videos."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of a graph with the suite's fp32.

    Attributes:
        top1_equal: Share of clips with the same most likely class, 0 to 1.
        largest_difference: Largest difference of a probability, 0 to 1.
        clips: Number of clips.
    """

    top1_equal: float
    largest_difference: float
    clips: int

    def as_json(self) -> dict[str, float]:
        """Returns the values by name."""
        return asdict(self)


@torch.no_grad()
def suite_probabilities(source: ExportSource, frames: Tensor) -> Tensor:
    """Returns the suite's probabilities (B, K) of frames uint8 (B, T, 3, S, S), in fp32."""
    return probabilities(source.video_clip, source.matcher, source.texts, embed(source.video_clip, frames[:, None]))


def read_views(source: ExportSource, video: Path) -> Tensor:
    """Returns the views of a video as the suite reads them, uint8 (V, T, 3, S, S).

    Raises:
        UserError: If it can't be read.
    """
    clip = evaluation_clips([VideoRecord(video, UNLABELED, str(video))], source.clips)[SampleKey(0, 0)]
    if isinstance(clip, UserError):
        raise clip
    if clip.frames is None:
        raise UserError(clip.failures[0].reason)
    return clip.frames


def load_runner(folder: Path) -> Any:
    """Imports the program `runner.py` of an exported folder."""
    spec = importlib.util.spec_from_file_location("runner", folder / "runner.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / "runner.py")
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    return runner


def check(source: ExportSource, folder: Path, name: GraphFormat, precision: Precision) -> Agreement:
    """Compares a written graph with the suite.

    The frames are random ones, and those of rendered videos as the exported program reads them.

    Args:
        source: Model, classes and settings.
        folder: Exported folder.
        name: Format.
        precision: Precision of the graph; only fp32 has a tolerance.

    Raises:
        UserError: If frames differ, or probabilities differ by more than the tolerance or are not finite.
    """
    runner = load_runner(folder)
    return _agreement(source, runner.load(name), runner.read_clip, name, precision)


def _agreement(
    source: ExportSource,
    recognize: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    read_clip: Callable[[Path], NDArray[np.uint8]],
    name: GraphFormat,
    precision: Precision,
) -> Agreement:
    geometry = source.clips.geometry()
    shape = (2, geometry.frames, 3, geometry.crop_size, geometry.crop_size)
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randint(256, shape, dtype=torch.uint8, generator=generator)]
    with TemporaryDirectory() as temporary:
        for number, action in enumerate(draw_classes(0)["unseen"][:_RENDERED]):
            video = Path(temporary) / f"{number}.mp4"
            write_mp4(video, render_clip(action, seed=str(number)))
            views, read = read_views(source, video), read_clip(video)
            if not np.array_equal(views.numpy(), read):
                raise UserError(f"The export in the format {name} fails: runner.py reads other frames than the suite.")
            batches.append(views)
    expected = torch.cat([suite_probabilities(source, batch) for batch in batches])
    found = torch.from_numpy(np.concatenate([recognize(np.ascontiguousarray(batch.numpy())) for batch in batches]))
    difference = float((found - expected).abs().max())
    if not difference <= (TOLERANCE if precision == "fp32" else 1):  # NaN is not
        raise UserError(
            f"The export in the format {name} fails: its probabilities differ from the suite's by up to "
            f"{difference:.2g}, more than {TOLERANCE:g}. If the matcher iterates, raise the number of iterations."
        )
    equal = float((found.argmax(-1) == expected.argmax(-1)).float().mean())
    return Agreement(equal, difference, len(expected))
