"""Semantic density (Fig. 2): closeness of the classes of a data set, by name and by descriptors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.analysis.pictures import COLOR_MAP, COLORS, HINT, WIDTH, name_points, picture
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace, Templates
from ost_lightning.vocabulary import SENTENCE_KINDS, counted

if TYPE_CHECKING:
    from ost_lightning.models import VideoCLIP

_NAME_COLOR, _DESCRIPTOR_COLOR = COLORS[7], COLORS[0]
_MARKERS: Final = "osD^vPX*<>"
_PANELS: Final = {"name": "category names", "descriptors": "descriptors"}
_MOST_NAMES: Final = 40


@dataclass(frozen=True, slots=True)
class ClassEmbeddings:
    """One embedding per class from each kind of text: fp32 (K, d), L2-normalized.

    Attributes:
        classes: Names of the classes.
        name: Embeddings of the category names.
        spatio: Normalized mean of the Spatio Descriptors.
        temporal: Normalized mean of the Temporal Descriptors.
        descriptors: Normalized mean of both kinds.
    """

    classes: tuple[str, ...]
    name: Tensor
    spatio: Tensor
    temporal: Tensor
    descriptors: Tensor


@dataclass(frozen=True, slots=True)
class Density:
    """Mean pairwise cosines between the classes of one data set, -1 to 1; lower values are easier to tell apart.

    Attributes:
        classes: Number of classes (K).
        name: Mean cosine between category names.
        descriptors: Mean cosine between the descriptor means of classes: the second bar of Fig. 2.
        spatio: Mean cosine between the Spatio Descriptor means of classes.
        temporal: Mean cosine between the Temporal Descriptor means of classes.
        single_descriptors: Mean cosine between single descriptors of different classes. Averaging removes what is
            particular to each text, so this is always lower than the cosine between means.
    """

    classes: int
    name: float
    descriptors: float
    spatio: float
    temporal: float
    single_descriptors: float


@torch.no_grad()
def class_embeddings(
    video_clip: "VideoCLIP", labels: LabelSpace, templates: Templates, per_class: int
) -> tuple[ClassEmbeddings, Tensor]:
    """Encodes the classes of a label space.

    Args:
        video_clip: Encoder of the texts.
        labels: Label space of at least two classes, with descriptors.
        templates: Sentence templates.
        per_class: Number of descriptors per class and kind (N).

    Returns:
        One embedding per class and kind, and the single descriptors, (K, 2N, d).

    Raises:
        UserError: If there are fewer than two classes, or too few descriptors.
    """
    if len(labels) < 2:
        raise UserError(f"The label space {labels.origin} has only one class, but a density needs pairs.")
    sentences = templates.apply(labels, SENTENCE_KINDS, per_class, video_clip.token_count)
    texts = video_clip.encode_sentences(video_clip.tokenize(sentences))
    single = torch.cat([texts["spatio"], texts["temporal"]], dim=1)
    means = {kind: F.normalize(texts[kind].mean(1), dim=-1).cpu() for kind in SENTENCE_KINDS}
    embeddings = ClassEmbeddings(tuple(labels.names), **means, descriptors=F.normalize(single.mean(1), dim=-1).cpu())
    return embeddings, single.cpu()


def density(embeddings: ClassEmbeddings, single: Tensor) -> Density:
    """Returns the mean pairwise cosines.

    Args:
        embeddings: One embedding per class and kind of text.
        single: Single descriptors, fp32 (K, 2N, d).
    """
    return Density(
        classes=len(embeddings.name),
        single_descriptors=mean_cosine_between_classes(single),
        **{
            kind: mean_cosine_between_classes(getattr(embeddings, kind)[:, None])
            for kind in ("name", "descriptors", "spatio", "temporal")
        },
    )


def mean_cosine_between_classes(embeddings: Tensor) -> float:
    """Returns the mean cosine over all pairs of texts of different classes.

    Args:
        embeddings: Embeddings of M texts per class, (K, M, d), L2-normalized; K >= 2.
    """
    wide = embeddings.double()
    by_class = wide.sum(1)
    # |sum over all|^2 contains every pair; |sum over a class|^2 the pairs within it
    between = by_class.sum(0).square().sum() - by_class.square().sum()
    classes, texts = embeddings.shape[:2]
    return float(between / (classes * (classes - 1) * texts**2))


def draw_density(densities: Mapping[str, Density], title: str, file: Path) -> None:
    """Draws two bars per data set: category names and descriptors (Fig. 2, right).

    Args:
        densities: Density by name of the data set.
        title: Title of the picture; should name the CLIP.
        file: Picture to write, `.png` or `.svg`.

    Raises:
        UserError: If matplotlib is not installed.
    """
    with picture(file, min(WIDTH, max(3.5, 1.4 + 1.1 * len(densities))), 3.2, title) as figure:
        axis = figure.subplots()
        positions = np.arange(len(densities))
        shown = (("name", "category name", _NAME_COLOR), ("descriptors", "descriptors", _DESCRIPTOR_COLOR))
        for side, (kind, label, color) in zip((-0.2, 0.2), shown, strict=True):
            values = [100 * getattr(found, kind) for found in densities.values()]
            axis.bar_label(axis.bar(positions + side, values, 0.38, label=label, color=color), fmt="%.1f", fontsize=7)
        axis.set_xticks(
            positions, [f"{name}\n{counted(found.classes, 'class', 'classes')}" for name, found in densities.items()]
        )
        axis.set_xlim(-0.7, len(densities) - 0.3)
        axis.set_ylabel("mean pairwise cosine (%)")
        axis.set_ylim(top=1.15 * axis.get_ylim()[1])
        figure.legend(loc="outside lower center", frameon=False, ncols=2)


def draw_map(embeddings: Mapping[str, ClassEmbeddings], title: str, file: Path, seed: int = 0) -> None:
    """Draws a t-SNE of the classes of all data sets: names on the left, descriptors on the right (Fig. 2, left).

    Up to 40 classes are named. One data set is colored by the cosine to the nearest other class, several by data set.

    Args:
        embeddings: Embeddings of classes by name of the data set.
        title: Title of the picture; should name the CLIP.
        file: Picture to write, `.png` or `.svg`.
        seed: Seed for t-SNE.

    Raises:
        UserError: If matplotlib or scikit-learn is not installed, or there are fewer than five classes in all.
    """
    total = sum(len(found.name) for found in embeddings.values())
    named = total <= _MOST_NAMES
    # names need room: one panel below the other
    size, grid = ((WIDTH, 11.0), (2, 1)) if named else ((WIDTH, 3.9), (1, 2))
    panels = []
    # one label space is colored by closeness, several by label space
    closest = (
        {kind: _closest(next(iter(embeddings.values())), kind) for kind in _PANELS} if len(embeddings) == 1 else {}
    )
    limits = {"vmin": min(map(np.min, closest.values())), "vmax": max(map(np.max, closest.values()))} if closest else {}
    with picture(file, *size, f"{title}; {counted(total, 'class', 'classes')}") as figure:
        for axis, (kind, heading) in zip(figure.subplots(*grid), _PANELS.items(), strict=True):
            vectors = [getattr(found, kind) for found in embeddings.values()]
            points = tsne(torch.cat(vectors), seed)
            parts = np.split(points, np.cumsum([len(part) for part in vectors])[:-1])
            for k, (name, part) in enumerate(zip(embeddings, parts, strict=True)):
                marker = _MARKERS[k % len(_MARKERS)]
                style = {"c": closest[kind], "cmap": COLOR_MAP, **limits} if closest else {"alpha": 0.75}
                dots = axis.scatter(part[:, 0], part[:, 1], s=16, marker=marker, linewidths=0, label=name, **style)
            axis.set_title(heading)
            axis.spines[:].set_visible(True)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.margins(0.12)
            panels.append((axis, points))
        if closest:
            label = "cosine to the nearest other class"
            figure.colorbar(dots, ax=[axis for axis, _ in panels], shrink=0.7, label=label)
        else:
            figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
        if named:
            for axis, points in panels:
                name_points(figure, axis, points, [name for found in embeddings.values() for name in found.classes])


def _closest(embeddings: ClassEmbeddings, kind: str) -> NDArray[np.float32]:
    """Returns each class's cosine to the nearest other class, fp32 (K,)."""
    vectors = getattr(embeddings, kind)
    cosines = vectors @ vectors.T
    return cast("NDArray[np.float32]", cosines.fill_diagonal_(-1).amax(1).numpy())


def tsne(embeddings: Tensor, seed: int) -> NDArray[np.float32]:
    """Projects embeddings (n, d) to a plane, (n, 2), by t-SNE.

    Raises:
        UserError: If scikit-learn is not installed, or n < 5.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise UserError(f"t-SNE needs scikit-learn: {HINT}.") from error
    if len(embeddings) < 5:
        raise UserError(f"A t-SNE picture of {len(embeddings)} classes shows nothing: give at least 5 classes.")
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    model = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=seed)
    return cast("NDArray[np.float32]", model.fit_transform(embeddings.numpy()))


def density_results(densities: Mapping[str, Density], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of the JSON file: settings, and figures per data set."""
    return {**settings, "label_spaces": {name: asdict(found) for name, found in densities.items()}}
