import csv
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from ost_lightning.callbacks import PredictionWriter
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from tests.videos import write_video


def test_every_video_has_a_row_also_one_that_cannot_be_read(tmp_path: Path) -> None:
    for k in range(3):
        write_video(tmp_path / f"{k}.mp4", 8, width=64, height=64, seed=k)
    (tmp_path / "broken.mp4").write_bytes(b"x")
    (tmp_path / "classes.txt").write_text("juggling, with fire\nswimming\n")
    (tmp_path / "list.txt").write_text("0.mp4 0\nbroken.mp4 0\n1.mp4 1\n2.mp4 1\n")
    data = VideoLists(
        tmp_path,
        test={"own": VideoList(tmp_path / "list.txt", str(tmp_path))},
        clips=ClipSettings(frames=2, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, evaluation_batch_size=3),
    )
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
        callbacks=[PredictionWriter(tmp_path / "out")],
    )
    with pytest.warns(UserWarning, match="broken"):
        trainer.predict(task, datamodule=data, return_predictions=False)
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ["video", "error", "class_1", "probability_1"]
    assert [row[0] for row in rows] == ["0.mp4", "broken.mp4", "1.mp4", "2.mp4"]
    assert "not a readable video" in rows[1][1]
    for row in (rows[0], rows[2], rows[3]):
        assert {row[2], row[4]} == {"juggling, with fire", "swimming"}
        assert float(row[3]) + float(row[5]) == pytest.approx(1, abs=1e-3)
