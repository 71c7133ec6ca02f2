import csv
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from ost_lightning.callbacks import PredictionWriter
from ost_lightning.datamodules import ClipSettings, LoadingSettings, VideoList, VideoLists
from ost_lightning.files import unescape_bytes
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.video import AnnotationError
from tests.videos import write_video

ABOUT = ["video", "set", "start", "end", "label", "error"]


def predicted(folder: Path, test: Mapping[str, VideoList], **loading: object) -> list[dict[str, str]]:
    """Predicts, and returns the rows of `predictions.csv`, checked against its header."""
    data = VideoLists(
        folder,
        test=dict(test),
        clips=ClipSettings(frames=2, short_side=54, crop_size=48),
        loading=LoadingSettings(**{"workers": 0, "evaluation_batch_size": 3, **loading}),
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[PredictionWriter(folder / "out")],
    )
    task = ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())
    trainer.predict(task, datamodule=data, return_predictions=False)
    with (folder / "out" / "predictions.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:8] == [*ABOUT, "class_1", "probability_1"]
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos of two classes."""
    for k in range(3):
        write_video(tmp_path / f"{k}.mp4", 8, width=64, height=64, seed=k)
    (tmp_path / "classes.txt").write_text("juggling, with fire\nswimming\n")
    return tmp_path


def test_every_video_has_a_row_even_an_unreadable_one(folder: Path) -> None:
    (folder / "broken.mp4").write_bytes(b"x")
    odd = os.fsdecode(b"caf\xe9.mp4")  # not UTF-8
    (folder / "2.mp4").rename(folder / odd)
    (folder / "list.txt").write_bytes(b"0.mp4 0\nbroken.mp4 0\n1.mp4 1\ncaf\xe9.mp4 1\n")
    with pytest.warns(UserWarning, match="broken"):
        rows = predicted(folder, {"own": VideoList(folder / "list.txt", str(folder))})
    assert [unescape_bytes(row["video"]) for row in rows] == ["0.mp4", "broken.mp4", "1.mp4", odd]
    assert [row["label"] for row in rows] == ["juggling, with fire"] * 2 + ["swimming"] * 2
    assert "not a readable video" in rows[1]["error"]
    assert not rows[1]["class_1"]
    for row in (rows[0], rows[2], rows[3]):
        assert {row["class_1"], row["class_2"]} == {"juggling, with fire", "swimming"}
        assert float(row["probability_1"]) + float(row["probability_2"]) == pytest.approx(1, abs=1e-3)
        assert (row["error"], row["start"], row["end"], row["class_3"]) == ("", "", "", "")
        place = 1 if row["class_1"] == row["label"] else 2
        assert row["label_probability"] == row[f"probability_{place}"]
    assert [unescape_bytes(row["path"]) for row in rows] == [str(folder / unescape_bytes(row["video"])) for row in rows]
    assert rows[1]["label_probability"] == ""


@pytest.mark.parametrize("cached", [False, True])
def test_parts_of_videos_are_not_mixed_up(folder: Path, cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OST_CACHE", str(folder / "cache"))
    (folder / "broken.mp4").write_bytes(b"x")
    # the last three share an id
    (folder / "own.csv").write_text(
        "path,label,start,end,id\n0.mp4,0,0,0.2,\n0.mp4,1,0.2,,\nbroken.mp4,1,,,same\n1.mp4,0,,,same\n2.mp4,1,,0.2,same\n"
    )
    listed = {"own": VideoList(folder / "own.csv", str(folder))}
    size = {"embedding_cache_gigabytes": 1 if cached else 0}
    with pytest.warns(UserWarning, match="broken"):
        one_by_one = predicted(folder, listed, evaluation_batch_size=1, **size)
    with pytest.warns(UserWarning, match="broken"):
        together = predicted(folder, listed, evaluation_batch_size=8, **size)
    assert together == one_by_one
    assert [[row[name] for name in ABOUT[:5]] for row in together] == [
        ["0.mp4@0-0.2", "own", "0.0", "0.2", "juggling, with fire"],
        ["0.mp4@0.2-", "own", "0.2", "", "swimming"],
        ["same", "own", "", "", "swimming"],
        ["same", "own", "", "", "juggling, with fire"],
        ["same", "own", "", "0.2", "swimming"],
    ]
    assert [bool(row["error"]) for row in together] == [False, False, True, False, False]
    assert len({(row["class_1"], row["probability_1"]) for row in together}) == 5
    # an id of several videos has no path
    assert [row["path"] for row in together] == [str(folder / "0.mp4")] * 2 + [""] * 3


def test_videos_without_labels_can_only_be_predicted(folder: Path) -> None:
    (folder / "list.txt").write_text("0.mp4\n1.mp4 1\n")
    (folder / "own.csv").write_text("path,end\n2.mp4,0.2\n")
    rows = predicted(folder, {name: VideoList(folder / name, str(folder)) for name in ("list.txt", "own.csv")})
    assert [(row["video"], row["label"]) for row in rows] == [("0.mp4", ""), ("1.mp4", "swimming"), ("2.mp4@0-0.2", "")]
    assert all(row["class_1"] for row in rows)
    assert [bool(row["label_probability"]) for row in rows] == [False, True, False]
    listed = VideoList(folder / "list.txt", str(folder))
    data = VideoLists(folder, listed, val={"own": listed}, test={"own": listed})
    for stage in ("fit", "validate", "test"):
        with pytest.raises(AnnotationError, match=r"list\.txt:1: '0\.mp4' has no label"):
            data.setup(stage)


def test_each_row_names_its_evaluation_set(folder: Path) -> None:
    (folder / "list.txt").write_text("0.mp4 1\n")
    (folder / "other").mkdir()
    (folder / "other" / "classes.txt").write_text("running\ndiving\nflying\n")
    listed = {
        name: VideoList(folder / "list.txt", str(labels)) for name, labels in (("a", folder), ("b", folder / "other"))
    }
    rows = predicted(folder, listed)
    assert [(row["video"], row["set"], row["label"]) for row in rows] == [
        ("0.mp4", "a", "swimming"),
        ("0.mp4", "b", "diving"),
    ]
    assert {rows[1][f"class_{k}"] for k in (1, 2, 3)} == {"running", "diving", "flying"}
