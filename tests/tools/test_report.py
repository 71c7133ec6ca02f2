"""`ost report` writes pages and PDFs, and says what it can't."""

import re
import shutil
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.pages.printing import BROWSERS
from tests.analysis.report.runs import sure, write_run
from tests.small_experiments import SMALL


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/x/version_0"), [sure("1", "a", "a"), sure("2", "b", "a")])
    Path("runs/x/version_1").mkdir()
    Path("runs/x/version_1/config.yaml").touch()


def test_all_runs_below_a_folder_are_on_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "runs", "--output=out/page.html"]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "x/version_0: own"
    assert second.startswith("x/version_1: There is no results.json: the test was stopped")
    assert last == "Report written to out/page.html"
    page = Path("out/page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "2 test sets" not in page


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="needs a browser")
def test_a_pdf_is_printed_by_the_browser() -> None:
    assert main(["report", "runs/x", "--output=report.pdf"]) == 0
    assert Path("report.pdf").read_bytes().startswith(b"%PDF-")
    assert sorted(path.name for path in Path().iterdir()) == ["report.pdf", "runs"]


@pytest.mark.parametrize("arguments", [["--output=x.pdf"], ["--output=x", "--format=pdf"]])
def test_without_a_browser_there_is_no_pdf(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["report", "runs", *arguments]) == 1
    assert "none of chromium, chromium-browser," in " ".join(capsys.readouterr().err.split())
    assert not Path("x.pdf").exists()


def test_a_browser_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bin").mkdir()
    program = Path("bin/chromium")
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path('bin').absolute()}:/bin:/usr/bin")
    assert main(["report", "runs", "--output=x.pdf"]) == 1
    assert "(exit status 3): broken" in " ".join(capsys.readouterr().err.split())
    assert not Path("x.pdf").exists()


def test_a_folder_without_runs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "none"]) == 1
    assert "There is no test run in none" in " ".join(capsys.readouterr().err.split())


def test_explanations_show_the_model_that_was_tested(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["test", *SMALL, "--trainer.callbacks=PredictionWriter"]) == 0
    run = Path("runs/toyworld/version_0")
    assert main(["report", str(run), "--output=page.html"]) == 0
    assert "add --explain 1 to `ost report`" in Path("page.html").read_text()
    assert main(["report", str(run), "--output=page.html", "--explain=1", "--device=cpu"]) == 0
    page = Path("page.html").read_text()
    assert page.count('<img src="data:image/webp') == 4
    assert "Flow and attention are missing" not in page
    labels = run / "label_spaces/unseen"
    labels.rename("elsewhere")
    assert main(["report", str(run), "--output=page.html", "--explain=1", "--device=cpu"]) == 0
    assert "did not save the classes of unseen" in Path("page.html").read_text()
    results = (run / "results.json").read_text()
    (run / "results.json").write_text(re.sub('"weights": "[0-9a-f]+"', '"weights": "0"', results))
    assert main(["report", str(run), "--output=page.html", "--explain=1", "--device=cpu"]) == 0
    assert "the weights are not those of the test any more" in Path("page.html").read_text()
    assert main(["report", str(run), "--explain=-1"]) == 1
    assert "--explain is -1" in capsys.readouterr().err
