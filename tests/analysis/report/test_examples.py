"""A few videos of each kind, with a picture where there is one, and otherwise the reason."""

from pathlib import Path

import pytest

from ost_lightning.analysis.report.examples import SHOWN_VIDEOS, examples, typical_videos, worst_videos
from ost_lightning.analysis.report.scored_videos import ScoredVideo
from tests.videos import write_video


def video(
    id_: str, label: str, recognized: str, probability: float, of_label: float | None = None, path: str = ""
) -> ScoredVideo:
    return ScoredVideo(id_, None, None, label, recognized, probability, of_label, path, "")


def test_the_worst_mistake_is_furthest_behind() -> None:
    mistakes = [video("1", "a", "b", 0.6, 0.4), video("2", "a", "b", 0.5, 0.01), video("3", "a", "a", 0.9, 0.9)]
    assert [one.id for one in worst_videos(mistakes)] == ["2", "1"]
    assert worst_videos([video("1", "a", "", 0)._replace(error="broken")]) == []
    assert len(worst_videos([video(f"{k}", "a", "b", 0.5) for k in range(99)])) == SHOWN_VIDEOS


def test_typical_videos_are_of_different_classes() -> None:
    right = [video("1", "a", "a", 0.9), video("2", "a", "a", 0.95), video("3", "b", "b", 0.5), video("4", "b", "a", 1)]
    assert [one.id for one in typical_videos(right)] == ["2", "3"]


def test_a_video_that_is_there_has_a_picture_and_a_url(tmp_path: Path) -> None:
    path = write_video(tmp_path / "videos/a #1.mp4", 10)
    (found,) = examples([video("1", "a", "a", 1, path=str(path))], tmp_path / "pages")
    assert found.picture is not None
    assert found.picture.startswith("data:image/jpeg;base64,")
    assert (found.url, found.missing) == ("./../videos/a%20%231.mp4", "")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "did not save"),
        ("/gone/x.mp4", "no video file"),
        ("https://host/x.mp4", "on the network"),
        ("BROKEN", "can't be read"),
    ],
)
def test_a_video_without_a_picture_says_why(tmp_path: Path, path: str, reason: str) -> None:
    if path == "BROKEN":
        (tmp_path / "x.mp4").write_bytes(b"x")
        path = str(tmp_path / "x.mp4")
    (found,) = examples([video("1", "a", "a", 1, path=path)], tmp_path)
    assert (found.picture, found.url) == (None, None)
    assert reason in found.missing


def test_the_picture_is_from_the_middle_of_the_part(tmp_path: Path) -> None:
    asked = []

    def poster(path: str, start: float | None, end: float | None) -> bytes:
        asked.append((start, end))
        return b"jpeg"

    path = str(write_video(tmp_path / "a.mp4", 10))
    examples([video("1", "a", "a", 1, path=path)._replace(start=1.0, end=2.5)], tmp_path, poster)
    assert asked == [(1.0, 2.5)]
