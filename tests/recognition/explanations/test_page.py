"""The page of an explanation in a real browser: true figures, two models side by side, and names as text."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.models import MeanPooling
from ost_lightning.recognition import ExplainedByModel, load_trained_model, write_explanation_page
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes
from tests.accessibility import axe_violations, low_contrast, unnamed_controls
from tests.browser import Browser

ACTION = draw_classes(0)["unseen"][0]
HOSTILE = "<img src=x onerror=alert(1)>{{ 7 * 7 }}"
NOT_PLAYED = "player.hidden"
ROW = ".flow tbody:has(.share) .share"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("videos") / "a 'b' <i>c.mp4"
    write_mp4(file, render_clip(ACTION, seed="a"))
    return file


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("tiny", label_space(0, "unseen"), "cpu")


def explained(recognizer: Recognizer, video: Path, classes: list[str], *, maps: bool = True) -> ExplainedByModel:
    clip = recognizer.embed_clip(video)
    found = recognizer.explain(clip, classes)
    drawn = [recognizer.maps(one) for one in found] if maps else []
    return ExplainedByModel("tiny", recognizer(clip), found, drawn, recognizer.conditions())


def texts(browser: Browser, selector: str) -> list[str]:
    shown: list[str] = browser.value(f"[...document.querySelectorAll({selector!r})].map((one) => one.innerText.trim())")
    return shown


def test_figures_are_those_of_the_explanation(
    browser: Browser, recognizer: Recognizer, video: Path, tmp_path: Path
) -> None:
    wrong = draw_classes(0)["unseen"][1].name
    model = explained(recognizer, video, [ACTION.name, wrong])
    write_explanation_page(tmp_path / "x.html", [model], "relevance", wrong)
    browser.open(tmp_path / "x.html")
    assert texts(browser, "h1") == [video.name]
    assert texts(browser, "header p") == [f"Recognized as {ACTION.name}. True class: {wrong}."]
    first, second = texts(browser, ".panel h2")
    assert first == f"{ACTION.name} {100 * model.found.probability:.1f} % recognized"
    assert second.endswith(" % true class")
    # the true class is in the ranking although it is unlikely
    assert texts(browser, ".answers tbody th")[-1] == f"{wrong} true class"
    assert len(texts(browser, ".answers tbody th")) == 6
    spatio = [match for match in model.explained[0].matches if match.kind == "spatio"]
    mass = torch.stack([match.shares for match in spatio]) * 8 / 4
    assert mass.sum(0) == pytest.approx(torch.ones(8), abs=0.02)
    assert texts(browser, ROW)[:32] == [f"{share:.2f}" for share in mass.flatten().tolist()]
    assert texts(browser, ".panel:first-child .sentence bdi") == [
        match.sentence for kind in ("spatio", "temporal") for match in model.explained[0].matches if match.kind == kind
    ]
    assert browser.value("document.querySelectorAll('.map img').length") == 16
    assert browser.value("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert texts(browser, ".panel:first-child .flow thead th") == [f"{time:.1f} s" for time in model.seconds]
    assert browser.problems == []
    assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data", "blob"}


def test_a_frame_is_seen_in_the_player(browser: Browser, recognizer: Recognizer, video: Path, tmp_path: Path) -> None:
    model = explained(recognizer, video, [ACTION.name], maps=False)
    write_explanation_page(tmp_path / "x.html", [model], embed_limit=0)
    browser.open(tmp_path / "x.html", height=300)
    browser.wait_for("player.readyState >= 1")
    browser.click(".flow thead th:nth-child(3) button")
    browser.wait_for(f"!player.seeking && Math.abs(player.currentTime - {model.seconds[2]}) < 0.001")
    browser.press("ArrowRight")
    browser.wait_for(f"!player.seeking && Math.abs(player.currentTime - {model.seconds[2] + 1}) < 0.001")
    # the player follows to where the frames are
    browser.wait_for("document.querySelector('.away') && player.getBoundingClientRect().top > 0")
    browser.value("scrollTo(0, 0)")
    browser.wait_for("!document.querySelector('.away')")
    assert texts(browser, ".panel .badge") == ["recognized"]
    assert browser.value("document.querySelectorAll('.map').length") == 0
    assert browser.problems == []


def test_two_models_stand_side_by_side(browser: Browser, recognizer: Recognizer, video: Path, tmp_path: Path) -> None:
    """One of them pools all frames, so that its sentences have one share."""
    names = [action.name for action in draw_classes(0)["unseen"][:2]]
    trained = load_trained_model("tiny")
    trained.video_clip.temporal_head = MeanPooling(trained.video_clip.encoder.embedding_dim)
    pooled = Recognizer(trained, LabelSpace(recognizer.labels.names))
    models = [explained(recognizer, video, names), replace(explained(pooled, video, names), name="pooled")]
    write_explanation_page(tmp_path / "x.html", models, "relevance")
    browser.open(tmp_path / "x.html")
    assert texts(browser, ".answers h2") == ["tiny", "pooled"]
    assert [text.splitlines()[0] for text in texts(browser, ".panel > p.faint")] == ["by tiny", "by pooled"] * 2
    tops = browser.value("[...document.querySelectorAll('.panel')].map((one) => one.getBoundingClientRect().top)")
    assert tops[0] == tops[1] < tops[2] == tops[3]
    assert texts(browser, ".panel:nth-child(2) .share") == ["all frames as one"] * 2
    label = models[1].found.label
    assert texts(browser, "header p") == [f"Recognized as {models[0].found.label} by tiny, as {label} by pooled."]


@pytest.mark.filterwarnings("ignore:.*the tokenizer of tiny:UserWarning")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_names_are_shown_as_text_and_can_be_read(
    browser: Browser, recognizer: Recognizer, video: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    hostile = recognizer.with_labels(LabelSpace((HOSTILE, "\u202egnifrus", ACTION.name)))
    model = replace(explained(hostile, video, [HOSTILE, ACTION.name]), name="</script><script>alert(2)</script>")
    write_explanation_page(tmp_path / "x.html", [model, model], "relevance", HOSTILE)
    browser.open(tmp_path / "x.html", width=width, scheme=scheme)  # type: ignore[arg-type]
    assert texts(browser, ".panel h2 bdi") == [HOSTILE, HOSTILE, ACTION.name, ACTION.name]
    assert texts(browser, ".answers h2") == [model.name] * 2
    assert r"\u202egnifrus" in browser.value("document.body.innerText")
    assert browser.value("document.querySelectorAll('img[src=x], [onerror], script').length") == 2
    assert browser.value("document.documentElement.scrollWidth") <= width
    browser.value("document.querySelector('details').open = true")
    assert browser.do(unnamed_controls) == []
    assert browser.do(low_contrast) == []
    assert browser.problems == []


def test_a_video_that_cannot_be_played_is_told(
    browser: Browser, recognizer: Recognizer, video: Path, tmp_path: Path
) -> None:
    model = explained(recognizer, video, [ACTION.name], maps=False)
    gone = replace(model, found=replace(model.found, video="/gone/x.mp4"))
    write_explanation_page(tmp_path / "x.html", [gone])
    browser.open(tmp_path / "x.html")
    assert texts(browser, "#notice") == ["There was no video file when this page was made."]
    assert browser.value(NOT_PLAYED)
    browser.click(".flow thead button")
    assert browser.problems == []


def test_frames_without_times_have_numbers(recognizer: Recognizer, video: Path, tmp_path: Path) -> None:
    model = explained(recognizer, video, [ACTION.name], maps=False)
    untimed = [replace(one, matches=tuple(replace(m, seconds=()) for m in one.matches)) for one in model.explained]
    write_explanation_page(tmp_path / "x.html", [replace(model, explained=untimed)])
    page = (tmp_path / "x.html").read_text()
    assert "best seen at frame " in page
    assert "data-second=" not in page.partition("</main>")[0]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_axe_finds_no_violation(
    browser: Browser, recognizer: Recognizer, video: Path, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    model = explained(recognizer, video, [action.name for action in draw_classes(0)["unseen"][:2]])
    write_explanation_page(tmp_path / "x.html", [model, model], "relevance", ACTION.name)
    browser.open(tmp_path / "x.html", width=width, scheme=scheme)
    browser.value("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    assert browser.do(axe_violations) == []
    assert browser.do(low_contrast) == []
