"""The six data sets, as miniatures in their publishers' layouts, through the real command and the data modules."""

import csv
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ost_lightning.cli import main
from ost_lightning.datamodules import (
    HMDB51,
    UCF101,
    ActivityNet,
    CombinedDataModule,
    Kinetics400,
    Kinetics600,
    LabeledVideos,
    ListFiles,
    SomethingSomethingV2,
)
from ost_lightning.datamodules.settings import ClipSettings, LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from tests.datamodules import miniatures
from tests.videos import decode_all

HMDB = ("brush_hair", "kick", "kick_ball")
UCF = ("ApplyEyeMakeup", "HandstandPushups")
SSV2 = ("Pushing [something] from left to right", "Showing that [something] is empty")
SSV2_NAMES = ("Pushing something from left to right", "Showing that something is empty")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def kinetics400_data() -> tuple[str, list[str]]:
    miniatures.kinetics(Path("data"), ("archery", "yoga"))
    miniatures.label_space(Path("few"), "kinetics400", ("yoga", "archery"))
    return "Kinetics400", ["few"]


def kinetics600_data() -> tuple[str, list[str]]:
    miniatures.kinetics(Path("data"), ("archery", "winking"), by_class=False)
    miniatures.label_space(Path("few"), "kinetics600", ("winking", "archery"))
    return "Kinetics600", ["few"]


def ucf101_data() -> tuple[str, list[str]]:
    miniatures.ucf101(Path("data"), UCF)
    miniatures.label_space(Path("few"), "ucf101", ("handstand pushups", "apply eye makeup"))
    return "UCF101", [f"few-split{k}" for k in (1, 2, 3)]


def hmdb51_data() -> tuple[str, list[str]]:
    miniatures.hmdb51(Path("data"), HMDB)
    miniatures.label_space(Path("few"), "hmdb51", ("kick ball", "kick", "brush hair"))
    return "HMDB51", [f"few-split{k}" for k in (1, 2, 3)]


def ssv2_data() -> tuple[str, list[str]]:
    miniatures.ssv2(Path("data"), SSV2, {name: LabelSpace.load("ssv2").names.index(name) for name in SSV2_NAMES})
    miniatures.label_space(Path("few"), "ssv2", SSV2_NAMES)
    return "SomethingSomethingV2", ["few"]


def activitynet_data() -> tuple[str, list[str]]:
    miniatures.activitynet(Path("data"), ("Mooping floor", "Archery"))
    miniatures.label_space(Path("few"), "activitynet", ("Archery", "Mopping floor"))
    return "ActivityNet", ["few"]


def options(name: str) -> list[str]:
    chosen = ["--config=toyworld", f"--data={name}", "--data.root=data", "--data.labels=few"]
    chosen += ["--data.clips.frames=2", "--data.clips.short_side=54", "--data.clips.crop_size=48"]
    chosen += ["--data.loading.global_batch_size=2", "--data.loading.workers=0", "--tracking.wandb=false"]
    chosen += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    if name in ("UCF101", "HMDB51", "Kinetics600"):
        chosen.append("--data.splits=[1,2,3]" if name != "Kinetics600" else "--data.splits=[]")
    return chosen


DATA_SETS = [kinetics400_data, kinetics600_data, ucf101_data, hmdb51_data, ssv2_data, activitynet_data]


@pytest.mark.parametrize("make", DATA_SETS, ids=lambda make: make.__name__)
def test_the_command_trains_and_tests_on_a_miniature(make: Callable[[], tuple[str, list[str]]]) -> None:
    name, sets = make()
    labels = LabelSpace.load("few")
    assert main(["fit", *options(name), "--trainer.max_steps=2"]) == 0
    assert main(["test", *options(name), "--ckpt_path=runs/toyworld/version_0/checkpoints/last.ckpt"]) == 0
    with Path("runs/toyworld/version_1/metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    for wanted in sets:
        assert float(row[f"test/{wanted}/videos"]) == 2 * len(labels)
        assert 0 <= float(row[f"test/{wanted}/top1"]) <= 1


def labels_of(videos: LabeledVideos) -> dict[str, str]:
    """Class names by id."""
    return {record.id: videos.labels.names[record.label] for record in videos.records}


def test_classes_follow_the_publishers_files_whatever_the_order_of_the_label_space() -> None:
    hmdb51_data()
    data = HMDB51("data", splits=(2,), labels="few")
    for videos in (data.training_videos(), data.evaluation_videos("test")["few-split2"]):
        assert not videos.missing
        assert len(videos.records) == 6
        assert all(class_.replace(" ", "_") in id_ for id_, class_ in labels_of(videos).items())
        assert sum("kick_ball" in id_ for id_ in labels_of(videos)) == 2
        assert all(("kick_ball" in id_) == (class_ == "kick ball") for id_, class_ in labels_of(videos).items())


@pytest.mark.parametrize("below", ["", "videos"])
def test_videos_may_lie_all_together(below: str) -> None:
    hmdb51_data()
    ucf = miniatures.ucf101(Path("ucf"), UCF)
    miniatures.label_space(Path("few-ucf"), "ucf101", ("handstand pushups", "apply eye makeup"))
    for root in (Path("data"), ucf):
        (root / below).mkdir(exist_ok=True)
        for path in list(root.rglob("*.avi")):
            path.rename(root / below / path.name)
    assert not HMDB51("data", labels="few").training_videos().missing
    assert not UCF101("ucf", labels="few-ucf").training_videos().missing


def test_parts_of_a_label_space_are_test_sets_of_their_own() -> None:
    miniatures.ucf101(Path("data"), UCF)
    miniatures.label_space(Path("base"), "ucf101", ("apply eye makeup",))
    miniatures.label_space(Path("novel"), "ucf101", ("handstand pushups",))
    sets = UCF101("data", labels="base", test_labels=["base", "novel"], splits=(1,)).evaluation_videos("test")
    assert {name: len(videos.records) for name, videos in sets.items()} == {"base-split1": 2, "novel-split1": 2}
    assert set(labels_of(sets["novel-split1"]).values()) == {"handstand pushups"}


def test_shots_are_drawn_by_seed_and_from_split_one() -> None:
    miniatures.ucf101(Path("data"), UCF, videos=4)
    miniatures.label_space(Path("few"), "ucf101", ("handstand pushups", "apply eye makeup"))
    draws = [labels_of(UCF101("data", labels="few", shots=2, shots_seed=seed).training_videos()) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    for drawn in draws:
        assert sorted(drawn.values()) == ["apply eye makeup"] * 2 + ["handstand pushups"] * 2
        assert drawn.keys() <= labels_of(UCF101("data", labels="few").training_videos()).keys()
    with pytest.raises(UserError, match="2 of 2 classes have fewer than 5 videos"):
        UCF101("data", labels="few", shots=5).training_videos()


def test_released_lists_stand_in_for_the_publishers_files() -> None:
    miniatures.ucf101(Path("data"), UCF)
    miniatures.label_space(Path("few"), "ucf101", ("apply eye makeup", "handstand pushups"))
    odd = "v_HandStandPushups_g01_c01.avi"  # the publisher's spelling of these files
    shutil.move("data/UCF-101/HandstandPushups/v_HandstandPushups_g01_c01.avi", f"data/{odd}")
    lines = ["v_ApplyEyeMakeup_g01_c01.avi 0", "v_ApplyEyeMakeup_g03_c01.avi 0", f"{odd} 1"]
    Path("train_2.txt").write_text("\n".join([*lines, "v_HandstandPushups_g03_c01.avi 1"]))
    lists = ListFiles(train="train_{shots}.txt", test="val{split}.txt")
    videos = UCF101("data", labels="few", shots=2, lists=lists).training_videos()
    assert not videos.missing
    assert list(labels_of(videos).values()) == ["apply eye makeup"] * 2 + ["handstand pushups"] * 2
    with pytest.raises(UserError, match=r"train_3\.txt does not exist"):
        UCF101("data", labels="few", shots=3, lists=lists).training_videos()
    shutil.copy("train_2.txt", "train_3.txt")
    with pytest.raises(UserError, match=r"is not a list of 3 shots: it has 2 videos of 'apply eye makeup'"):
        UCF101("data", labels="few", shots=3, lists=lists).training_videos()
    with pytest.raises(UserError, match="has a field in braces that this run gives no value for"):
        UCF101("data", labels="few", lists=lists).training_videos()


def test_a_list_whose_numbers_contradict_its_file_names_is_refused() -> None:
    miniatures.hmdb51(Path("data"), ("kick", "kick_ball"))
    kick, kick_ball = "Film_0_kick_f_cm_np1_ba_med_0.avi", "Film_0_kick_ball_f_cm_np1_ba_med_0.avi"
    Path("val1.txt").write_text(f"{kick} 20\n{kick_ball} 21\n")
    lists = ListFiles(test="val{split}.txt")
    right = HMDB51("data", lists=lists).evaluation_videos("test")["hmdb51-split1"]
    assert labels_of(right) == {kick: "kick", kick_ball: "kick ball"}
    swapped = HMDB51("data", lists=lists, labels="hmdb51-released")
    with pytest.raises(UserError, match=r"val1\.txt: by its name \S+ shows 'kick', but its label 20 is 'kick ball'"):
        swapped.evaluation_videos("test")
    trusted = ListFiles(test="val{split}.txt", ignore_name_mismatch=True)
    as_released = HMDB51("data", lists=trusted, labels="hmdb51-released").evaluation_videos("test")
    assert labels_of(as_released["hmdb51-released-split1"]) == {kick: "kick ball", kick_ball: "kick"}


def test_activities_are_recognized_by_segment_or_by_video() -> None:
    activitynet_data()
    videos = ActivityNet("data", labels="few").evaluation_videos("test")["few"]
    segments = ActivityNet("data", labels="few", unit="segment").evaluation_videos("test")["few"]
    assert (len(videos.records), len(segments.records)) == (4, 8)
    assert (segments.records[1].start, segments.records[1].end) == (0.1, 0.2)
    assert not segments.missing


def test_zero_shot_splits_of_kinetics600_have_their_own_label_spaces() -> None:
    miniatures.kinetics(Path("data"), ("archery", "winking", "alligator wrestling"))
    sets = Kinetics600("data").evaluation_videos("test")
    for number in (1, 2, 3):
        labels = LabelSpace.load(f"k600-split{number}")
        videos = sets[f"k600-split{number}"]
        assert videos.labels.names == labels.names
        expected = {name for name in ("archery", "winking", "alligator wrestling") if name in labels.names}
        assert set(labels_of(videos).values()) == expected


def test_the_released_lists_of_kinetics600_name_videos_of_all_parts() -> None:
    labels = LabelSpace.load("k600-split1")
    first, second = labels.published[:2]
    miniatures.kinetics(Path("data"), (first, second))
    in_train, in_val, in_test = "t0000_00000_000000_000010", "v0000_00000_000000_000010", "v0001_00000_000000_000010"
    (Path("data/test") / second).mkdir(parents=True)
    shutil.move(f"data/val/{second}/{in_test}.mp4", f"data/test/{second}/{in_test}.mp4")
    Path("ZS_split1.txt").write_text(f"{in_train}.mp4 0\n{in_val}.mp4 0\n{in_test}.mp4 1\n")
    lists = ListFiles(test="ZS_split{split}.txt")
    videos = Kinetics600("data", splits=(1,), lists=lists).evaluation_videos("test")["k600-split1"]
    assert [str(record.path) for record in videos.found] == [
        f"data/train/{first}/{in_train}.mp4",
        f"data/val/{first}/{in_val}.mp4",
        f"data/test/{second}/{in_test}.mp4",
    ]
    # where the same video is in two parts, the one in val is taken
    shutil.copy(f"data/train/{first}/{in_train}.mp4", f"data/val/{first}/{in_train}.mp4")
    videos = Kinetics600("data", splits=(1,), lists=lists).evaluation_videos("test")["k600-split1"]
    assert str(videos.records[0].path) == f"data/val/{first}/{in_train}.mp4"
    chosen = Kinetics600("data", splits=(1,), lists=lists, test_parts=["test"]).evaluation_videos("test")
    assert chosen["k600-split1"].missing == {0, 1}


def test_something_something_is_not_mirrored_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from ost_lightning.datamodules import base

    drawn = []
    original = base.TrainingTransform
    monkeypatch.setattr(base, "TrainingTransform", lambda size, **kw: drawn.append(kw["flip"]) or original(size, **kw))
    ssv2_data()
    miniatures.kinetics(Path("k400"), ("archery", "yoga"))
    miniatures.label_space(Path("few400"), "kinetics400", ("yoga", "archery"))
    loading = LoadingSettings(global_batch_size=2, workers=0)
    for data in (
        SomethingSomethingV2("data", labels="few", loading=loading),
        SomethingSomethingV2("data", labels="few", clips=ClipSettings(flip=0.5), loading=loading),
        CombinedDataModule(train=SomethingSomethingV2("data", labels="few"), loading=loading),
        Kinetics400("k400", labels="few400", loading=loading),
        Kinetics400("k400", labels="few400", clips=ClipSettings(flip=0.1), loading=loading),
    ):
        data.setup("fit")
        data.train_dataloader()
    assert drawn == [0.0, 0.5, 0.0, 0.5, 0.1]


def test_numbers_of_the_publisher_are_compared_with_the_label_space() -> None:
    miniatures.ssv2(Path("data"), SSV2, {SSV2_NAMES[0]: 3})
    miniatures.label_space(Path("few"), "ssv2", SSV2_NAMES)
    with pytest.raises(UserError, match=r"labels\.json: 'Pushing .*' has the number 3; in the label space it is 93"):
        SomethingSomethingV2("data", labels="few").training_videos()


def test_videos_that_are_not_there_are_told_before_anything_begins(capsys: pytest.CaptureFixture[str]) -> None:
    hmdb51_data()
    Path("data/kick/Film_0_kick_f_cm_np1_ba_med_0.avi").unlink()
    assert main(["test", *options("HMDB51")]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "1 of 6 listed videos of few-split1 are missing, the first of them Film_0_kick_f_cm_np1_ba_med_0.avi" in told
    assert "looked for kick/Film_0_kick_f_cm_np1_ba_med_0.avi, Film_0" in told
    assert "skip" in told
    assert main(["test", *options("HMDB51"), "--data.loading.on_missing=skip"]) == 0
    with next(Path("runs/toyworld").glob("*/metrics.csv")).open(newline="") as file:
        assert float(next(csv.DictReader(file))["test/few-split1/videos"]) == 5
    shutil.rmtree("data/kick")
    shutil.rmtree("data/kick_ball")
    shutil.rmtree("data/brush_hair")
    assert main(["test", *options("HMDB51"), "--data.loading.on_missing=skip"]) == 1
    assert "6 of 6 listed videos" in " ".join(capsys.readouterr().err.split())


def test_videos_may_lie_in_tar_shards_or_have_another_extension() -> None:
    hmdb51_data()
    videos = sorted(path for path in Path("data").rglob("*.avi"))
    with tarfile.open("data/shard-000000.tar", "w") as shard:
        for path in videos[:6]:
            shard.add(path, str(path.relative_to("data")))
            path.unlink()
    for path in videos[6:]:
        path.rename(path.with_suffix(".mp4"))
    assert not HMDB51("data", labels="few").training_videos().missing
    assert main(["test", *options("HMDB51")]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))["test/few-split2/videos"]) == 6


def test_videos_may_be_folders_of_frames() -> None:
    hmdb51_data()
    videos = sorted(Path("data").rglob("*.avi"))
    for path in videos[::2]:
        path.with_suffix("").mkdir()
        for number, pixels in enumerate(decode_all(path), start=1):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path.with_suffix("") / f"img_{number:05d}.jpg")
        path.unlink()
    assert not HMDB51("data", labels="few").training_videos().missing
    assert main(["test", *options("HMDB51")]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (float(row["test/few-split1/videos"]), float(row["test/few-split1/undecodable"])) == (6, 0)


def test_annotation_files_that_are_not_there_are_named_with_the_places() -> None:
    miniatures.kinetics(Path("data"), ("archery",))
    shutil.rmtree("data/annotations")
    with pytest.raises(UserError, match=r"train\.csv or kinetics400_train\.csv .* is not in data, data/annotations"):
        Kinetics400("data").training_videos()
    with pytest.raises(UserError, match=r"is not in elsewhere\. Set"):
        Kinetics400("data", annotations=Path("elsewhere")).training_videos()
    with pytest.raises(UserError, match=r"splits is \[4\]: expected distinct numbers from 1 to 3"):
        HMDB51("data", splits=(4,))


def test_a_class_that_the_data_set_has_not_is_named() -> None:
    hmdb51_data()
    miniatures.write(Path("mine/classes.txt"), "brush hair\nflying\n")
    with pytest.raises(UserError, match="has a class 'flying', which hmdb51 does not have"):
        HMDB51("data", labels="mine").training_videos()


def test_several_data_sets_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    miniatures.hmdb51(Path("hmdb"), HMDB)
    miniatures.ucf101(Path("ucf"), UCF)
    miniatures.label_space(Path("few-hmdb"), "hmdb51", ("kick ball", "kick", "brush hair"))
    miniatures.label_space(Path("few-ucf"), "ucf101", ("handstand pushups", "apply eye makeup"))
    Path("several.yaml").write_text(
        """
data:
  class_path: CombinedDataModule
  init_args:
    test:
      - class_path: HMDB51
        init_args: {root: hmdb, labels: few-hmdb, splits: [1, 2, 3]}
      - class_path: UCF101
        init_args: {root: ucf, labels: few-ucf, splits: [1, 2, 3]}
    clips: {frames: 2, short_side: 54, crop_size: 48}
    loading: {workers: 0}
"""
    )
    quiet = ["--config=toyworld", "--config=several.yaml", "--tracking.wandb=false"]
    quiet += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    assert main(["test", *quiet]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    counts = {f"few-hmdb-split{k}": 6.0 for k in (1, 2, 3)} | {f"few-ucf-split{k}": 4.0 for k in (1, 2, 3)}
    assert {name: float(row[f"test/{name}/videos"]) for name in counts} == counts
    with pytest.raises(UserError, match="`clips` is set for HMDB51 inside CombinedDataModule"):
        CombinedDataModule(test=[HMDB51("hmdb", clips=ClipSettings(frames=3))])
    with pytest.raises(UserError, match="nothing to train on"):
        CombinedDataModule(test=[HMDB51("hmdb")]).training_videos()
