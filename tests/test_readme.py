"""Every command of the README works: those of one's own videos in their order, the others by what they would run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.experiment.commands import EXPERIMENT_COMMANDS
from tests.small_experiments import own_videos
from tests.text.generation import fake_llm as llm

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = [
    (language, body) for language, body in re.findall(r"^```(bash|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
]
ROWS = re.findall(r"^\|.*\|$", README, re.MULTILINE)
IN_TABLES = [command for row in ROWS for command in re.findall(r"`(.+?)`", row)]
MAKE = [line.partition("#")[0].strip() for _, body in BLOCKS for line in body.splitlines() if line.startswith("make ")]


def test_the_way_with_ones_own_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything between the two headings, in order; only the size of the model and of the clips is another one."""
    section = README[README.index("## Recognize actions in your own videos") : README.index("## Reproduce or extend")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    small = own_videos(Path("material"))
    for option in ("--config=own_videos", "--model.descriptors_per_class=2", "--data.loading.global_batch_size=4"):
        small.remove(option)
    for k, name in enumerate(("juggling", "jump_rope")):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(tmp_path / f"material/{(k + number) % 4}.mp4", tmp_path / f"videos/{name}/{number}.mp4")
    (tmp_path / "new").mkdir()
    (tmp_path / "material/3.mp4").rename(tmp_path / "new/clip.mp4")
    names: dict[str, object] = {}
    commands = 0
    exec("from ost_lightning import Recognizer", names)  # noqa: S102 # as the first block of the README does
    with llm.serving(lambda seen: llm.good) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for language, body in BLOCKS:
            if body not in section:
                continue
            if language == "python":
                exec(body, names)  # noqa: S102
                continue
            for line in body.splitlines():
                if not line.startswith("ost "):
                    assert line.startswith("export ")
                    continue
                words = shlex.split(line, comments=True)[1:]
                assert main([*words, *(small if words[0] in EXPERIMENT_COMMANDS else ())]) == 0, line
                commands += 1
    assert commands == 11
    assert any(Path("why").glob("1_*_matches.png"))
    runs = Path("runs/videos")
    names = ("own_classes.csv", "own_confusion.png", "predictions.csv", "results.md")
    assert all((runs / "version_2" / name).is_file() for name in names)
    assert "clip.mp4" in (runs / "version_3/predictions.csv").read_text()
    assert Path("weights/mine/descriptors.json").is_file()


@pytest.mark.parametrize("command", [*MAKE, *(command for command in IN_TABLES if command.startswith("make "))])
def test_targets_of_the_makefile_run_what_they_say(command: str) -> None:
    words = [word.replace("...", "last.ckpt") for word in shlex.split(command)]
    shown = subprocess.run([*words, "--dry-run"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    wanted = {"train": "ost fit --config", "eval": "ost test --config", "ablate": "ost ablate --config"}
    expected = wanted.get(words[1], {"demo": "ost demo", "test": "pytest", "sweep": "wandb"}.get(words[1], ""))
    assert expected
    assert expected in shown
    for experiment in re.findall(r"EXP=(\w+)", command):
        assert (CHECKOUT / "experiments" / f"{experiment}.yaml").is_file()


@pytest.mark.parametrize("options", [command for command in IN_TABLES if command.startswith("ARGS=")])
def test_overlays_exist(options: str) -> None:
    (overlay,) = re.findall(r"--config ([\w/]+)", options)
    assert (CHECKOUT / "experiments" / f"{overlay}.yaml").is_file()


@pytest.mark.parametrize("command", [command for command in IN_TABLES if command.startswith("ost ")])
def test_tools_say_what_is_missing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their files are not there, which is the first thing that they check once they have understood the options."""
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)[1:]) == 1
    assert "unrecognized" not in capsys.readouterr().err


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (CHECKOUT / target).exists(), target


def test_it_fits_its_readers() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []
