"""Pictures of explanations: matching flows, and attention maps over the frames."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.analysis.matching_flow import (
    MatchingFlow,
    draw_matching_flows,
    fill_with_flows,
    flows_height,
    frame_names,
)
from ost_lightning.analysis.pictures import COLOR_MAP, WIDTH, picture
from ost_lightning.recognition.explanations.explanation import Explanation
from ost_lightning.recognition.sentence_match import SentenceMatch
from ost_lightning.vocabulary import SentenceKind

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

HEADINGS: Final[dict[SentenceKind, str]] = {
    "name": "Class name",
    "spatio": "Spatio Descriptors",
    "temporal": "Temporal Descriptors",
}
_WRAP: Final = 32
"""Longest line of a caption, in characters."""
_LABELS: Final = 2.1
"""Width of the captions in inches."""
_HEADING: Final = 90
"""Longest line of a model's name, in characters."""
_ROOMY: Final = 12
"""Number of frames up to which their times are large."""


def draw_matches(explanation: Explanation, file: Path) -> None:
    """Draws the frames above the share of each frame's mass that goes to each sentence of the class.

    Args:
        explanation: Explanation of one class.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    draw_matching_flows(_flows(explanation), _title(explanation), file, explanation.matches[0].seconds)


def draw_flows(explanations: Sequence[Explanation], title: str, file: Path) -> None:
    """Draws the frames of one video above their shares for the sentences of several classes.

    Args:
        explanations: Explanations of one video by several classes.
        title: Title of the picture.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    flows = {
        f"{_title(explanation)}: {heading}": flow
        for explanation in explanations
        for heading, flow in _flows(explanation).items()
    }
    draw_matching_flows(flows, title, file, explanations[0].matches[0].seconds)


def _flows(explanation: Explanation) -> dict[str, MatchingFlow]:
    flows = {}
    for kind, heading in HEADINGS.items():
        matches = [match for match in explanation.matches if match.kind == kind]
        if matches:
            plan = mass_of_frames(matches)
            cosines = torch.stack([match.cosines for match in matches], dim=1)
            sentences = tuple(match.sentence for match in matches)
            flows[heading] = MatchingFlow(explanation.frames, plan, cosines, sentences)
    return flows


def mass_of_frames(matches: Sequence[SentenceMatch]) -> Tensor:
    """Returns the share of each frame's mass that goes to each sentence.

    Args:
        matches: Matches with the N sentences of one kind.

    Returns:
        Shares (T, N), whose rows sum to 1 if the plan is balanced; T is 1 if a temporal head pools the frames.
    """
    shares = torch.stack([match.shares for match in matches], dim=1)
    # a sentence gets 1 / N of the mass and a frame gives 1 / T of it
    return shares * len(shares) / len(matches)


def _title(explanation: Explanation) -> str:
    return f"{explanation.label} ({100 * explanation.probability:.0f} %)"


def draw_maps(explanation: Explanation, matches: Sequence[SentenceMatch], maps: Tensor, file: Path) -> None:
    """Draws attention maps over the frames, one row per sentence; each row has one color scale for all frames.

    Args:
        explanation: Explanation that the matches are from.
        matches: The N sentences of the maps.
        maps: Attention maps, (N, T, G, G); see `Recognizer.maps`.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    with picture(file, WIDTH, 0.5 + _maps_height(explanation.frames, matches), _title(explanation)) as figure:
        _fill_with_maps(figure, explanation.frames, matches, maps)


def _maps_height(frames: Tensor, matches: Sequence[SentenceMatch]) -> float:
    """Height in inches of one row of maps per sentence."""
    return ((WIDTH - _LABELS) / len(frames) + 0.05) * len(matches)


def _fill_with_maps(figure: "FigureBase", frames: Tensor, matches: Sequence[SentenceMatch], maps: Tensor) -> None:
    heat = scaled_maps(maps, frames.shape[-1]).numpy()
    columns = len(frames)
    axes = figure.subplots(len(matches), columns, squeeze=False)
    for n, match in enumerate(matches):
        axes[n, 0].set_ylabel(textwrap.fill(match.sentence, _WRAP), rotation=0, ha="right", va="center", fontsize=7)
        for t in range(columns):
            axis = axes[n, t]
            axis.imshow(frames[t].permute(1, 2, 0).float().mean(-1).numpy(), cmap="gray", vmin=0, vmax=255)
            axis.imshow(heat[n, t], cmap=COLOR_MAP, vmin=0, vmax=1, alpha=0.9 * heat[n, t])
            axis.spines[:].set_visible(False)
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, name in zip(axes[-1], frame_names(columns, matches[0].seconds), strict=True):
        axis.set_xlabel(name, fontsize=7 if columns <= _ROOMY else 4)


def scaled_maps(maps: Tensor, size: int) -> Tensor:
    """Returns maps that are as large as a picture, each sentence with one scale from 0 to 1 for all frames.

    Args:
        maps: Attention maps, (N, T, G, G).
        size: Side of the picture in pixels.

    Returns:
        Heat (N, T, size, size).
    """
    # zero stays zero, so that a frame without evidence stays gray
    enlarged = F.interpolate(maps, size=(size, size), mode="bicubic").clamp_min(0)
    return enlarged / enlarged.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)


def draw_comparison(
    explanations: Mapping[str, Explanation], maps: Mapping[str, Tensor], title: str, file: Path
) -> None:
    """Draws side by side how models explain one class of the same video: matching flows, and maps below them.

    Args:
        explanations: Explanations of one class and video, by name of the model.
        maps: Attention maps of all sentences, (N, T, G, G), by name of the model; empty for matching flows alone.
        title: Title of the picture.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    flows = {name: _flows(explanation) for name, explanation in explanations.items()}
    heights = {name: [flows_height(flow)] for name, flow in flows.items()}
    for name in maps:
        heights[name].append(0.2 + _maps_height(explanations[name].frames, explanations[name].matches))
    height = max(map(sum, heights.values()))
    with picture(file, WIDTH * len(heights), height + 0.8, title) as figure:
        blocks = figure.subfigures(1, len(heights), squeeze=False)[0]
        for block, (name, explanation) in zip(blocks, explanations.items(), strict=True):
            heading = textwrap.fill(f"{name}: {_title(explanation)}", _HEADING)
            block.suptitle(heading, fontsize=9, fontweight="bold")
            # equal scales: a model with fewer sentences leaves the lower part empty
            rest = max(height - sum(heights[name]), 1e-3)
            parts = block.subfigures(len(heights[name]) + 1, 1, height_ratios=[*heights[name], rest])
            fill_with_flows(parts[0], flows[name], explanation.matches[0].seconds)
            if name in maps:
                _fill_with_maps(parts[1], explanation.frames, explanation.matches, maps[name])
