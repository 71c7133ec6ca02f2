"""The app in a real browser, as people use it and as others abuse it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest

from ost_lightning.app import AppSettings
from ost_lightning.toyworld.long_videos import write_long_video
from tests.accessibility import axe_violations, low_contrast, unnamed_controls
from tests.app.conftest import CLASSES, MAX_UPLOAD, Serving
from tests.browser import Browser
from tests.videos import write_video

pytest.importorskip("lance", reason="needs the extra library")
from playwright.sync_api import Page, expect

HOSTILE = "<img src=x onerror=alert(1)>${alert(2)}"
SHARES = ".ost-share"
ACTIVE_NAME = """(({ ariaLabel, textContent }) =>
  (ariaLabel || textContent).trim().replace(/^(Go to .:).*/, "$1"))(document.activeElement)"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number)"
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def url(serving: Serving) -> Iterator[str]:
    with serving(AppSettings(weights=("tiny",), examples=True, max_upload=MAX_UPLOAD, device="cpu")) as running:
        yield running


@pytest.fixture(autouse=True)
def _harmless(browser: Browser, url: str) -> Iterator[None]:
    """After each test: no script error, no forbidden thing was tried, nothing was asked of another origin."""
    yield
    # Gradio's client warns so whenever an upload is complete
    assert [problem for problem in browser.problems if problem != "Method not implemented."] == []
    local = (url, "data:", "blob:http://127.0.0.1")
    assert [request for request in browser.requests if not request.startswith(local)] == []


def shares(page: Page) -> list[float]:
    """Probabilities of the ranking, in percent."""
    return [float(text.split()[0]) for text in page.locator(f"#ost-ranking {SHARES}").all_inner_texts()]


def upload(page: Page, file: Path) -> None:
    """Uploads a video in place of the one that is there."""
    if page.get_by_label("Clear", exact=True).is_visible():
        page.get_by_label("Clear", exact=True).click()
    page.locator("#ost-video input[type=file]").set_input_files(file)


def recognized(page: Page) -> None:
    """Waits until there is a ranking."""
    expect(page.locator("#ost-ranking li").first).to_be_visible()


def finished(page: Page) -> None:
    """Waits until pictures say why."""
    expect(page.locator(".ost-why img")).to_have_count(2)


def test_upload_recognize_seek_and_edit(browser: Browser, url: str, tmp_path: Path) -> None:
    file = tmp_path / "a 'b' <i>c.mp4"
    write_long_video(file, CLASSES, CLASSES.listed[:2], "page")
    browser.open(url)

    def recognize(page: Page) -> None:
        upload(page, file)
        recognized(page)
        assert len(shares(page)) == 10
        assert shares(page) == sorted(shares(page), reverse=True)
        finished(page)

    def seek(page: Page) -> None:
        segment = page.locator(".ost-segment").last
        second = float(segment.get_attribute("data-second") or "nan")
        assert second > 0
        page.wait_for_function("document.querySelector('#ost-video video').readyState >= 1")
        segment.click()
        page.wait_for_function(f"document.querySelector('#ost-video video').currentTime === {second}")
        expect(segment).to_have_attribute("aria-current", "")
        # the same with the keyboard
        page.locator(".ost-seek").first.press("Enter")
        page.wait_for_function("document.querySelector('#ost-video video').currentTime < " + str(second))

    def keys(page: Page) -> None:
        page.locator("#ost-video video").evaluate("(video) => { video.muted = true; video.currentTime = 2; }")
        page.locator("#ost-video video").focus()
        for key, second in (("ArrowRight", 3), ("ArrowLeft", 2), ("Shift+ArrowLeft", 0), ("Shift+ArrowRight", 10)):
            page.keyboard.press(key)
            page.wait_for_function(f"document.querySelector('#ost-video video').currentTime === {second}")
        page.keyboard.press("Space")
        page.wait_for_function("!document.querySelector('#ost-video video').paused")
        page.keyboard.press("Space")
        page.wait_for_function("document.querySelector('#ost-video video').paused")
        # Tab goes from left to right and from top to bottom
        page.get_by_role("tab", name="Recognize").focus()
        stops: list[str] = []
        for _ in range(40):
            page.keyboard.press("Tab")
            stops.append(page.evaluate(ACTIVE_NAME))
        wanted = ("Video", "play-pause-replay-button", CLASSES.listed[0].name, "2. Classes: a label space, or your own")
        places = [stops.index(name) for name in (*wanted, "Recognize", "Go to 0:")]
        assert places == sorted(places)
        # what is typed reaches the text
        page.locator("#ost-classes textarea").press("Space")
        assert page.locator("#ost-video video").evaluate("(video) => video.paused")

    def edit(page: Page) -> None:
        before = shares(page)
        expect(page.locator(".ost-moved")).to_have_count(0)
        page.get_by_role("gridcell").nth(1).dblclick()
        page.keyboard.press("Control+A")
        page.keyboard.type(HOSTILE)
        page.keyboard.press("Enter")
        expect(page.locator(".ost-moved").first).to_be_visible()
        assert shares(page) != before
        expect(page.get_by_role("gridcell").nth(1)).to_contain_text(HOSTILE)

    for steps in (recognize, seek, keys, edit):
        browser.do(steps)


def test_own_classes_are_compared_by_name_and_shown_as_text(browser: Browser, url: str, clip: Path) -> None:
    browser.open(url)

    def steps(page: Page) -> None:
        page.locator("#ost-classes textarea").fill(f"surfing, {HOSTILE}\nsurfing\n</script><script>alert(3)</script>")
        upload(page, clip)
        expect(page.locator("#ost-ranking bdi")).to_have_count(3)
        assert HOSTILE in page.locator("#ost-ranking bdi").all_inner_texts()
        expect(page.locator("#ost-message")).to_contain_text("compared with their names alone")
        page.locator("#ost-edited input").click()
        page.get_by_role("option", name=HOSTILE).click()
        expect(page.locator("#ost-table")).to_contain_text(HOSTILE)

    browser.do(steps)


def test_an_example_takes_one_click(browser: Browser, url: str) -> None:
    browser.open(url)

    def steps(page: Page) -> None:
        page.get_by_role("button", name=CLASSES.listed[1].name, exact=True).click()
        expect(page.locator("#ost-ranking bdi").first).to_have_text(CLASSES.listed[1].name)

    browser.do(steps)


def test_the_llm_button_says_what_to_set(browser: Browser, url: str, clip: Path) -> None:
    browser.open(url)

    def steps(page: Page) -> None:
        button = page.get_by_role("button", name="Have an LLM describe the classes")
        expect(button).to_contain_text("first set OPENAI_API_KEY")
        button.click()
        expect(page.locator("#ost-message [role=alert]")).to_contain_text("No API key found: set OPENAI_API_KEY")

    browser.do(steps)


def test_find_plays_hits_at_their_place(browser: Browser, url: str) -> None:
    name = CLASSES.listed[1].name
    browser.open(url)

    def steps(page: Page) -> None:
        page.get_by_role("tab", name="Find").click()
        page.get_by_label("What to look for").fill(name.upper())
        page.keyboard.press("Enter")
        expect(page.locator(".ost-hits li")).to_have_count(10)
        expect(page.locator(".ost-hits li").first).to_contain_text(name)
        expect(page.locator(".ost-hits h2")).to_contain_text("The best 10 of 33 segments, ranked by probability")
        part = page.locator(".ost-hits video[src*='long.mp4']").first
        start = float((part.get_attribute("src") or "").partition("#t=")[2].partition(",")[0])
        assert start > 0
        part.evaluate("async (video) => { await video.play(); video.pause(); }")
        assert start <= part.evaluate("(video) => video.currentTime") < start + 2
        page.get_by_label("What to look for").fill(HOSTILE)
        page.get_by_role("button", name="Find", exact=True).click()
        expect(page.locator(".ost-hits h2")).to_contain_text("CategoryName")

    browser.do(steps)


def test_compare_shows_two_answers(browser: Browser, url: str, clip: Path) -> None:
    browser.open(url)

    def steps(page: Page) -> None:
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator("#ost-compared [role=alert]")).to_contain_text("no video yet")
        page.get_by_role("tab", name="Recognize").click()
        upload(page, clip)
        recognized(page)
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator("#ost-right li").first).to_be_visible()
        left, right = (page.locator(f"#ost-{side} {SHARES}").all_inner_texts() for side in ("left", "right"))
        assert len(left) == len(right) == 10
        assert left != right
        expect(page.locator("#ost-right h2")).to_have_text("Right: tiny, class names alone")
        expect(page.locator("#ost-right")).to_contain_text("CategoryName")
        expect(page.locator("#ost-compared")).to_contain_text(re.compile("Both say|They differ"))

    browser.do(steps)


def test_what_is_no_video_is_told(browser: Browser, url: str, clip: Path, tmp_path: Path) -> None:
    text = tmp_path / "<b>text.mp4"
    text.write_text("hello")
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(MAX_UPLOAD + 1))
    one = write_video(tmp_path / "one.mp4", 1)
    browser.open(url)

    def steps(page: Page) -> None:
        upload(page, clip)
        recognized(page)
        upload(page, text)
        expect(page.locator("#ost-message [role=alert]")).to_contain_text("text.mp4 can't be used")
        expect(page.locator("#ost-ranking li")).to_have_count(0)
        upload(page, one)
        recognized(page)
        expect(page.locator("#ost-timeline")).to_contain_text("0:00")

    browser.do(steps)
    browser.problems.clear()  # the browser itself can't play what is no video
    answer = httpx.post(f"{url}gradio_api/upload", files={"files": large.open("rb")})
    assert answer.status_code == 413


def test_two_people_dont_see_each_other(browser: Browser, url: str, clip: Path) -> None:
    browser.open(url)
    browser.do(lambda page: upload(page, clip))
    browser.do(recognized)
    source = browser.value("document.querySelector('#ost-video video').src")
    assert httpx.get(source).status_code == 200

    def other(page: Page) -> None:
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.locator("#ost-compared [role=alert]")).to_contain_text("no video yet")

    browser.open(url)  # closes the page of the first one
    browser.do(other)
    for _ in range(100):
        if httpx.get(source).status_code != 200:
            break
        browser.do(lambda page: page.wait_for_timeout(100))
    assert httpx.get(source).status_code == 403


def test_only_what_is_listed_is_served(url: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for file in (secret, Path(__file__), Path("/etc/passwd")):
        assert httpx.get(f"{url}gradio_api/file={file}").status_code == 403
    for route in ("file=https://example.org/x.mp4", "file=HTTP://example.org", "proxy=https://x.hf.space", "deep_link"):
        answer = httpx.get(f"{url}gradio_api/{route}")
        assert (answer.status_code, answer.text) == (403, "This app doesn't offer that.")


def test_an_uploaded_page_is_never_run(browser: Browser, url: str) -> None:
    (path,) = httpx.post(
        f"{url}gradio_api/upload", files={"files": ("x.html", b"<script>alert(1)</script>", "text/html")}
    ).json()
    answer = httpx.get(f"{url}gradio_api/file={path}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def accessible(page: Page) -> None:
    """Checks what can be seen now."""
    assert unnamed_controls(page) == []
    assert low_contrast(page) == []


def test_a_phone_in_the_dark_shows_all_of_it(browser: Browser, url: str) -> None:
    browser.open(url, width=375, height=740, scheme="dark")

    def steps(page: Page) -> None:
        page.get_by_role("button", name=re.compile("one after the other")).click()
        finished(page)
        names = page.locator(".ost-segment span").evaluate_all("(all) => all.map((one) => one.offsetWidth)")
        assert min(names) == 0  # no name is cut after two letters
        assert all(width == 0 or width >= 40 for width in names)
        for tab in ("Recognize", "Find", "Compare"):
            page.get_by_role("tab", name=tab).click()
            assert page.evaluate("document.documentElement.scrollWidth") == 375
            accessible(page)

    browser.do(steps)
    assert max(browser.value(BACKGROUND)[:3]) < 60


def test_every_control_has_a_name_and_every_text_contrast(browser: Browser, url: str) -> None:
    browser.open(url)

    def steps(page: Page) -> None:
        page.get_by_role("button", name=CLASSES.listed[0].name, exact=True).wait_for()
        accessible(page)
        page.get_by_role("button", name=CLASSES.listed[0].name, exact=True).click()
        finished(page)
        accessible(page)
        for tab, shown in (("Find", "#ost-hits [role=alert]"), ("Compare", "#ost-right li")):
            page.get_by_role("tab", name=tab).click()
            page.get_by_role("button", name=tab, exact=True).click()
            page.locator(shown).first.wait_for()
            accessible(page)

    browser.do(steps)
    assert min(browser.value(BACKGROUND)[:3]) > 200


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_axe_finds_no_violation(browser: Browser, url: str, width: int, scheme: Literal["light", "dark"]) -> None:
    """But for Gradio's own name of a locked column, which is on an element that has no role."""
    browser.open(url, width=width, scheme=scheme)

    def steps(page: Page) -> None:
        page.get_by_role("button", name=CLASSES.listed[0].name, exact=True).click()
        finished(page)
        assert axe_violations(page, ['aria-label="Static column"']) == []
        page.get_by_role("tab", name="Find").click()
        page.get_by_label("What to look for").fill(CLASSES.listed[0].name)
        page.keyboard.press("Enter")
        page.locator(".ost-hits li").first.wait_for()
        assert axe_violations(page) == []
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#ost-right li").first.wait_for()
        assert axe_violations(page) == []

    browser.do(steps)
