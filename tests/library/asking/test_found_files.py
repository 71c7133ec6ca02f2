"""Files with results: complete, escaped, and pages that play what is still there."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from ost_lightning.errors import UserError
from ost_lightning.library import Library
from ost_lightning.library.asking import FoundSegment, FoundSegments, save_found
from ost_lightning.library.asking.found_page import write_found_page
from ost_lightning.library.segments import StoredSegment
from ost_lightning.text import LabelSpace
from tests.accessibility import axe_violations, low_contrast
from tests.browser import Browser
from tests.videos import write_video

HOSTILE = "</script><script>alert(1)</script>"


def segment(video: str, **about: Any) -> StoredSegment:
    settings: dict[str, Any] = {"start": 1.0, "end": 2.0, "duration": 4.0, "label": None, "frame_times": (1.0, 1.5)}
    return StoredSegment(3, video, video, "", **{**settings, **about}, damaged=0)


def found(video: Path | str, query: str = "archery", **about: Any) -> FoundSegments:
    here = FoundSegment(segment(str(video), **about), 0.5, 1.5, moved=False)
    gone = FoundSegment(segment("/gone/=b.mp4", end=None, duration=None), 0.25, None, moved=True)
    return FoundSegments(query, (here, gone), "similarity", 10, 10, {"weights": "tiny", "digest": "12ab"})


def test_tables_say_what_the_order_is_by(tmp_path: Path) -> None:
    one = found("=a.mp4", query="=1+1")
    save_found(one, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as handle:
        first, second = csv.DictReader(handle)
    assert (first["rank"], first["score"], first["video"], first["second"]) == ("1", "0.5", "'=a.mp4", "1.5")
    assert (first["query"], first["ranked_by"], first["weights"]) == ("'=1+1", "similarity", "tiny")
    assert (second["end"], second["second"], second["moved"]) == ("", "", "True")
    save_found(one, tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["ranked_by"] == "similarity"
    assert content["conditions"] == {"weights": "tiny", "digest": "12ab"}
    assert [entry["moved"] for entry in content["segments"]] == [False, True]
    assert content["segments"][1]["end"] is None
    with pytest.raises(UserError, match=r"unknown suffix: choose one of \.json, \.csv"):
        save_found(one, tmp_path / "x.pdf")


def test_a_page_has_pictures_of_what_is_there(tmp_path: Path) -> None:
    video = write_video(tmp_path / "videos/a #1.mp4", 100)
    save_found(found(video, query=HOSTILE, label=HOSTILE), tmp_path / "x.html")
    page = (tmp_path / "x.html").read_text()
    assert HOSTILE not in page
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    here, gone = data["segments"]
    assert here["url"] == "./videos/a%20%231.mp4"
    assert here["picture"].startswith("data:image/jpeg;base64,")
    assert (gone["url"], gone["picture"]) == (None, None)
    assert "no video file" in gone["missing"]
    assert data["query"] == HOSTILE
    assert data["summary"].startswith("The best 2 of ")
    assert data["ranked_by"] == "similarity"


def test_pictures_show_the_frame_that_fits_best(tmp_path: Path) -> None:
    asked = []

    def pictures(video: str, seconds: Any) -> list[bytes]:
        asked.append((video, list(seconds)))
        return [b"jpeg"]

    video = write_video(tmp_path / "a.mp4", 25)
    write_found_page(found(video), tmp_path / "x.html", pictures)
    assert asked == [(str(video), [1.5])]


def test_a_browser_plays_the_segment(browser: Browser, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", 100, options={"g": "10"})
    save_found(found(video, query=HOSTILE), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    assert browser.value("document.querySelectorAll('#segments li').length") == 2
    assert browser.value("document.querySelector('h1').textContent") == HOSTILE
    browser.value("document.querySelector('video').load()")
    browser.wait_for("document.querySelector('video').readyState >= 1")
    browser.wait_for("document.querySelector('video').currentTime === 1")
    assert browser.problems == []


class Recorded(dict[str, Any]):
    """Stand-in for a class of FiftyOne: keeps its arguments and fields."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(arguments)


@pytest.fixture
def _fiftyone(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("fiftyone")
    stand_in.TemporalDetection = stand_in.TemporalDetections = stand_in.Sample = Recorded  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fiftyone", stand_in)


@pytest.mark.usefixtures("_fiftyone")
def test_results_become_samples_of_fiftyone(tmp_path: Path, library: Library, space: LabelSpace, videos: Path) -> None:
    (sample,) = found(write_video(tmp_path / "a.mp4", 100)).to_fiftyone()
    (detection,) = sample["found"]["detections"]
    assert (detection["label"], detection["confidence"]) == ("archery", 0.5)
    assert detection["support"] == [26, 50]
    assert {Path(one["filepath"]).name for one in library.to_fiftyone()} == {
        video.name for video in videos.glob("*_*.mp4")
    }
    classified = library.classify(space).to_fiftyone()
    assert all(one["predictions"]["detections"][0]["label"] in space.names for one in classified)


def test_moved_videos_are_marked_on_the_screen() -> None:
    lines = str(found("a\nb.mp4")).splitlines()
    assert lines[0] == "archery: the best 2 of 10 segments, ranked by similarity ()"
    assert lines[1] == "  1  0.5000  0:01.0 to 0:02.0  a\\nb.mp4"
    assert lines[2] == "  2  0.2500  /gone/=b.mp4  (the file is no longer there)"
    assert str(replace(found("a"), scored=4)).startswith("archery: the best 2 of 10 segments, 4 of them after a coarse")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_axe_finds_no_violation(browser: Browser, tmp_path: Path, width: int, scheme: Literal["light", "dark"]) -> None:
    save_found(found(write_video(tmp_path / "a.mp4", 25), label="archery"), tmp_path / "x.html")
    browser.open(tmp_path / "x.html", width=width, scheme=scheme)
    browser.value("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    assert browser.do(axe_violations) == []
    assert browser.do(low_contrast) == []
