"""Experiments that run in seconds: on the rendered world, and on a folder of videos."""

import csv
import shutil
from pathlib import Path

from tests.videos import write_video

QUIET = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
WORLD = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
WORLD += ["--data.clips.frames=4"]
SMALL = [*WORLD, *QUIET]


def metrics(run: Path) -> list[dict[str, str]]:
    """Returns the rows of a run's metrics table."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def own_videos(folder: Path) -> list[str]:
    """Creates a folder of videos as `own_videos.yaml` expects it, and returns options for the tiny CLIP."""
    folder.mkdir()
    for k in range(4):
        write_video(folder / f"{k}.mp4", 10, width=64, height=64, seed=k)
    (folder / "classes.txt").write_text("juggling\nswimming\n")
    (folder / "descriptors.json").write_text(
        '{"classes": {"juggling": {"spatio": ["a ball", "hands"], "temporal": ["throws", "catches"]}, '
        '"swimming": {"spatio": ["a pool", "water"], "temporal": ["dives", "swims"]}}}'
    )
    (folder / "train.txt").write_text("0.mp4 0\n1.mp4 1\n2.mp4 0\n3.mp4 1\n")
    shutil.copy(folder / "train.txt", folder / "test.txt")
    return [
        "--config=own_videos",
        "--model.video_clip.pretrained=tiny",
        "--model.descriptors_per_class=2",
        "--data.clips.short_side=54",
        "--data.clips.crop_size=48",
        "--data.loading.global_batch_size=4",
        "--data.loading.workers=0",
        "--trainer.accelerator=cpu",
        "--trainer.precision=32",
        "--trainer.max_epochs=1",
        "--data.clips.frames=4",
        *QUIET,
    ]
