"""Pictures are readable: sharp, nothing is cut off or covered, colors can be told apart, and files repeat."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from ost_lightning.analysis.pictures import COLOR_MAP, COLORS, name_points, picture


@pytest.mark.parametrize("width", [3.5, 7.2])
def test_a_long_title_stays_within_the_figure(width: float, tmp_path: Path) -> None:
    title = "Semantic density: text tower of openai/clip-vit-base-patch16, 4 descriptors of each kind, WWW"
    with picture(tmp_path / "x.png", width, 4.0, title) as figure:
        figure.subplots()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    (shown,) = figure.texts
    box = shown.get_window_extent(renderer)
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_the_suffix_chooses_the_format(tmp_path: Path) -> None:
    before = dict(rcParams)
    for name in ("a.png", "a.svg", "b.svg"):
        with picture(tmp_path / "new" / name, 3.5, 2.0, "5 $ and 6 $") as figure:
            figure.subplots().plot([0, 1])
    with Image.open(tmp_path / "new/a.png") as written:
        assert written.size == (700, 400)
    assert (tmp_path / "new/a.svg").read_bytes() == (tmp_path / "new/b.svg").read_bytes()
    assert "5 $ and 6 $" in (tmp_path / "new/a.svg").read_text()  # no formula
    assert dict(rcParams) == before


def seen_without_green(color: str) -> np.ndarray:
    """A color as people with deuteranopia see it (Machado et al. 2009)."""
    matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    return np.array(matrix) @ np.array(to_rgb(color)) ** 2.2


def test_colors_can_be_told_apart_without_seeing_green() -> None:
    seen = [seen_without_green(color) for color in COLORS[:6]]
    pairs = [np.abs(seen[i] - seen[j]).max() for i in range(6) for j in range(i)]
    assert min(pairs) > 0.1
    levels = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in colormaps[COLOR_MAP](np.linspace(0, 1, 20)) ** 2.2]
    assert all(np.diff(levels) > 0)


@pytest.mark.parametrize("count", [1, 8, 40])
def test_names_cover_neither_names_nor_points(count: int, tmp_path: Path) -> None:
    with picture(tmp_path / "x.png", 7.2, 11.0) as figure:
        axis = figure.subplots(2, 1)[0]
        points = np.random.default_rng(0).random((count, 2))
        axis.scatter(points[:, 0], points[:, 1], s=16)
        names = [f"shooting a basketball {index}" for index in range(count)]
        name_points(figure, axis, points, names)
    assert [text.get_text() for text in axis.texts] == names
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axis.texts]
    covered = sum(box.count_overlaps(boxes) - 1 for box in boxes)
    assert covered <= count // 20
    inside = axis.get_window_extent(renderer)
    assert all(inside.x0 - 1 <= box.x0 and box.x1 <= inside.x1 + 1 for box in boxes) or count == 40
