"""Your own videos, in tables."""

import csv
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ost_lightning.cli import main
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoTable
from ost_lightning.errors import UserError
from ost_lightning.video.annotations import Columns
from tests.datamodules.miniatures import label_space, tiny_video, write

QUIET = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL = ["--data.clips.frames=2", "--data.clips.short_side=54", "--data.clips.crop_size=48"]
SMALL += ["--data.loading.global_batch_size=2", "--data.loading.workers=0", *QUIET]
BY_NAME = ["--model.matcher=CategoryName"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def metrics(version: int) -> dict[str, str]:
    with Path(f"runs/toyworld/version_{version}/metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))[-1]


def test_tables_through_the_command() -> None:
    for k in range(4):
        tiny_video(Path("clips") / f"{k}.mp4", k % 2)
    write(Path("train.csv"), "path,label\n0.mp4,juggling\n1.mp4,jump rope\n2.mp4,juggling\n3.mp4,jump rope\n")
    table = pa.table(
        {"path": ["0.mp4", "1.mp4"], "label": ["juggling", "jump rope"], "start": [0.0, 0.1], "end": [0.1, 0.2]}
    )
    parquet.write_table(table, "test.parquet")
    options = ["--config=toyworld", "--data=VideoTable", "--data.root=clips", "--data.train=train.csv"]
    options += ["--data.test={own: test.parquet}", *SMALL, *BY_NAME]
    assert main(["fit", *options, "--trainer.max_steps=2"]) == 0
    assert main(["test", *options]) == 0
    assert float(metrics(1)["test/own/videos"]) == 2


def test_tables_without_labels_are_for_prediction_with_a_label_space() -> None:
    write(Path("test.csv"), "path\n0.mp4\n")
    label_space(Path("other"), "kinetics400", ("juggling balls",))
    data = VideoTable(".", test={"own": Path("test.csv")}, labels="other")
    assert [record.label for record in data.evaluation_videos("predict")["own"].records] == [-1]
    with pytest.raises(UserError, match=r"test\.csv:1: the column 'label' is missing"):
        data.evaluation_videos("test")
    with pytest.raises(UserError, match=r"test\.csv:1: the column 'label' is missing"):
        VideoTable(".", test={"own": Path("test.csv")}).evaluation_videos("predict")


def test_classes_of_tables_are_those_of_the_training_table() -> None:
    write(Path("train.csv"), "clip,action\n0.mp4,swim\n1.mp4,dive\n")
    write(Path("test.csv"), "clip,action\n0.mp4,swim\n")
    columns = Columns(path="clip", label="action")
    data = VideoTable(".", Path("train.csv"), test={"own": Path("test.csv")}, columns=columns)
    assert data.evaluation_videos("test")["own"].labels.names == ("dive", "swim")
    with pytest.raises(UserError, match=r"descriptors\.json in the folder of a label space, and set the data's"):
        data.evaluation_videos("test")["own"].labels.descriptors_of("spatio", 1)
    alone = VideoTable(".", test={"own": Path("test.csv")}, columns=columns)
    assert alone.evaluation_videos("test")["own"].labels.names == ("swim",)
    with pytest.raises(UserError, match="nothing to train on"):
        alone.training_videos()
    loading = LoadingSettings(global_batch_size=1)
    with pytest.raises(UserError, match=r"2 of 2 listed videos of the training set are missing\. The first is 0"):
        VideoTable(".", Path("train.csv"), columns=columns, clips=ClipSettings(), loading=loading).setup("fit")
