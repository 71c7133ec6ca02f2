"""Comparison of an export with the suite: graphs on random frames and decoded videos, a folder on both towers."""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.evaluation import embed, evaluation_clips, probabilities
from ost_lightning.export.formats import GraphFormat, Precision
from ost_lightning.export.graph import ExportSource
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes
from ost_lightning.video import UNLABELED, SampleKey, VideoRecord

TOLERANCE: Final = 1e-4
"""Largest difference of a probability in fp32."""
TIE: Final = 1e-5
"""Difference below which probabilities of two classes count as equal, so that either may come first."""
EXPECTED: Final = 0.99
"""Share of equal top-1 below which a reduced precision is warned about."""
_RENDERED: Final = 4
"""Number of rendered videos."""
_NAMES: Final = 16
"""Largest number of class names that a folder's text tower is compared on."""


class AgreementWarning(UserWarning):
    """A graph in reduced precision recognizes too few videos as fp32 does."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of a graph with the suite's fp32 on decoded clips.

    Attributes:
        top1_equal: Share of clips with the same most likely class, 0 to 1.
        top5_equal: Share of clips with the same five most likely classes in the same order, 0 to 1.
        largest_difference: Largest difference of a probability, 0 to 1.
        clips: Number of clips; each view of a video is one.
        videos: Videos that were compared: `given` or `rendered` ones.
    """

    top1_equal: float
    top5_equal: float
    largest_difference: float
    clips: int
    videos: str

    def as_json(self) -> dict[str, float | str]:
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


def equal_top(found: Tensor, expected: Tensor, count: int) -> Tensor:
    """Returns whether the most likely classes are the same, in the same order.

    Args:
        found: Probabilities, (B, K).
        expected: Probabilities to compare with, (B, K).
        count: Number of classes, all of them if there are fewer.

    Returns:
        bool (B,). Classes whose expected probabilities differ by at most `TIE` may change places.
    """
    count = min(count, expected.shape[1])
    chosen = expected.gather(1, found.topk(count).indices)
    return ((chosen - expected.topk(count).values).abs() <= TIE).all(1)


def check(
    source: ExportSource, folder: Path, name: GraphFormat, precision: Precision, videos: Sequence[Path] = ()
) -> Agreement:
    """Compares a written graph with the suite.

    The frames are random ones, and those of rendered and given videos as the exported program reads them. In fp32, all
    must agree. In reduced precision, agreement is measured, and warned about if it is low on given videos.

    Args:
        source: Model, classes and settings.
        folder: Exported folder.
        name: Format.
        precision: Precision of the graph.
        videos: Videos like those that will be recognized.

    Returns:
        Agreement on the given videos; on the rendered ones if none are given.

    Raises:
        UserError: If a video can't be read, frames differ, or probabilities are not finite; in fp32, also if
            probabilities differ by more than the tolerance, or the most likely classes differ.
    """
    runner = load_runner(folder)
    recognize, geometry = runner.load(name), source.clips.geometry()

    def compare(clip: Tensor, title: str) -> tuple[Tensor, Tensor]:
        expected = suite_probabilities(source, clip)
        found = torch.from_numpy(np.array(recognize(np.ascontiguousarray(clip.numpy()))))
        _require_equal(found, expected, f"The export in the format {name} fails on {title}", precision)
        return found, expected

    def read(video: Path, title: str) -> Tensor:
        views = read_views(source, video)
        if not np.array_equal(views.numpy(), runner.read_clip(video)):
            raise UserError(
                f"The export in the format {name} fails on {title}: runner.py reads other frames than the suite."
            )
        return views

    shape = (2, geometry.frames, 3, geometry.crop_size, geometry.crop_size)
    generator = torch.Generator().manual_seed(0)
    compare(torch.randint(256, shape, dtype=torch.uint8, generator=generator), "random frames")
    with TemporaryDirectory() as temporary:
        rendered = _render(Path(temporary))
        results = [compare(read(video, "a rendered video"), "a rendered video") for video in rendered]
    if videos:
        results = [compare(read(video, str(video)), str(video)) for video in videos]
    found, expected = (torch.cat(column) for column in zip(*results, strict=True))
    shares = [float(equal_top(found, expected, count).float().mean()) for count in (1, 5)]
    if videos and shares[0] < EXPECTED:
        warnings.warn(
            f"In {precision}, the format {name} has the most likely class of fp32 for {100 * shares[0]:.1f} % of "
            f"{len(found)} clips: expected at least {100 * EXPECTED:.0f} %. Use another precision or format, or accept "
            "it; the model card states the share.",
            AgreementWarning,
            stacklevel=2,
        )
    largest = float((found - expected).abs().max())
    return Agreement(shares[0], shares[1], largest, len(found), "given" if videos else "rendered")


@torch.no_grad()
def check_folder(source: ExportSource, folder: Path) -> None:
    """Compares a written folder with the encoder: embeddings of a random clip, and of class names.

    Args:
        source: Model, classes and settings.
        folder: Folder in the encoder's own format.

    Raises:
        UserError: If the folder can't be loaded, or a unit vector differs by more than the tolerance.
    """
    encoder, clips = source.video_clip.encoder, source.clips.geometry()
    try:
        again = type(encoder).from_pretrained(str(folder)).eval()
    except CheckpointError as error:
        raise UserError(f"The export in the format hf fails, because it can't be loaded: {error}") from error
    frames = clips.frames if encoder.relates_frames else 1
    shape = (1, frames, 3, clips.crop_size, clips.crop_size)
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    names = source.labels.names[:_NAMES]
    for what, found, expected in (
        ("a random clip", again.encode_clips(pixels), encoder.encode_clips(pixels)),
        ("class names", again.encode_tokens(*again.tokenizer(names)), encoder.encode_tokens(*encoder.tokenizer(names))),
    ):
        difference = float((F.normalize(found, dim=-1) - F.normalize(expected, dim=-1)).abs().max())
        if not difference <= TOLERANCE:  # NaN is not
            raise UserError(
                f"The export in the format hf fails on {what}: once loaded, its embeddings differ from the suite's by "
                f"up to {difference:.2g}, more than {TOLERANCE:g}."
            )


def _require_equal(found: Tensor, expected: Tensor, problem: str, precision: Precision) -> None:
    difference = float((found - expected).abs().max())
    if not difference <= (TOLERANCE if precision == "fp32" else 1):  # NaN is not
        raise UserError(
            f"{problem}: its probabilities differ from the suite's by up to {difference:.2g}, more than {TOLERANCE:g}. "
            "If the matcher iterates, raise the number of iterations."
        )
    if precision == "fp32" and not equal_top(found, expected, 5).all():
        raise UserError(
            f"{problem}: its five most likely classes differ from the suite's. If the matcher iterates, raise the "
            "number of iterations."
        )


def _render(folder: Path) -> list[Path]:
    videos = []
    for number, action in enumerate(draw_classes(0)["unseen"][:_RENDERED]):
        videos.append(folder / f"{number}.mp4")
        write_mp4(videos[-1], render_clip(action, seed=str(number)))
    return videos
