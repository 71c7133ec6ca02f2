"""The file of a page: what it contains, and that nothing in it is markup but the template."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ost_lightning.recognition.timelines import Timeline, save_timeline
from ost_lightning.recognition.timelines.exports import write_page
from tests.recognition.timelines.exports.examples import HOSTILE, empty, hostile, ordinary


class Page(HTMLParser):
    """The tags of a page, each with the text that follows it."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.policy = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.texts.append((tag, ""))
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.texts:  # a script comes in pieces
            self.texts[-1] = (self.tags[-1], self.texts[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")
        self.texts.append((f"/{tag}", ""))


def read(file: Path) -> tuple[Page, dict[str, Any]]:
    page = Page(file.read_text(encoding="utf-8"))
    data: dict[str, Any] = json.loads(next(text for tag, text in page.texts if tag == "script"))
    return page, data


def test_names_cannot_add_elements(tmp_path: Path) -> None:
    save_timeline(empty(), tmp_path / "empty.html")
    save_timeline(hostile("</title><script>alert(1)</script>.mp4"), tmp_path / "hostile.html")
    page, data = read(tmp_path / "hostile.html")
    assert page.tags == read(tmp_path / "empty.html")[0].tags
    assert data["name"] == "script>.mp4"  # what follows the last slash
    assert [segment["label"] for segment in data["segments"]][:3] == list(HOSTILE[:3])
    assert data["segments"][4]["label"] == r"left \u202etfel\u2066 line"


def test_the_policy_allows_the_pages_own_script_and_style_only(tmp_path: Path) -> None:
    save_timeline(ordinary(), tmp_path / "x.html")
    page, _ = read(tmp_path / "x.html")
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    script = [text for tag, text in page.texts if tag == "script"][-1]
    style = next(text for tag, text in page.texts if tag == "style")
    for rule, text in (("script-src", script), ("style-src", style)):
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert not re.search(r"https?:", "".join(rules.values()))
    assert "innerHTML =" not in script


def test_a_small_video_is_part_of_the_page_and_a_large_one_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "pages").mkdir()
    video = tmp_path / "clips/a: b#1?.mp4"
    video.write_bytes(b"12345")
    timeline = ordinary(str(video))
    write_page(tmp_path / "pages/x.html", [timeline])
    assert read(tmp_path / "pages/x.html")[1]["video"] == {"type": "video/mp4", "content": "MTIzNDU="}
    write_page(tmp_path / "pages/x.html", [timeline], embed_limit=4)
    assert read(tmp_path / "pages/x.html")[1]["video"] == {"url": "./../clips/a%3A%20b%231%3F.mp4"}
    video.rename(tmp_path / "pages/caf\udce9.mp4")
    write_page(tmp_path / "pages/x.html", [ordinary(f"{tmp_path}/pages/caf\udce9.mp4")], embed_limit=4)
    _, data = read(tmp_path / "pages/x.html")
    assert (data["video"], data["name"]) == ({"url": "./caf%E9.mp4"}, r"caf\udce9.mp4")


@pytest.mark.parametrize(
    ("video", "reason"),
    [("https://host/x.mp4", "on the network"), ("missing.mp4", "no video file"), (".", "a folder of pictures")],
)
def test_a_video_that_cannot_be_played_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_page(tmp_path / "x.html", [ordinary(video)], pictures=lambda video, seconds: [None])
    assert reason in read(tmp_path / "x.html")[1]["video"]["missing"]


def test_pictures_are_of_the_frames_that_decided(tmp_path: Path) -> None:
    asked: list[tuple[str, Sequence[float]]] = []

    def pictures(video: str, seconds: Sequence[float]) -> list[bytes]:
        asked.append((video, seconds))
        return [f"{second}".encode() for second in seconds]

    write_page(tmp_path / "x.html", [hostile("x.mp4")], pictures)
    times = [2.0 * k + 0.5 for k in range(len(HOSTILE))]
    assert asked == [("x.mp4", times)]
    _, data = read(tmp_path / "x.html")
    shown = [base64.b64decode(segment["picture"].partition(",")[2]) for segment in data["segments"]]
    assert shown == [f"{second}".encode() for second in times]


def test_without_frames_there_is_a_page_without_pictures(tmp_path: Path) -> None:
    save_timeline(ordinary(str(tmp_path / "missing.mp4")), tmp_path / "x.html")
    _, data = read(tmp_path / "x.html")
    assert [segment["picture"] for segment in data["segments"]] == [None, None]
    assert data["conditions"] == [["weights", "tiny"], ["digest", "00ff"], ["level", "0.25"]]


def test_a_timeline_without_segments_asks_for_no_frames(tmp_path: Path) -> None:
    def pictures(video: str, seconds: Sequence[float]) -> list[bytes]:
        raise AssertionError

    timeline: Timeline = replace(empty(), duration=0.0)
    write_page(tmp_path / "x.html", [timeline], pictures)
    assert read(tmp_path / "x.html")[1]["segments"] == []
