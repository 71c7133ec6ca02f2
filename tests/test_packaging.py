"""The wheel is complete: it works from an empty folder, without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the installed wheel, and no other packages."""
    dist, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def run(installed: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_wheel_contains_data_prompts_experiments_the_tiny_clip_and_pages(installed: Path, tmp_path: Path) -> None:
    program = (
        "from ost_lightning import resources, text\n"
        "from ost_lightning.models import VideoCLIP\n"
        "print(resources.shipped('data'), resources.shipped('prompts'), resources.shipped('experiments'))\n"
        "print(len(text.LabelSpace.load('kinetics400')), text.Templates.load('ost').temporal)\n"
        "print(VideoCLIP('tiny').image_size)\n"
        "from ost_lightning.recognition.timelines import Timeline, save_timeline\n"
        "print(*save_timeline(Timeline('x.mp4', 1.0, ('archery',), ()), 'x.html'))\n"
    )
    folders, labels, size, page = run(installed, tmp_path, "-c", program).splitlines()
    assert folders.split() == [str(installed / "ost_lightning" / kind) for kind in ("data", "prompts", "experiments")]
    assert labels.startswith("400 A video of {name}")
    assert (size, page) == ("48", "x.html")


def test_the_command_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    options = ["--config=toyworld", "--data.test_clips=1", "--data.loading.workers=0", "--tracking.wandb=false"]
    printed = run(installed, tmp_path, "-m", "ost_lightning", "test", *options)
    assert "| unseen | pretrained |" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
