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
"""Number of classes up to which points are named."""
_MOST_LARGE_DOTS: Final = 400
"""Number of classes up to which points are large."""


@dataclass(frozen=True, slots=True)
class ClassEmbeddings:
    """One embedding per class from each kind of text: fp32 (K, d), L2-normalized.

    Attributes:
        classes: Names of the classes.
        name: Embeddings of the category names.
        spatio: Normalized mean of the Spatio Descriptors; None without descriptors.
        temporal: Normalized mean of the Temporal Descriptors; None without descriptors.
        descriptors: Normalized mean of both kinds; None without descriptors.
    """

    classes: tuple[str, ...]
    name: Tensor
    spatio: Tensor | None = None
    temporal: Tensor | None = None
    descriptors: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Density:
    """Mean pairwise cosines between the classes of one data set, -1 to 1; lower values are easier to tell apart.

    All but the first two are None for a label space without descriptors.

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
    descriptors: float | None
    spatio: float | None
    temporal: float | None
    single_descriptors: float | None


@torch.no_grad()
def class_embeddings(
    video_clip: "VideoCLIP", labels: LabelSpace, templates: Templates, per_class: int
) -> tuple[ClassEmbeddings, Tensor]:
    """Encodes the classes of a label space.

    Args:
        video_clip: Encoder of the texts.
        labels: Label space of at least two classes. Without any descriptors, only the names are encoded.
        templates: Sentence templates.
        per_class: Number of descriptors per class and kind (N).

    Returns:
        One embedding per class and kind, and the single descriptors, (K, 2N, d); N is 0 without descriptors.

    Raises:
        UserError: If there are fewer than two classes, or too few descriptors.
    """
    if len(labels) < 2:
        raise UserError(f"The label space {labels.origin} has only one class, but a density needs pairs.")
    kinds = SENTENCE_KINDS if labels.descriptors else ("name",)
    sentences = templates.apply(labels, kinds, per_class, video_clip.token_count)
    texts = video_clip.encode_sentences(video_clip.tokenize(sentences))
    if not labels.descriptors:
        names = F.normalize(texts["name"].mean(1), dim=-1).cpu()
        return ClassEmbeddings(tuple(labels.names), names), names.new_empty(len(labels), 0, names.shape[1])
    single = torch.cat([texts["spatio"], texts["temporal"]], dim=1)
    means = {kind: F.normalize(texts[kind].mean(1), dim=-1).cpu() for kind in SENTENCE_KINDS}
    embeddings = ClassEmbeddings(tuple(labels.names), **means, descriptors=F.normalize(single.mean(1), dim=-1).cpu())
    return embeddings, single.cpu()


def density(embeddings: ClassEmbeddings, single: Tensor) -> Density:
    """Returns the mean pairwise cosines.

    Args:
        embeddings: One embedding per class and kind of text.
        single: Single descriptors, fp32 (K, 2N, d); N is 0 without descriptors.
    """

    def between(vectors: Tensor | None) -> float | None:
        return None if vectors is None else mean_cosine_between_classes(vectors[:, None])

    return Density(
        classes=len(embeddings.name),
        name=mean_cosine_between_classes(embeddings.name[:, None]),
        descriptors=between(embeddings.descriptors),
        spatio=between(embeddings.spatio),
        temporal=between(embeddings.temporal),
        single_descriptors=mean_cosine_between_classes(single) if single.shape[1] else None,
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
    """Draws two bars per data set, category names and descriptors, or one if it has no descriptors (Fig. 2, right).

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
        measured = [*densities.values()]
        alone = np.array([found.descriptors is None for found in measured])
        names = [100 * found.name for found in measured]
        # a bar without a second one stands in the middle
        bars = [axis.bar(positions - 0.2 * ~alone, names, 0.38, label="category name", color=_NAME_COLOR)]
        if not alone.all():
            values = [100 * found.descriptors for found in measured if found.descriptors is not None]
            bars.append(axis.bar(positions[~alone] + 0.2, values, 0.38, label="descriptors", color=_DESCRIPTOR_COLOR))
        for group in bars:
            axis.bar_label(group, fmt="%.1f", fontsize=7)
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
    Data sets without descriptors are among the names only.

    Args:
        embeddings: Embeddings of classes by name of the data set.
        title: Title of the picture; should name the CLIP.
        file: Picture to write, `.png` or `.svg`.
        seed: Seed for t-SNE.

    Raises:
        UserError: If matplotlib or scikit-learn is not installed, or a panel has fewer than five classes in all.
    """
    total = sum(len(found.name) for found in embeddings.values())
    panels = {kind: _vectors(embeddings, kind) for kind in _PANELS}
    panels = {kind: vectors for kind, vectors in panels.items() if vectors}
    named = total <= _MOST_NAMES
    # names need room: one panel below the other
    count = len(panels)
    size, grid = ((WIDTH, 5.5 * count), (count, 1)) if named else ((WIDTH, 3.9), (1, count))
    drawn = []
    # one label space is colored by closeness, several by label space
    closest = {kind: _closest(*vectors.values()) for kind, vectors in panels.items()} if len(embeddings) == 1 else {}
    limits = {"vmin": min(map(np.min, closest.values())), "vmax": max(map(np.max, closest.values()))} if closest else {}
    with picture(file, *size, f"{title}; {counted(total, 'class', 'classes')}") as figure:
        for axis, (kind, vectors) in zip(figure.subplots(*grid, squeeze=False).flat, panels.items(), strict=True):
            points = tsne(torch.cat([*vectors.values()]), seed)
            parts = np.split(points, np.cumsum([len(part) for part in vectors.values()])[:-1])
            for name, part in zip(vectors, parts, strict=True):
                # a data set looks the same in both panels, although one of them may lack another data set
                k = [*embeddings].index(name)
                style = (
                    {"c": closest[kind], "cmap": COLOR_MAP, **limits}
                    if closest
                    else {"alpha": 0.75, "color": COLORS[k % len(COLORS)]}
                )
                dot, marker = 16 if total <= _MOST_LARGE_DOTS else 7, _MARKERS[k % len(_MARKERS)]
                dots = axis.scatter(part[:, 0], part[:, 1], s=dot, marker=marker, linewidths=0, label=name, **style)
            axis.set_title(_PANELS[kind])
            axis.spines[:].set_visible(True)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.margins(0.12)
            drawn.append((axis, points, [name for part in vectors for name in embeddings[part].classes]))
        if closest:
            label = "cosine to the nearest other class"
            figure.colorbar(dots, ax=[axis for axis, _, _ in drawn], shrink=0.7, label=label)
        else:
            figure.legend(*drawn[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
        if named:
            for axis, points, names in drawn:
                name_points(figure, axis, points, names)


def _vectors(embeddings: Mapping[str, ClassEmbeddings], kind: str) -> dict[str, Tensor]:
    """Returns the embeddings of the data sets that have them, (K, d) each."""
    found = {name: getattr(one, kind) for name, one in embeddings.items()}
    return {name: vectors for name, vectors in found.items() if vectors is not None}


def _closest(vectors: Tensor) -> NDArray[np.float32]:
    """Returns each class's cosine to the nearest other class, fp32 (K,)."""
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
