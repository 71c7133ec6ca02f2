"""The wheel is complete: it works from an empty folder, without the checkout."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from ost_lightning.resources import shipped

CHECKOUT = Path(__file__).parents[1]


def test_folders_of_the_checkout_are_in_the_wheel() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for kind in ("data", "prompts", "experiments"):
        assert settings["force-include"][kind] == f"ost_lightning/{kind}"
        assert shipped(kind) == CHECKOUT / kind


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the content of the wheel, which installation would copy."""
    dist, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    ZipFile(wheel).extractall(target)
    return target


@pytest.mark.slow  # builds a package, and imports everything in a new process
def test_the_wheel_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """It has data, prompts, experiments, the tiny CLIP and pages; one process tests all, because imports take long."""
    program = (
        "from ost_lightning import resources, text\n"
        "from ost_lightning.models import VideoCLIP\n"
        "print(resources.shipped('data'), resources.shipped('prompts'), resources.shipped('experiments'))\n"
        "print(len(text.LabelSpace.load('kinetics400')), text.Templates.load('ost').temporal)\n"
        "print(VideoCLIP('tiny').image_size)\n"
        "from ost_lightning.recognition.timelines import Timeline, save_timeline\n"
        "print(*save_timeline(Timeline('x.mp4', 1.0, ('archery',), ()), 'x.html'), flush=True)\n"
        "from ost_lightning.cli import entry_point\n"
        "entry_point()\n"
    )
    options = ["--config=toyworld", "--data.test_clips=1", "--data.loading.workers=0", "--tracking.wandb=false"]
    done = subprocess.run(
        [sys.executable, "-c", program, "test", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    folders, labels, size, page, *table = done.stdout.splitlines()
    assert folders.split() == [str(installed / "ost_lightning" / kind) for kind in ("data", "prompts", "experiments")]
    assert labels.startswith("400 A video of {name}")
    assert (size, page) == ("48", "x.html")
    assert any("| unseen | pretrained |" in line for line in table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "x.html"]
