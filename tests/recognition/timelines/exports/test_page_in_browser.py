"""The page in a real browser: it plays, seeks, highlights, stays inside its policy, and fits a phone."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from ost_lightning.recognition.timelines import Evidence, Gap, Segment, Timeline, save_timeline
from ost_lightning.recognition.timelines.exports import write_page
from tests.accessibility import axe_violations, low_contrast
from tests.browser import Browser
from tests.recognition.timelines.exports.examples import HOSTILE, hostile
from tests.videos import write_video

CURRENT = "[...document.querySelectorAll('.segment[aria-current]')].map((found) => found.textContent)"
HIDDEN_ROWS = "[...document.querySelectorAll('#rows tr')].map((row) => row.hidden)"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "x #1.mp4", 100, options={"g": "10"})


def timeline(video: Path) -> Timeline:
    """Segments from 0.5 to 1.5 s and from 2 to 3 s of 4 s, and a gap."""
    evidence = (Evidence("the bow is drawn", "temporal", 1.25, 0.3), Evidence("an arrow", "spatio", 0.75, 0.2))
    segments = (Segment(0.5, 1.5, "archery", 0.3, evidence), Segment(2.0, 3.0, "surfing", 0.2))
    gap = Gap(3.2, 3.6, "the connection was lost")
    return Timeline(str(video), 4.0, ("archery", "surfing", "juggling"), segments, gaps=(gap,))


@pytest.mark.parametrize("embed_limit", [0, 10_000_000], ids=["beside", "embedded"])
def test_a_click_on_a_segment_goes_there_in_the_video(
    browser: Browser, video: Path, tmp_path: Path, embed_limit: int
) -> None:
    write_page(tmp_path / "x.html", [timeline(video)], embed_limit=embed_limit)
    browser.open(tmp_path / "x.html")
    browser.wait_for("player.readyState >= 1")
    assert browser.value("player.duration") == pytest.approx(4.0, abs=0.1)
    browser.click(".segment:nth-of-type(2)")
    browser.wait_for("!player.seeking && player.currentTime === 2")
    assert browser.value(CURRENT) == ["surfing"]
    assert browser.value("document.querySelector('#rows tr[aria-current]').cells[1].textContent.trim()") == "surfing"
    browser.click("#track", across=0.95)
    browser.wait_for("!player.seeking && player.currentTime > 3.7")
    assert browser.value(CURRENT) == []
    assert browser.value("byId('current').textContent") == "none of the classes"
    browser.click("#track", across=0.85)
    assert browser.value("byId('current').textContent") == "unknown: the connection was lost"
    browser.click(".evidence button")
    browser.wait_for("!player.seeking && player.currentTime === 1.25")
    browser.click("#rows tr:nth-child(2) .time button")
    browser.wait_for("!player.seeking && player.currentTime === 2")
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data", "blob"}


def test_the_current_segment_follows_the_video(browser: Browser, video: Path, tmp_path: Path) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    assert browser.value(CURRENT) == []
    browser.value("player.muted = true; player.currentTime = 0.4; player.play()")
    browser.wait_for(f"JSON.stringify({CURRENT}) === '[\"archery\"]'")
    browser.wait_for(f"JSON.stringify({CURRENT}) === '[]'")
    assert browser.value("player.currentTime") >= 1.5
    assert browser.problems == []


def test_segments_can_be_reached_with_the_keyboard(browser: Browser, video: Path, tmp_path: Path) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    browser.wait_for("player.readyState >= 1")
    assert browser.value("[...document.querySelectorAll('.segment')].map((found) => found.tabIndex)") == [0, -1]
    browser.value("document.querySelector('.segment').focus()")
    browser.press("ArrowRight")
    assert browser.value("document.activeElement.getAttribute('aria-label')") == "surfing, 0:02.0 to 0:03.0, score 0.20"
    browser.press("Enter")
    browser.wait_for("!player.seeking && player.currentTime === 2")


def test_keys_play_and_seek(browser: Browser, video: Path, tmp_path: Path) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    browser.wait_for("player.readyState >= 1")
    browser.value("player.muted = true")
    for key, second in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Shift+ArrowLeft", 0)):
        browser.press(key)
        browser.wait_for(f"!player.seeking && player.currentTime === {second}")
    browser.press("Shift+ArrowRight")  # not beyond the end
    browser.wait_for("!player.seeking && player.currentTime === player.duration")
    assert browser.value("byId('clock').textContent") == "0:04.0"
    browser.press("Home")  # scrolls, as everywhere
    browser.press("ArrowLeft")
    browser.press("Space")
    browser.wait_for("!player.paused")
    browser.press("Space")
    browser.wait_for("player.paused")
    assert browser.value("scrollY") == 0
    # a button keeps its own key, and so does the browser's player
    browser.value("document.querySelector('#rows button').focus()")
    browser.press("Space")
    browser.wait_for("!player.seeking && player.currentTime === 0.5")
    assert browser.value("player.paused")
    browser.value("player.focus()")
    browser.press("Home")
    browser.wait_for("!player.seeking && player.currentTime === 0")
    assert browser.problems == []


def test_the_keyboard_goes_through_the_page_in_the_order_of_reading(
    browser: Browser, video: Path, tmp_path: Path
) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    browser.wait_for("player.readyState >= 1")
    active = "((one) => one.id || one.getAttribute('aria-label') || one.innerText)(document.activeElement)"
    stops: list[str] = []
    while not stops or stops[-1] != "What the segments depend on":
        browser.press("Tab")
        stops.append(browser.value(active))
        assert len(stops) < 30, stops
    every = [stop.splitlines()[0] for stop in dict.fromkeys(stops)]  # the browser's player has several stops
    assert every == [
        "player", "archery", "surfing", "archery, 0:00.5 to 0:01.5, score 0.30", "Go to 0:00.5",
        "Show the frame at 0:01.3", "Go to 0:02.0", "Go to 0:03.2", "What the segments depend on",
    ]  # fmt: skip
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_the_legend_shows_one_class_alone(browser: Browser, video: Path, tmp_path: Path) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    assert browser.value("byId('summary').textContent") == "2 segments of 2 of 3 classes in 0:04.0"
    browser.click("#legend li:nth-child(2) button")
    assert browser.value(HIDDEN_ROWS) == [True, False, False]
    browser.click("#legend li:nth-child(2) button")
    assert browser.value(HIDDEN_ROWS) == [False, False, False]


def test_names_are_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    save_timeline(hostile(), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    assert browser.value("document.title") == "a 'b' & <c>.mp4"
    assert browser.value("document.querySelectorAll('script, img, b').length") == 2
    shown = browser.value("[...document.querySelectorAll('#rows .label bdi')].map((found) => found.textContent)")
    assert shown[:3] == list(HOSTILE[:3])
    assert len(shown) == len(HOSTILE)
    assert browser.problems == []


@pytest.mark.parametrize("duration", [8.0, 10_800.0])
def test_nothing_is_wider_than_a_phone(browser: Browser, tmp_path: Path, duration: float) -> None:
    step = duration / 120
    segments = tuple(
        Segment(k * step, (k + 0.7) * step, f"class {k % 30} {'x' * (k % 30) * 4}", 0.3) for k in range(120)
    )
    save_timeline(Timeline("x.mp4", duration, ("class",), segments), tmp_path / "x.html")
    browser.open(tmp_path / "x.html", width=375, height=740)
    assert browser.value("document.documentElement.scrollWidth") == 375
    assert browser.value("Math.max(...[...ticks.children].map((tick) => tick.offsetHeight))") < 30
    browser.click("#rows tr:nth-child(60) .time button")
    assert browser.value("byId('clock').textContent") == browser.value("clock(data.segments[59].start)")


def test_colors_follow_the_readers_scheme(browser: Browser, video: Path, tmp_path: Path) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    brightness = []
    for scheme in ("light", "dark"):
        browser.open(tmp_path / "x.html", width=375, height=740, scheme=scheme)  # type: ignore[arg-type]
        browser.screenshot(tmp_path / "x.png")
        brightness.append(float(np.asarray(Image.open(tmp_path / "x.png").convert("L"))[:60].mean()))
    assert brightness[0] > 200
    assert brightness[1] < 60


def test_a_video_that_has_gone_is_told(browser: Browser, video: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone 1.mp4"
    gone.write_bytes(video.read_bytes())
    write_page(tmp_path / "x.html", [timeline(gone)], embed_limit=0)
    gone.unlink()
    browser.open(tmp_path / "x.html")
    browser.wait_for("!byId('notice').hidden")
    assert browser.value("byId('notice').textContent").endswith("./gone%201.mp4 is not there.")
    browser.click(".segment:nth-of-type(2)")
    assert browser.value(CURRENT) == ["surfing"]


def test_without_scripts_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    save_timeline(hostile(), tmp_path / "x.html")
    browser.open(tmp_path / "x.html", scripts=False)
    assert browser.value("document.querySelector('noscript p').offsetHeight") > 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_axe_finds_no_violation(
    browser: Browser, video: Path, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    save_timeline(timeline(video), tmp_path / "x.html")
    browser.open(tmp_path / "x.html", width=width, scheme=scheme)
    browser.value("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    assert browser.do(axe_violations) == []
    assert browser.do(low_contrast) == []
