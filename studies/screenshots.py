"""Pictures of the pages in the documentation, taken by the system's Chromium.

    ost demo
    python studies/screenshots.py docs/figures

Writes report_page.png, a report on runs of the demo, timeline_page.png, the demo's page of a long video,
explanation_page.png, the page of a rendered video, and app_*.png, the app with rendered videos. `--parts explanation
app` writes those that need no demo.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ost_lightning.analysis.report.report import write_report
from ost_lightning.analysis.report.reported_run import ReportedRun
from ost_lightning.app import AppSettings
from ost_lightning.app.server import serving
from ost_lightning.pages.printing import find_browser
from ost_lightning.recognition import ExplainedByModel, Recognizer, write_explanation_page
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.toyworld.grammar import draw_classes

WIDTH, COLORS = 1280, 256
PARTS = ("report", "timeline", "explanation", "app")
RUNS = ("category_name/version_2", "optimal_descriptor_solver/version_2")
"""Fine-tuned weights with two matchers."""


@contextmanager
def browser_page(width: int = WIDTH, height: int = 900) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(300_000)  # a busy machine takes its time
        yield page
        browser.close()


def take(page: Page, file: Path) -> None:
    """Writes what is visible as a small PNG."""
    page.screenshot(path=file)
    taken = Image.open(file).convert("RGB")
    # a palette by frequency alone would lose the few bright pixels of maps
    reduced = taken.quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    reduced.save(file, optimize=True)


def report(page: Page, demo: Path, file: Path) -> None:
    with TemporaryDirectory() as folder:
        written = Path(folder) / "report.html"
        write_report([ReportedRun.read(demo / "runs" / run) for run in RUNS], written)
        page.goto(written.as_uri())
        page.evaluate("document.querySelectorAll('details.run').forEach((run, k) => { run.open = k === 1; })")
        take(page, file)


def timeline(page: Page, demo: Path, file: Path) -> None:
    page.goto((demo / "timeline.html").absolute().as_uri())
    page.wait_for_function("player.readyState >= 2")
    page.click(".segment >> nth=1")
    page.wait_for_function("!player.seeking && player.readyState >= 2")
    page.evaluate("player.controls = false")
    take(page, file)


def explanation(page: Page, file: Path) -> None:
    shown, *_ = draw_classes(0)["unseen"]
    recognizer = Recognizer.load("tiny", label_space(0, "unseen"), "cpu")
    with TemporaryDirectory() as folder:
        video, written = Path(folder) / "clip.mp4", Path(folder) / "why.html"
        write_mp4(video, render_clip(shown, seed="a"))
        clip = recognizer.embed_clip(video)
        explained = recognizer.explain(clip)
        maps = [recognizer.maps(one) for one in explained]
        model = ExplainedByModel("tiny", recognizer(clip), explained, maps, recognizer.conditions())
        write_explanation_page(written, [model], "relevance", shown.name)
        page.goto(written.as_uri())
        page.wait_for_function("player.readyState >= 2")
        page.evaluate("player.controls = false")
        take(page, file)


def recognized(page: Page, url: str, scheme: Literal["light", "dark"] = "light") -> None:
    """Opens the app and has the example with several actions recognized."""
    page.emulate_media(color_scheme=scheme)
    page.goto(url)
    page.get_by_role("button", name="one after the other").click()
    page.locator(".ost-why img").nth(1).wait_for()
    page.locator(".ost-segment").nth(1).click()
    page.locator(".ost-segment[aria-current]").wait_for()
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)  # the player's controls fade


def app(output: Path) -> None:
    with serving(AppSettings(weights=("tiny",), examples=True, device="cpu")) as url:
        with browser_page(width=1100, height=1250) as page:
            recognized(page, url)
            take(page, output / "app_recognize.png")
            page.get_by_role("tab", name="Find").click()
            page.get_by_label("What to look for").fill("balancing flag")
            page.get_by_role("button", name="Find", exact=True).click()
            page.locator(".ost-hits li").first.wait_for()
            page.set_viewport_size({"width": 1100, "height": 900})
            page.wait_for_timeout(1000)  # players say that they load, although they don't
            take(page, output / "app_find.png")
            page.get_by_role("tab", name="Compare").click()
            page.get_by_role("button", name="Compare", exact=True).click()
            page.locator("#ost-right li").first.wait_for()
            take(page, output / "app_compare.png")
        with browser_page(width=375, height=1250) as page:
            recognized(page, url, "dark")
            take(page, output / "app_phone.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="folder that `ost demo` wrote")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    if "report" in chosen.parts:
        with browser_page(height=1000) as page:
            report(page, chosen.demo, chosen.output / "report_page.png")
    if "timeline" in chosen.parts:
        with browser_page(height=760) as page:
            timeline(page, chosen.demo, chosen.output / "timeline_page.png")
    if "explanation" in chosen.parts:
        with browser_page(height=1100) as page:
            explanation(page, chosen.output / "explanation_page.png")
    if "app" in chosen.parts:
        app(chosen.output)


if __name__ == "__main__":
    main()
