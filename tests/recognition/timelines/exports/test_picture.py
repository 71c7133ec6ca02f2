"""Pictures of timelines, from one class to more than a picture has room for."""

from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.recognition.timelines import Segment, Timeline, save_timeline
from tests.recognition.timelines.exports.examples import empty, hostile, ordinary


def many(classes: int, found: int, duration: float) -> Timeline:
    names = tuple(f"class {k}" for k in range(classes))
    step = duration / found
    segments = tuple(Segment(k * step, (k + 0.8) * step, names[k], 0.3) for k in range(found))
    return Timeline("long.mp4", duration, names, segments)


@pytest.mark.parametrize(
    ("timeline", "rows"),
    [(ordinary(), 3), (hostile(), 9), (empty(), 2), (many(30, 30, 10_800.0), 30), (many(400, 5, 10.0), 5)],
    ids=["ordinary", "hostile", "empty", "three hours", "of 400 classes"],
)
def test_the_height_is_that_of_the_rows(tmp_path: Path, timeline: Timeline, rows: int) -> None:
    save_timeline(timeline, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (1440, round(200 * (1.0 + 0.24 * rows)))
        assert len(picture.convert("L").getcolors() or ()) > 20


def test_a_vector_picture_has_the_names_as_they_are(tmp_path: Path) -> None:
    save_timeline(many(2, 2, 90.0), tmp_path / "x.svg")
    content = (tmp_path / "x.svg").read_text()
    assert "<!-- class 1 -->" in content
    assert "<!-- 1:20 -->" in content
