"""HTML of the app: other people's text stays text, and numbers are the right ones."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from ost_lightning.app import views
from ost_lightning.library.asking import FoundSegment, FoundSegments
from ost_lightning.library.segments import StoredSegment
from ost_lightning.recognition import Explanation, Recognition, SentenceMatch
from ost_lightning.recognition.timelines import Evidence, Gap, Segment, Timeline

HOSTILE = """<img src=x onerror="alert(1)">'"${alert(2)}{{3}}</script>\u202e"""


class Tags(HTMLParser):
    """Collects elements, their attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def match(sentence: str) -> SentenceMatch:
    return SentenceMatch(sentence, "temporal", 0.25, torch.tensor([0.4, 0.6]), torch.tensor([0.2, 0.3]), (0.0, 1.5))


def segments(video: Path, score: float = 0.5, **about: object) -> FoundSegments:
    stored = StoredSegment(3, str(video), str(video), "", 1.0, 2.0, 4.0, None, (1.0, 1.5), damaged=0)
    hit = FoundSegment(stored, score, 1.5, moved=False)
    return FoundSegments(HOSTILE, (hit,), "similarity", 10, 10, {"weights": HOSTILE})


def pages(folder: Path) -> list[str]:
    """Every view, with hostile text wherever there is text."""
    segment = Segment(0.5, 1.5, HOSTILE, 0.3, (Evidence(HOSTILE, "temporal", 1.25, 0.3),))
    explained = Explanation(HOSTILE, 0.5, (match(HOSTILE),), torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    return [
        views.notice(HOSTILE),
        views.ranking(Recognition(HOSTILE, (HOSTILE, "b"), (0.9, 0.1)), {HOSTILE: 0.5}, HOSTILE),
        views.timeline(Timeline(HOSTILE, 4.0, (HOSTILE,), (segment,), gaps=(Gap(3, 4, HOSTILE),))),
        views.explanation(explained, {HOSTILE: "data:image/png;base64,"}),
        views.hits(segments(folder / HOSTILE), [None], [folder]),
        views.hits(segments(folder / HOSTILE), ["data:image/jpeg;base64,"], []),
        views.conditions({"weights": HOSTILE}),
    ]


def test_nothing_that_others_wrote_becomes_markup(tmp_path: Path) -> None:
    for page in pages(tmp_path):
        found = Tags(page)
        assert "script" not in found.tags
        assert not any(name.startswith("on") for name, _ in found.attributes)
        assert "x" not in [value for name, value in found.attributes if name == "src"]
        assert "\u202e" not in page


def test_a_ranking_says_how_an_edit_moved_it() -> None:
    found = Recognition("x", tuple(f"class {k}" for k in range(12)), (0.5, 0.2, *[0.03] * 10))
    page = views.ranking(found, {"class 0": 0.425, "class 1": 0.25})
    text = Tags(page).text
    assert "class 050.0 %+7.5" in text
    assert "class 120.0 %-5.0" in text
    assert "and 2 less likely classes" in text
    assert "ost-moved" not in views.ranking(found)


def test_segments_have_their_place_and_their_time() -> None:
    segment = Segment(1.0, 2.0, "archery", 0.3, (Evidence("a bow", "spatio", 1.25, 0.3),))
    found = Tags(views.timeline(Timeline("x", 4.0, ("archery",), (segment,), gaps=(Gap(3, 4, "lost"),))))
    assert [value for name, value in found.attributes if name == "data-second"] == ["1.00", "1.00", "1.25"]
    assert ("data-duration", "4.000") in found.attributes
    assert any(value and "left:25.000%;width:25.000%" in value for _, value in found.attributes)
    assert "0:03.0 to 0:04.0: unknown, lost" in found.text
    empty = views.timeline(Timeline("x", 4.0, ("archery",), ()))
    assert "None of the classes was found" in empty


def test_hits_are_played_only_from_folders_that_are_served(tmp_path: Path) -> None:
    video = tmp_path / "served" / "a #1?.mp4"
    video.parent.mkdir()
    video.touch()
    page = views.hits(segments(video), [None], [video.parent])
    (source,) = [value for name, value in Tags(page).attributes if name == "src"]
    assert source == f"gradio_api/file={video.parent}/a%20%231%3F.mp4#t=1.00,2.00"
    assert "score 0.500" in page
    for served in ([], [tmp_path / "other"], [tmp_path / "serv"]):
        page = views.hits(segments(video), [None], served)
        assert "<video" not in page
        assert "start with --videos FOLDER" in page


def test_a_link_out_of_a_served_folder_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "secret.mp4").touch()
    (tmp_path / "served" / "x.mp4").symlink_to(tmp_path / "secret.mp4")
    assert not views.is_served(str(tmp_path / "served" / "x.mp4"), [tmp_path / "served"])


@pytest.mark.parametrize(("kind", "role"), [("info", "status"), ("error", "alert")])
def test_notices_are_read_out(kind: str, role: str) -> None:
    assert f'role="{role}"' in views.notice("x", kind)  # type: ignore[arg-type]
    assert views.notice("") == ""
