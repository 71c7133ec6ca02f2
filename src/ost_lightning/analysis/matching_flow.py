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
    frames = next(iter(flows.values())).frames
    count = len(frames)
    sentences = {name: [textwrap.fill(text, _WRAP) for text in flow.descriptors] for name, flow in flows.items()}
    rows = {name: sum(0.12 + 0.13 * (1 + text.count("\n")) for text in texts) for name, texts in sentences.items()}
    heights = [(WIDTH - _LABELS) / count * frames.shape[-2] / frames.shape[-1], *(0.2 + row for row in rows.values())]
    with picture(file, WIDTH, sum(heights) + 0.35 * len(heights) + 0.3, title) as figure:
        axes = figure.subplots(1 + len(flows), 1, gridspec_kw={"height_ratios": heights})
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
            axis.set_yticks(range(len(flow.descriptors)), sentences[heading])
            axis.set_xticks([])
            if count <= _TICKS:
                _write_shares(axis, flow.plan)


def _write_shares(axis: "Axes", plan: Tensor) -> None:
    for t, row in enumerate(plan.tolist()):
        for n, share in enumerate(row):
            color = "white" if share < 0.55 else "black"
            axis.text(t, n, f"{share:.2f}", ha="center", va="center", fontsize=7, color=color)


def frame_names(count: int, seconds: Sequence[float] = ()) -> list[str]:
    """Returns captions for frames: their times, or their numbers if there are none."""
    return [f"{time:.1f} s" for time in seconds] or [f"frame {k + 1}" for k in range(count)]
