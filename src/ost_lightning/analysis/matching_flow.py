"""Matching flows: share of each frame's mass that goes to each descriptor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ost_lightning.analysis.pictures import new_figure, save_figure
from ost_lightning.matching import PlanMatcher
from ost_lightning.vocabulary import DescriptorKind

if TYPE_CHECKING:
    from ost_lightning.models import VideoCLIP


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
    """Draws the frames of a video above the plans of one or several flows.

    Args:
        flows: Flows of the same frames, by heading.
        title: Title of the picture.
        file: PNG to write.
        seconds: Times of the frames; they are numbered if there are none.

    Raises:
        UserError: If matplotlib is not installed.
    """
    frames = next(iter(flows.values())).frames
    count = len(frames)
    heights = [1.6, *(0.42 * len(flow.descriptors) + 0.35 for flow in flows.values())]
    figure = new_figure(1.15 * count + 4.2, sum(heights) + 0.6)
    figure.suptitle(title)
    axes = figure.subplots(1 + len(flows), 1, gridspec_kw={"height_ratios": heights})
    strip = frames.permute(2, 0, 3, 1).flatten(1, 2).numpy()
    axes[0].imshow(strip, aspect="auto", extent=(-0.5, count - 0.5, 1, 0))
    axes[0].set_yticks([])
    axes[0].set_xticks(range(count), frame_names(count, seconds), fontsize=8)
    for axis, (heading, flow) in zip(axes[1:], flows.items(), strict=True):
        axis.imshow(flow.plan.T.numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=1)
        axis.set_title(heading, fontsize=10, loc="left")
        axis.set_yticks(range(len(flow.descriptors)), flow.descriptors, fontsize=9)
        axis.set_xticks([])
        for t in range(len(flow.plan)):
            for n in range(len(flow.descriptors)):
                share = float(flow.plan[t, n])
                axis.text(
                    t,
                    n,
                    f"{share:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share < 0.6 else "black",
                )
    save_figure(figure, file)


def frame_names(count: int, seconds: Sequence[float] = ()) -> list[str]:
    """Returns captions for frames: their times, or their numbers if there are none."""
    return [f"{time:.1f} s" for time in seconds] or [f"frame {k + 1}" for k in range(count)]
