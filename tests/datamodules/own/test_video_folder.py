"""Your own videos, in folders."""

import csv
import json
import logging
import os
import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.datamodules import VideoFolder
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.video import UNLABELED
from ost_lightning.video.annotations.video_ids import video_id
from tests.datamodules.miniatures import label_space, tiny_video, write

QUIET = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
SMALL = ["--data.clips.frames=2", "--data.clips.short_side=54", "--data.clips.crop_size=48"]
SMALL += ["--data.loading.global_batch_size=2", "--data.loading.workers=0", *QUIET]
BY_NAME = ["--model.matcher=CategoryName"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def folders(root: Path) -> Path:
    for part in ("train", "test"):
        for seed, name in enumerate(("jump_rope", "juggling")):
            for k in range(2):
                tiny_video(root / part / name / f"{k}.mp4", seed)
            write(root / part / name / "notes.txt", "not a video")
    return root


def metrics(version: int) -> dict[str, str]:
    with Path(f"runs/toyworld/version_{version}/metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))[-1]


def test_class_folders_through_the_command() -> None:
    folders(Path("own"))
    options = ["--config=toyworld", "--data=VideoFolder", "--data.root=own", *SMALL, *BY_NAME]
    assert main(["fit", *options, "--trainer.max_steps=2"]) == 0
    assert main(["test", *options]) == 0
    assert float(metrics(1)["test/test/videos"]) == 4


def test_videos_may_have_any_name_but_classes_are_text() -> None:
    root = folders(Path("own"))
    odd = os.fsdecode(b"caf\xe9")
    (root / "test/juggling/1.mp4").rename(root / f"test/juggling/{odd}.mp4")
    videos = VideoFolder(root).evaluation_videos("test")["test"]
    assert not videos.missing
    assert f"test/juggling/{odd}.mp4" in [record.id for record in videos.records]
    (root / "test/juggling").rename(root / "test" / odd)
    with pytest.raises(UserError, match=r"class folder own/test/caf.* is not UTF-8 text.* b'caf\\xe9'"):
        VideoFolder(root).evaluation_videos("test")


def test_class_names_come_from_folders_from_a_file_or_from_a_label_space() -> None:
    root = folders(Path("own"))
    videos = VideoFolder(root).training_videos()
    assert videos.labels.names == ("juggling", "jump rope")
    assert [(record.id, record.label) for record in videos.records] == [
        ("train/juggling/0.mp4", 0),
        ("train/juggling/1.mp4", 0),
        ("train/jump_rope/0.mp4", 1),
        ("train/jump_rope/1.mp4", 1),
    ]
    write(root / "classes.txt", "skipping\tjump_rope\nswimming\njuggling\n")
    videos = VideoFolder(root).evaluation_videos("test")["test"]
    assert [videos.labels.names[record.label] for record in videos.records] == ["juggling"] * 2 + ["skipping"] * 2
    write(root / "classes.txt", "jump rope\njuggling\n")
    videos = VideoFolder(root).evaluation_videos("test")["test"]
    assert [record.label for record in videos.records] == [1, 1, 0, 0]
    label_space(Path("other"), "kinetics400", ("juggling balls",))
    with pytest.raises(UserError, match=r"own/train/juggling: 'juggling' is not one of the 1 classes .*Did you mean"):
        VideoFolder(root, labels="other").training_videos()


def test_classes_without_test_videos_keep_their_labels() -> None:
    for name in ("train/dive/0.mp4", "train/swim/0.mp4", "test/swim/1.mp4", "test/walk/1.mp4"):
        write(Path("own") / name, "")
    videos = VideoFolder(Path("own")).evaluation_videos("test")["test"]
    assert videos.labels.names == ("dive", "swim", "walk")
    assert [(record.id, record.label) for record in videos.records] == [("test/swim/1.mp4", 1), ("test/walk/1.mp4", 2)]


def test_a_folder_name_that_fits_two_classes_is_refused() -> None:
    tiny_video(Path("own/train/a_b_c/0.mp4"), 0)
    write(Path("own/classes.txt"), "a_b c\na b_c\n")
    with pytest.raises(UserError, match="'a_b_c' is not one of the 2 classes"):
        VideoFolder(Path("own")).training_videos()
    write(Path("own/classes.txt"), "a_b c\na b_c\na_b_c\n")
    assert VideoFolder(Path("own")).training_videos().records[0].label == 2


def test_descriptors_beside_the_class_folders_are_used() -> None:
    root = folders(Path("own"))
    entry = {"spatio": ["a rope", "a gym"], "temporal": ["jumps", "lands"]}
    write(root / "descriptors.json", json.dumps({"classes": {"jump rope": entry, "juggling": entry}}))
    options = ["--config=toyworld", "--data=VideoFolder", "--data.root=own", *SMALL]
    assert main(["test", *options, "--model.descriptors_per_class=2"]) == 0
    labels = LabelSpace.load("own")
    assert labels.descriptors_of("spatio", 1) == (("a rope",), ("a rope",))
    assert labels == VideoFolder(root).training_videos().labels


def test_other_files_and_classes_without_videos_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    root = folders(Path("own"))
    write(root / "train/juggling/2.MTS", "")
    write(root / "train/swimming/.hidden.mp4", "")
    videos = VideoFolder(root).training_videos()
    assert videos.records[2].id == "train/juggling/2.MTS"
    assert "own/train: Skipped files without a video extension: 2, such as juggling/notes.txt." in caplog.text
    assert "Classes without videos: swimming." in caplog.text


def test_a_folder_of_frames_is_a_video_and_a_test_folder_without_training_is_enough() -> None:
    root = folders(Path("own"))
    write(root / "test" / "juggling" / "extracted" / "img_00001.jpg", "")
    sets = VideoFolder(root / "test", test=".").evaluation_videos("test")
    assert [record.id for record in sets["test"].records][2] == "test/juggling/extracted"
    assert not sets["test"].missing
    assert VideoFolder(root).evaluation_videos("val") == {}


def test_equal_names_in_two_parts_are_different_videos() -> None:
    root = folders(Path("own"))
    ids = {
        part: {video_id(record.id) for record in VideoFolder(root, test=part).evaluation_videos("test")["test"].records}
        for part in ("train", "test")
    }
    assert len(ids["train"]) == len(ids["test"]) == 4
    assert not ids["train"] & ids["test"]
    below = VideoFolder(root / "train", test=".").evaluation_videos("test")["test"]
    assert {video_id(record.id) for record in below.records} == ids["train"]


def test_folders_without_videos_are_named() -> None:
    with pytest.raises(UserError, match="The folder nowhere/train does not exist"):
        VideoFolder(Path("nowhere")).training_videos()
    Path("empty/train").mkdir(parents=True)
    with pytest.raises(UserError, match="empty/train has no subfolders"):
        VideoFolder(Path("empty")).training_videos()
    Path("empty/train/running").mkdir()
    with pytest.raises(UserError, match="contain no videos"):
        VideoFolder(Path("empty")).training_videos()


def predicted(data: VideoFolder) -> list[tuple[str, int]]:
    return [(record.id, record.label) for record in data.evaluation_videos("predict")["test"].records]


def test_a_flat_folder_without_labels_can_be_predicted() -> None:
    for name in ("new/1.mp4", "new/camera 2/night/2.MOV", "new/notes.txt", "new/.hidden.mp4", "new/frames/1.jpg"):
        write(Path(name), "")
    label_space(Path("own"), "kinetics400", ("juggling balls", "archery"))
    found = [("1.mp4", UNLABELED), ("camera 2/night/2.MOV", UNLABELED), ("frames", UNLABELED)]
    assert predicted(VideoFolder(Path("new"), labels="own")) == found
    label_space(Path("new"), "kinetics400", ("archery",))
    assert predicted(VideoFolder(Path("new"))) == found
    assert VideoFolder(Path("new"), labels="own").evaluation_videos("predict")["test"].labels.names[1] == "archery"


def test_what_is_predicted_without_classes_is_refused() -> None:
    write(Path("new/1.mp4"), "")
    with pytest.raises(UserError, match=r"Nothing says which classes the videos of new may show\. Set the data's `lab"):
        VideoFolder(Path("new")).evaluation_videos("predict")
    write(Path("nothing/readme.txt"), "")
    with pytest.raises(UserError, match=r"nothing contains no videos\. Skipped files .*: 1, such as readme\.txt\."):
        VideoFolder(Path("nothing"), labels="kinetics400").evaluation_videos("predict")
    with pytest.raises(UserError, match="The folder nowhere does not exist"):
        VideoFolder(Path("nowhere"), labels="kinetics400").evaluation_videos("predict")


def test_known_class_folders_are_labels_of_a_prediction() -> None:
    root = folders(Path("own"))
    write(root / "test/unsorted/3.mp4", "")
    write(root / "classes.txt", "juggling\njump rope\n")
    rows = predicted(VideoFolder(root))
    assert [label for _, label in rows] == [0, 0, 1, 1, UNLABELED]
    assert [label for _, label in predicted(VideoFolder(root, test="train"))] == [0, 0, 1, 1]
