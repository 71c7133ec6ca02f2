"""Titles and names in pictures: nothing is cut off or covered."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ost_lightning.analysis.pictures import name_points, new_figure, set_title


@pytest.mark.parametrize("width", [4.5, 7.0, 14.0])
def test_a_long_title_stays_within_the_figure(width: float) -> None:
    figure = new_figure(width, 4.0)
    figure.subplots()
    set_title(figure, "Semantic density: text tower of openai/clip-vit-base-patch16, 4 descriptors of each kind, WWW")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    (title,) = figure.texts
    box = title.get_window_extent(renderer)
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


@pytest.mark.parametrize("count", [1, 8, 40])
def test_names_cover_neither_names_nor_points(count: int) -> None:
    figure = new_figure(14.0, 7.0)
    axis = figure.subplots(1, 2)[0]
    points = np.random.default_rng(0).random((count, 2))
    axis.scatter(points[:, 0], points[:, 1])
    names = [f"shooting a basketball {index}" for index in range(count)]
    name_points(figure, axis, points, names)
    assert [text.get_text() for text in axis.texts] == names
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axis.texts]
    covered = sum(box.count_overlaps(boxes) - 1 for box in boxes)
    assert covered <= count // 20
    inside = axis.get_window_extent(renderer)
    assert all(inside.x0 - 1 <= box.x0 and box.x1 <= inside.x1 + 1 for box in boxes) or count == 40
