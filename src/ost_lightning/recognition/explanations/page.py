"""Explanations of one video as one HTML page that needs no network: player, matching flows, and attention maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.analysis.matching_flow import frame_names
from ost_lightning.characters import one_line
from ost_lightning.pages import data_url, render_page
from ost_lightning.recognition.explanations.explanation import Explanation, MapMethod
from ost_lightning.recognition.explanations.pictures import HEADINGS, mass_of_frames, scaled_maps
from ost_lightning.recognition.recognition import Recognition
from ost_lightning.recognition.sentence_match import SentenceMatch
from ost_lightning.video.clips.frame_pictures import SHORT_SIDE, jpeg
from ost_lightning.video.storage import EMBED_LIMIT, is_remote, video_for_page

_MAPS: Final[Mapping[MapMethod, str]] = {
    "relevance": "patches that raise the cosine with the sentence",
    "rollout": "attention through all layers, the same for each sentence",
    "class_attention": "attention of the last layer, the same for each sentence",
}
_HEAT: Final = (253.0, 231.0, 55.0)
"""Color of the largest value of a map, red, green and blue."""
_ANSWERS: Final = 5
"""Number of classes in a ranking."""


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedByModel:
    """What one model says about a video.

    Attributes:
        name: Where the model was loaded from.
        found: Recognition of the video.
        explained: Explanation of each class.
        maps: Attention maps of each explanation, (N, T, G, G); empty if there are none.
        conditions: What the figures depend on besides the video.
    """

    name: str
    found: Recognition
    explained: Sequence[Explanation]
    maps: Sequence[Tensor]
    conditions: Mapping[str, str]

    @property
    def classes(self) -> list[str]:
        """Names of the explained classes."""
        return [explanation.label for explanation in self.explained]

    @property
    def seconds(self) -> tuple[float, ...]:
        """Times of the frames; empty if they have none."""
        return self.explained[0].matches[0].seconds

    def record(self) -> dict[str, Any]:
        """Returns all figures as plain values, for JSON, with what they depend on."""
        return {
            "loaded_from": self.name,
            **self.conditions,
            "seconds": [*self.seconds],
            "classes": [explanation.record() for explanation in self.explained],
        }


def write_explanation_page(
    file: Path,
    models: Sequence[ExplainedByModel],
    method: MapMethod | None = None,
    true_class: str | None = None,
    embed_limit: int = EMBED_LIMIT,
) -> None:
    """Writes the page about one video: how one model explains its classes, or how two models do, side by side.

    The video is part of it, or beside it; see `video_for_page`.

    Args:
        file: File to write.
        models: One or more models that explain the same classes of the same video.
        method: Kind of the maps, if the models have any.
        true_class: True class of the video; None if it is not known.
        embed_limit: Largest size in bytes of a video that becomes part of the page.
    """
    video = models[0].found.video
    name = video if is_remote(video) else Path(video).name
    shown = [_model(model, true_class) for model in models]
    file.write_text(
        render_page(
            "explanation",
            name,
            {"video": {**video_for_page(video, file.parent, embed_limit), "name": one_line(name)}},
            name=name,
            models=shown,
            classes=models[0].classes,
            true_class=true_class,
            maps=_MAPS[method] if method is not None else None,
        ),
        encoding="utf-8",
    )


def _model(model: ExplainedByModel, true_class: str | None) -> dict[str, Any]:
    frames = model.explained[0].frames
    names = frame_names(len(frames), model.seconds)
    small = _small(frames)
    pictures = [data_url(jpeg(Image.fromarray(frame.permute(1, 2, 0).numpy()))) for frame in small]
    maps: Sequence[Tensor | None] = model.maps or [None] * len(model.explained)
    return {
        "name": model.name,
        "label": model.found.label,
        "none": model.found.none_of_these,
        "ranking": _ranking(model.found, true_class),
        "frames": [
            {"picture": picture, "name": name, "second": model.seconds[t] if model.seconds else None}
            for t, (picture, name) in enumerate(zip(pictures, names, strict=True))
        ],
        "panels": [
            _panel(explanation, model, small, attention, names, true_class)
            for explanation, attention in zip(model.explained, maps, strict=True)
        ],
        "conditions": model.conditions,
    }


def _ranking(found: Recognition, true_class: str | None) -> list[tuple[str, float]]:
    """Returns the most likely classes, and the true one if it is not among them."""
    shown = found.top(_ANSWERS)
    return shown + [pair for pair in found.top(len(found.classes))[_ANSWERS:] if pair[0] == true_class]


def _panel(
    explanation: Explanation,
    model: ExplainedByModel,
    small: Tensor,
    maps: Tensor | None,
    names: Sequence[str],
    true_class: str | None,
) -> dict[str, Any]:
    strips: list[str | None] = [None] * len(explanation.matches)
    if maps is not None:
        strips = [_strip(small, heat) for heat in scaled_maps(maps, small.shape[-1])]
    kinds = []
    for kind, heading in HEADINGS.items():
        chosen = [n for n, match in enumerate(explanation.matches) if match.kind == kind]
        if chosen:
            plan = mass_of_frames([explanation.matches[n] for n in chosen]).T.tolist()
            rows = [
                {"sentence": explanation.matches[n].sentence, "cosine": explanation.matches[n].cosine}
                | {"shares": shares, "map": strips[n]}
                for n, shares in zip(chosen, plan, strict=True)
            ]
            kinds.append({"heading": heading, "rows": rows})
    others = [
        {"label": other.label, "frames": [{"name": names[t], "second": _second(model, t)} for t in frames]}
        for other in model.explained
        if other is not explanation and (frames := explanation.frames_against(other))
    ]
    return {
        "label": explanation.label,
        "probability": explanation.probability,
        "recognized": explanation.label == model.found.label,
        "true": explanation.label == true_class,
        "best": _match(explanation.best),
        "worst_step": None if explanation.worst_step is None else _match(explanation.worst_step),
        "others": others,
        "kinds": kinds,
    }


def _match(match: SentenceMatch) -> dict[str, Any]:
    """A sentence in words, and its best frame; none if a temporal head pools all frames."""
    single = len(match.shares) == 1
    best = None if single else {"name": match.when(match.frame), "second": match.second}
    return {"sentence": match.sentence, "cosine": match.cosine, "best": best}


def _second(model: ExplainedByModel, frame: int) -> float | None:
    return model.seconds[frame] if model.seconds else None


def _small(frames: Tensor) -> Tensor:
    """Returns frames (T, 3, S, S) as uint8 with at most as many pixels per side as a page needs."""
    size = min(SHORT_SIDE, frames.shape[-1])
    return F.interpolate(frames.float(), size=(size, size), mode="area").round().to(torch.uint8)


def _strip(small: Tensor, heat: Tensor) -> str:
    """Returns one picture with the maps (T, S, S) of all frames (T, 3, S, S) side by side, over the frames in gray."""
    gray = small.float().mean(1, keepdim=True)
    alpha = 0.9 * heat[:, None]
    mixed = (1 - alpha) * gray + alpha * torch.tensor(_HEAT)[:, None, None]
    pixels = mixed.round().to(torch.uint8).permute(2, 0, 3, 1).flatten(1, 2).contiguous()
    return data_url(jpeg(Image.fromarray(pixels.numpy())))
