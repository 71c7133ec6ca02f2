"""Matching flows: share of each frame's mass that goes to each descriptor."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from ost_lightning.analysis.pictures import WIDTH, picture
from ost_lightning.matching import PlanMatcher
from ost_lightning.vocabulary import DescriptorKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    from ost_lightning.models import VideoCLIP

_WRAP: Final = 36
"""Longest line of a sentence, in characters."""
_LABELS: Final = 2.4
"""Width of the sentences in inches."""
_TICKS: Final = 12
"""Number of frames up to which there is room for numbers."""


@dataclass(frozen=True, slots=True, repr=False)
class MatchingFlow:
    """Transport plan between one video and the descriptors of one class.

    Attributes:
        frames: Pixels, uint8 (T, 3, S, S).
        plan: Share of a frame's mass that goes to each descriptor, fp32 (T, N); rows sum to 1. One row if a temporal
            head pools the frames.
        cosines: Cosine between each frame and descriptor, fp32 (T, N).
        descriptors: Texts of the N descriptors.
    """

    frames: Tensor
    plan: Tensor
    cosines: Tensor
    descriptors: tuple[str, ...]

    def __repr__(self) -> str:
        return f"MatchingFlow({len(self.frames)} frames of {self.frames.shape[-1]} pixels to {self.descriptors})"


@torch.no_grad()
def matching_flow(
    video_clip: "VideoCLIP",
    matcher: PlanMatcher,
    frames: Tensor,
    embeddings: Tensor,
    texts: Sequence[str],
    kind: DescriptorKind,
) -> MatchingFlow:
    """Matches one video with the descriptors of one class.

    Args:
        video_clip: Encoder of the frames.
        matcher: Matcher with a plan.
        frames: Pixels, uint8 (T, 3, S, S), on the encoder's device.
        embeddings: L2-normalized embeddings of the descriptors' sentences, (N, d).
        texts: Texts of the N descriptors.
        kind: Kind of the descriptors.
    """
    cosines, plan = matcher.cosines_and_plan(video_clip.encode_frames(frames[None]), embeddings[None], kind)
    return MatchingFlow(frames.cpu(), (plan[0, 0] * plan.shape[2]).cpu(), cosines[0, 0].cpu(), tuple(texts))


def draw_matching_flows(
    flows: Mapping[str, MatchingFlow], title: str, file: Path, seconds: Sequence[float] = ()
) -> None:
    """Draws the frames of a video above the plans of one or several flows: the share of each frame's mass.

    Args:
        flows: Flows of the same frames, by heading.
        title: Title of the picture.
        file: Picture to write, `.png` or `.svg`.
        seconds: Times of the frames; they are numbered if there are none.

    Raises:
        UserError: If matplotlib is not installed.
    """
    with picture(file, WIDTH, flows_height(flows) + 0.3, title) as figure:
        fill_with_flows(figure, flows, seconds)


def flows_height(flows: Mapping[str, MatchingFlow]) -> float:
    """Returns the height in inches that flows need below a title.

    Args:
        flows: Flows of the same frames, by heading.
    """
    heights = _heights(flows)
    return sum(heights) + 0.35 * len(heights)


def fill_with_flows(figure: "FigureBase", flows: Mapping[str, MatchingFlow], seconds: Sequence[float] = ()) -> None:
    """Draws the frames of a video above the plans of one or several flows into a figure, or into a part of one.

    Args:
        figure: Empty figure or part of a figure, as wide as a page.
        flows: Flows of the same frames, by heading.
        seconds: Times of the frames; they are numbered if there are none.
    """
    frames = next(iter(flows.values())).frames
    count = len(frames)
    axes = figure.subplots(1 + len(flows), 1, gridspec_kw={"height_ratios": _heights(flows)})
    strip = frames.permute(2, 0, 3, 1).flatten(1, 2).numpy()
    axes[0].imshow(strip, aspect="auto", extent=(-0.5, count - 0.5, 1, 0))
    axes[0].set_yticks([])
    for axis in axes:
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    shown = range(0, count, -(-count // _TICKS))
    names = frame_names(count, seconds)
    axes[0].set_xticks(shown, [names[k] for k in shown])
    for axis, (heading, flow) in zip(axes[1:], flows.items(), strict=True):
        axis.imshow(flow.plan.T.numpy(), aspect="auto", vmin=0, vmax=1)
        axis.set_title(heading, loc="left")
        axis.set_yticks(range(len(flow.descriptors)), [textwrap.fill(text, _WRAP) for text in flow.descriptors])
        axis.set_xticks([])
        if count <= _TICKS:
            _write_shares(axis, flow.plan)


def _heights(flows: Mapping[str, MatchingFlow]) -> list[float]:
    """Heights in inches of the frames and of each flow."""
    frames = next(iter(flows.values())).frames
    strip = (WIDTH - _LABELS) / len(frames) * frames.shape[-2] / frames.shape[-1]
    lines = [[len(textwrap.wrap(text, _WRAP)) for text in flow.descriptors] for flow in flows.values()]
    return [strip, *(0.2 + sum(0.12 + 0.13 * count for count in counts) for counts in lines)]


def _write_shares(axis: "Axes", plan: Tensor) -> None:
    for t, row in enumerate(plan.tolist()):
        for n, share in enumerate(row):
            color = "white" if share < 0.55 else "black"
            axis.text(t, n, f"{share:.2f}", ha="center", va="center", fontsize=7, color=color)


def frame_names(count: int, seconds: Sequence[float] = ()) -> list[str]:
    """Returns captions for frames: their times, or their numbers if there are none."""
    return [f"{time:.1f} s" for time in seconds] or [f"frame {k + 1}" for k in range(count)]
