"""The page of a report in a real browser: complete, escaped, and readable on a phone, in the dark and on paper."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from ost_lightning.analysis.report.report import report_html, write_report
from ost_lightning.analysis.report.reported_run import ReportedRun
from ost_lightning.analysis.results.order_report import OrderScore
from ost_lightning.analysis.results.transductive import TransductiveScore
from tests.accessibility import axe_violations, low_contrast
from tests.analysis.report.runs import FILE, HOSTILE, sure, uses, write_run
from tests.browser import Browser
from tests.videos import write_video

TEXT = "document.body.innerText.replace(/\\s+/g, ' ')"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs on one set, one of them with everything, one on another set, and one that was stopped."""
    folder = tmp_path_factory.mktemp("runs")
    video = str(write_video(folder / FILE, 50, options={"g": "10"}))
    labels = [HOSTILE, "archery"]
    rows = [sure(f"{k}", labels[k % 2], labels[k % 2], path=f"/gone{k}.mp4") for k in range(6)]
    first = write_run(folder / "x/version_0", [*rows, sure(FILE, "archery", HOSTILE, path=video)])
    (folder / "x/version_2").mkdir()
    (folder / "x/version_2/metrics.csv").write_text("step,train/loss\n0,2\n10,1\n")
    second = write_run(
        folder / "x/version_1",
        [*(row._replace(classes=(HOSTILE,)) for row in rows), sure(FILE, "archery", "archery", path=video)],
        usage={"own": {"classes": uses((HOSTILE, 3, 1.0, 0.0, 0), ("archery", 4, 0.25, 0.5, 1))}},
        checkpoint={"path": str(folder / "x/version_2/checkpoints/last.ckpt")},
        remarks=[f"trained on {HOSTILE}"],
        order={"as trained": OrderScore(0.5, 0.4, 0.3, 0.01, 0.05, 5, 0)},
        transductive={HOSTILE: TransductiveScore(0.813, 0.9, 7, 1, {"capacity": 3, "seed": HOSTILE})},
    )
    (second / "own_order.csv").write_text("weights,class,videos,top1,reversed,shuffled\nas trained,'=a,3,1,0.5,0.25\n")
    other = write_run(folder / "y/version_0", [sure("1", "surfing", "surfing", name="beach")], digest="others")
    (folder / "z").mkdir()
    (folder / "z/config.yaml").touch()
    write_report([ReportedRun.read(run) for run in (first, second, other, folder / "z")], folder / "report.html")
    return folder / "report.html"


def test_every_part_of_a_run_is_shown(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.value("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    text = browser.value(TEXT)
    assert "3 test runs on 2 test sets. 1 run has no results." in text
    for part in (
        "the test was stopped",
        "57.1 [",
        "-28.6",
        "p 0.625",  # McNemar of 1 and 3 videos
        "Classes against category names",
        "points on readable videos, p ",
        "Classes against x/version_0",
        "2 of 4 descriptors in own are not the closest one to any frame.",
        "Most frequent mistakes",
        "Most typical videos",
        "What the order of frames is worth in own",
        "20.0 ± 5.0",
        "=a 3 100.0 50.0 25.0",
        "There was no video file when this page was made.",
        "add --trainer.callbacks+=DescriptorUsage",
        "Learning curves of",
        "Sets are shown side by side and never averaged.",
    ):
        assert part in text, part
    assert [browser.value(f"document.querySelectorAll('{part}').length") for part in (".matrix", ".line")] == [3, 1]


def test_transductive_scores_have_a_section_of_their_own(browser: Browser, report: Path, tmp_path: Path) -> None:
    browser.open(report)
    own = browser.value("document.querySelector('#transductive').innerText.replace(/\\s+/g, ' ')")
    assert "not comparable with the accuracies" in own
    assert "Transductive Top-1 (%) Transductive Top-5 (%)" in own
    found = f"x/version_1 own, {HOSTILE} 81.3 90.0 7 1 unreadable, counted as wrong capacity 3, seed {HOSTILE}"
    assert found in own
    # nowhere else, in particular not beside the other accuracies
    assert browser.value(TEXT).count("81.3") == 1
    elsewhere = (
        "[...document.querySelectorAll('section:not(#transductive)')].some((one) => one.innerText.match(/transd/i))"
    )
    assert not browser.value(elsewhere)
    assert browser.value("document.querySelectorAll('#transductive tbody tr').length") == 1
    plain = report_html([ReportedRun.read(write_run(tmp_path / "x/version_0", [sure("1", "a", "a")]))], tmp_path)
    assert "ransductive" not in plain


def test_mistakes_have_another_color_than_what_is_right(browser: Browser, report: Path) -> None:
    browser.open(report)
    shades = browser.value(
        "[...document.querySelectorAll('.matrix [class*=shade-]')].map((one) =>"
        " [one.className, getComputedStyle(one).backgroundColor])"
    )
    colors = {name: [float(part) for part in color.split("srgb ")[1].split()[:3]] for name, color in shades}
    red, _, blue = colors["shade-8"]
    assert red < blue
    red, _, blue = colors["wrong shade-8"]
    assert red > blue


def test_runs_on_other_videos_are_not_compared(browser: Browser, report: Path) -> None:
    browser.open(report)
    headings = browser.value("[...document.querySelectorAll('section[id^=set] > h2')].map((found) => found.innerText)")
    assert headings == ["own", "beach"]
    beach = browser.value("document.querySelector('#set-2').innerText")
    assert "Against the first run" not in beach
    assert "x/version_0" not in beach


def test_names_are_shown_as_text_and_nothing_is_loaded(browser: Browser, report: Path) -> None:
    for width, scheme in ((1280, "light"), (375, "dark")):
        browser.open(report, width=width, scheme=scheme)  # type: ignore[arg-type]
        browser.value("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
        assert browser.value("document.title").startswith("Test report: x/version_0, x/version_1, y/version_0")
        assert browser.value("document.querySelectorAll('img[src=x], [onerror]').length") == 0
        names = "[...document.querySelectorAll('.matrix tbody th')].map((found) => found.innerText)"
        assert browser.value(names)[:2] == [HOSTILE, "archery"]
        assert f"trained on {HOSTILE}" in browser.value(TEXT)
        assert f"{HOSTILE} spatio" in browser.value(TEXT)
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.problems == []
        assert {url.partition(":")[0] for url in browser.requests} <= {"file", "data"}


def test_a_click_on_a_picture_plays_its_video(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.value("document.querySelector('.play').getAttribute('aria-label')") == f"Play {FILE}"
    browser.value("document.querySelector('details.run').open = true")
    browser.click(".play")
    browser.wait_for("document.querySelector('.videos video')?.readyState >= 1")
    assert browser.value("document.querySelector('.videos video').duration") == pytest.approx(2.0, abs=0.1)
    assert browser.problems == []


def test_colors_follow_the_reader_and_paper_is_white(browser: Browser, report: Path, tmp_path: Path) -> None:
    brightness = []
    for scheme, media in (("light", ""), ("dark", ""), ("dark", "print")):
        browser.open(report, width=800, scheme=scheme)  # type: ignore[arg-type]
        if media:
            browser.value("dispatchEvent(new Event('beforeprint'))")
            browser.do(lambda page: page.emulate_media(media="print"))
            assert browser.value("[...document.querySelectorAll('details:not(.long)')].every((found) => found.open)")
            assert browser.value("document.querySelector('nav').offsetHeight") == 0
        browser.screenshot(tmp_path / "x.png")
        brightness.append(float(np.asarray(Image.open(tmp_path / "x.png").convert("L"))[:60].mean()))
    assert brightness[0] > 200
    assert brightness[1] < 60
    assert brightness[2] > 200


def test_a_table_of_many_classes_can_be_searched(browser: Browser, tmp_path: Path) -> None:
    rows = [sure(f"{k}", f"class {k}", f"class {k % 50}") for k in range(60)]
    run = ReportedRun.read(write_run(tmp_path / "x/version_0", rows))
    write_report([run], tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    assert browser.value("document.querySelectorAll('.matrix').length") == 0
    assert browser.value("document.querySelectorAll('table.classes tbody tr').length") == 30
    shown = "[...document.querySelectorAll('table.full tbody tr')].filter((found) => !found.hidden).length"
    browser.value("document.querySelector('details.long').open = true")
    assert browser.value(shown) == 60
    search = "document.querySelector('input[type=search]')"
    browser.value(f"{search}.value = 'CLASS 5'; {search}.dispatchEvent(new Event('input'))")
    assert browser.value(shown) == 11
    assert browser.problems == []


def test_runs_with_the_same_name_are_told_apart(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / place / "x/version_0", [sure("1", "a", "a")]) for place in ("one", "two")]
    page = report_html([ReportedRun.read(run) for run in runs], tmp_path)
    for run in runs:
        assert f"Run <bdi>{run}</bdi>" in page


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_axe_finds_no_violation(browser: Browser, report: Path, width: int, scheme: Literal["light", "dark"]) -> None:

    browser.open(report, width=width, scheme=scheme)
    browser.value("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
    assert browser.do(axe_violations) == []
    assert browser.do(low_contrast) == []
