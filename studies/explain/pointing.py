"""The pointing game (Zhang et al., IJCV 2018): does the peak of a map lie on the object that the sentence names?"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.analysis.pictures import COLOR_MAP, WIDTH, picture
from ost_lightning.models import VideoCLIP
from ost_lightning.recognition import attention_maps
from ost_lightning.recognition.explanations import MapMethod
from ost_lightning.text import SentenceSet
from studies.explain.stills import SIDE, Stills

Hits = dict[str, dict[str, float]]
"""Share of stills that are hit, by name of the map and by target."""

TARGETS: Final = ("box", "mask", "box, small props", "mask, small props")
_MAPS: Final[dict[str, tuple[MapMethod, int]]] = {
    "class attention (last layer)": ("class_attention", 0),
    "attention rollout": ("rollout", 0),
    "relevance, last layer": ("relevance", -1),
    "relevance, all layers": ("relevance", 0),
}
_OUTFIT: Final = "relevance of the outfit's sentence"
RELEVANCE: Final = "relevance, all layers"
RAW: Final = "class attention (last layer)"
FIXED: Final = "best fixed point"


def prop_sentences(stills: Stills) -> list[str]:
    """Returns a sentence about the prop of each still."""
    return [f"a photo of {_article(f'{seen.prop_color} {seen.prop}')}" for seen in stills.appearances]


def outfit_sentences(stills: Stills) -> list[str]:
    """Returns a sentence about the person of each still."""
    return [f"a photo of a person in {_article(seen.outfit)} outfit" for seen in stills.appearances]


def sentence_maps(
    video_clip: VideoCLIP, frames: Tensor, sentences: list[str], method: MapMethod = "relevance", first_layer: int = 0
) -> Tensor:
    """Returns the map of each frame for its own sentence, enlarged to the frame.

    Args:
        video_clip: Encoder.
        frames: Frames, uint8 (B, 3, S, S).
        sentences: Sentence of each frame.
        method: Kind of map.
        first_layer: First layer that relevance is accumulated from.

    Returns:
        fp32 (B, S, S).
    """
    groups = defaultdict(list)
    for k, sentence in enumerate(sentences):
        groups[sentence].append(k)
    with torch.no_grad():
        tokens = video_clip.tokenize(SentenceSet({"name": tuple((sentence,) for sentence in groups)}))
        texts = video_clip.encode_sentences(tokens)["name"]
    found: dict[int, Tensor] = {}
    for text, chosen in zip(texts, groups.values(), strict=True):
        maps = attention_maps(video_clip, frames[chosen], text, method, first_layer)[0]
        found |= zip(chosen, maps, strict=True)
    rows = torch.stack([found[k] for k in range(len(frames))])
    return F.interpolate(rows[:, None], size=frames.shape[-2:], mode="bicubic")[:, 0]


def pointing_game(video_clip: VideoCLIP, stills: Stills) -> Hits:
    """Plays the game with all kinds of maps, and with fixed points that see no picture.

    Args:
        video_clip: Encoder without a temporal head.
        stills: Pictures with one prop each.
    """
    everywhere = torch.ones(SIDE, SIDE)
    center = torch.zeros(SIDE, SIDE)
    center[SIDE // 2, SIDE // 2] = 1
    found: Hits = {
        "chance": _hits(everywhere, stills),
        "center of the picture": _hits(center, stills),
        FIXED: _best_fixed_point(stills),
    }
    sentences = prop_sentences(stills)
    for name, (method, first_layer) in _MAPS.items():
        found[name] = _hits(sentence_maps(video_clip, stills.frames, sentences, method, first_layer), stills)
    found[_OUTFIT] = _hits(sentence_maps(video_clip, stills.frames, outfit_sentences(stills)), stills)
    return found


def table(draws: list[Hits]) -> str:
    """Returns a Markdown table of mean and sample standard deviation over draws of stills, in percent."""
    lines = [f"| map | {' | '.join(TARGETS)} |", f"| --- |{' ---: |' * len(TARGETS)}"]
    for name in draws[0]:
        cells = [_percent([draw[name][target] for draw in draws]) for target in TARGETS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def goals(draws: list[Hits]) -> str:
    """Returns a sentence that compares relevance with raw attention and the best fixed point, by boxes."""
    relevance, raw, fixed = (mean(draw[name]["box"] for draw in draws) for name in (RELEVANCE, RAW, FIXED))
    above = [100 * (draw[RELEVANCE]["box"] - draw[FIXED]["box"]) for draw in draws]
    return (
        f"Relevance hits {relevance / max(raw, 1e-9):.1f} times as often as raw attention (goal: 3), and "
        f"{100 * (relevance - fixed):.0f} points more often than the best fixed point (goal: 20; least of "
        f"{len(draws)} draws: {min(above):.0f})."
    )


def draw_examples(video_clip: VideoCLIP, stills: Stills, file: Path, count: int = 6) -> None:
    """Draws stills beside their maps, with the prop's outline and the peak of each map.

    Args:
        video_clip: Encoder without a temporal head.
        stills: Pictures with one prop each.
        file: PNG to write.
        count: Number of stills.

    Raises:
        UserError: If matplotlib is not installed.
    """
    shown = Stills(stills.frames[:count], stills.masks[:count], stills.appearances[:count])
    props, outfits = prop_sentences(shown), outfit_sentences(shown)
    maps = {
        "class attention": sentence_maps(video_clip, shown.frames, props, *_MAPS[RAW]),
        "relevance\nof the prop": sentence_maps(video_clip, shown.frames, props),
        "relevance\nof the outfit": sentence_maps(video_clip, shown.frames, outfits),
    }
    with picture(file, WIDTH, (WIDTH - 0.6) / count * (1 + len(maps)) + 0.3) as figure:
        axes = figure.subplots(1 + len(maps), count, squeeze=False)
        for k, seen in enumerate(shown.appearances):
            axes[0, k].imshow(shown.frames[k].permute(1, 2, 0).numpy())
            axes[0, k].set_title(f"{seen.prop_color} {seen.prop},\n{seen.outfit} outfit")
            for axis, (name, found) in zip(axes[1:, k], maps.items(), strict=True):
                gray = shown.frames[k].float().mean(0).numpy()
                heat = found[k].clamp_min(0).numpy()
                axis.imshow(gray, cmap="gray", vmin=0, vmax=255)
                axis.imshow(heat, cmap=COLOR_MAP, alpha=0.75)
                axis.contour(shown.masks[k].numpy(), [0.5], colors="white", linewidths=1)
                row, column = divmod(int(found[k].argmax()), SIDE)
                axis.plot(column, row, "o", color="white", markeredgecolor="black", markersize=5)
                if k == 0:
                    axis.set_ylabel(name)
        for axis in axes.flat:
            axis.set_xticks([])
            axis.set_yticks([])


def _hits(maps: Tensor, stills: Stills) -> dict[str, float]:
    """Returns the share of stills whose target contains the peak; several equal peaks count in parts."""
    maps = maps.expand(len(stills.frames), -1, -1)
    top = (maps == maps.amax((1, 2), keepdim=True)).float()
    peaks = top / top.sum((1, 2), keepdim=True)
    return _by_target({name: (peaks * area).sum((1, 2)) for name, area in _areas(stills).items()}, stills)


def _best_fixed_point(stills: Stills) -> dict[str, float]:
    """Returns the hits of the point that is best for each target, chosen with the very same stills."""
    found = {}
    for name, area in _areas(stills).items():
        found[name] = float(area.mean(0).max())
        found[f"{name}, small props"] = float(area[stills.small].mean(0).max()) if stills.small.any() else float("nan")
    return found


def _by_target(hits: Mapping[str, Tensor], stills: Stills) -> dict[str, float]:
    every = {name: float(hit.mean()) for name, hit in hits.items()}
    return every | {f"{name}, small props": float(hit[stills.small].mean()) for name, hit in hits.items()}


def _areas(stills: Stills) -> dict[str, Tensor]:
    return {"box": stills.boxes.float(), "mask": stills.masks.float()}


def _percent(shares: list[float]) -> str:
    spread = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.1f}{spread}"


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
