"""The six data sets, as miniatures in their publishers' layouts, through the real command and the data modules."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from ost_lightning.datamodules import (
    HMDB51,
    UCF101,
    ActivityNet,
    CombinedDataModule,
    Kinetics400,
    Kinetics600,
    LabeledVideos,
    ListFiles,
    PublishedDataModule,
    SomethingSomethingV2,
    SplitDataModule,
    VideoDataModule,
)
from ost_lightning.datamodules.settings import LoadingSettings
from ost_lightning.errors import UserError
from ost_lightning.evaluation import ClipSettings
from ost_lightning.models.encoders import Preprocessing
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from ost_lightning.video.annotations import ClassIndex
from ost_lightning.vocabulary import Part
from tests.datamodules import miniatures
from tests.datamodules.miniatures import SSV2, SSV2_NAMES, UCF, activitynet_data, hmdb51_data, ssv2_data


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


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
def test_videos_may_share_one_folder(below: str) -> None:
    hmdb51_data()
    ucf = miniatures.ucf101(Path("ucf"), UCF)
    miniatures.label_space(Path("few-ucf"), "ucf101", ("handstand pushups", "apply eye makeup"))
    for root in (Path("data"), ucf):
        (root / below).mkdir(exist_ok=True)
        for path in list(root.rglob("*.avi")):
            path.rename(root / below / path.name)
    assert not HMDB51("data", labels="few").training_videos().missing
    assert not UCF101("ucf", labels="few-ucf").training_videos().missing


def test_folders_of_kinetics_have_blanks_or_underscores_and_may_be_missing() -> None:
    miniatures.kinetics(Path("data"), ("making tea",))
    miniatures.label_space(Path("few"), "kinetics400", ("making tea",))
    for train, val in (("train/making tea", "val/making tea"), ("train/making_tea", "validate"), ("making_tea", "x")):
        for folder in (train, val):
            Path("data", folder).mkdir(parents=True, exist_ok=True)
        for path in list(Path("data").rglob("*.mp4")):
            path.rename(Path("data") / (train if path.name.startswith("t") else val) / path.name)
        data = Kinetics400("data", labels="few")
        assert not data.training_videos().missing
        assert len(data.evaluation_videos("test")["few"].missing) == (2 if val == "x" else 0)


def test_parts_of_a_label_space_are_separate_test_sets() -> None:
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


def test_drawn_videos_that_do_not_exist_are_not_trained_on(caplog: pytest.LogCaptureFixture) -> None:
    miniatures.ucf101(Path("data"), UCF, videos=4)
    miniatures.label_space(Path("few"), "ucf101", ("handstand pushups", "apply eye makeup"))
    drawn = UCF101("data", labels="few", shots=2).training_videos()
    assert not drawn.missing
    ids = [record.id for record in drawn.records]
    listed = [record.id for record in UCF101("data", labels="few").training_videos().records]
    assert ids == sorted(ids, key=listed.index)
    Path(str(drawn.records[2].path)).unlink()
    loading = LoadingSettings(global_batch_size=2, on_missing="skip")
    data = UCF101("data", labels="few", shots=2, loading=loading)
    data.setup("fit")
    assert data.training_set.missing == {2}
    assert [record.id for record in data.training_set.found] == [*ids[:2], *ids[3:]]
    with pytest.raises(UserError, match=rf"1 of 4 listed videos of the training set .*\. The first is .*{ids[2]}"):
        UCF101("data", labels="few", shots=2, loading=LoadingSettings(global_batch_size=2)).setup("fit")
    # others of the class do not count
    for record in UCF101("data", labels="few").training_videos().found:
        if record.id not in ids:
            Path(str(record.path)).unlink()
    assert UCF101("data", labels="few", shots=2).training_videos().missing == {2}


def test_defaults_that_a_protocol_depends_on() -> None:
    for module, labels in ((UCF101, "ucf101"), (HMDB51, "hmdb51")):
        data = module("data")
        assert (data.labels, data.splits, data.training_split) == (labels, (1,), 1)
        assert list(data.test_splits()) == [f"{labels}-split1"]
    data = HMDB51("data", splits=(3, 1), labels="hmdb51-base", test_labels=["hmdb51-base", "hmdb51-novel"])
    assert data.training_split == 3
    assert [(name, split.labels, split.split) for name, split in data.test_splits().items()] == [
        ("hmdb51-base-split3", "hmdb51-base", 3),
        ("hmdb51-base-split1", "hmdb51-base", 1),
        ("hmdb51-novel-split3", "hmdb51-novel", 3),
        ("hmdb51-novel-split1", "hmdb51-novel", 1),
    ]
    assert list(Kinetics600("data").test_splits()) == ["k600-split1", "k600-split2", "k600-split3"]
    assert list(Kinetics600("data", splits=()).test_splits()) == ["kinetics600"]
    assert [split.split for split in Kinetics600("data", splits=(3, 1)).test_splits().values()] == [3, 1]
    for module, labels in ((Kinetics400, "kinetics400"), (SomethingSomethingV2, "ssv2"), (ActivityNet, "activitynet")):
        data = module("data")
        assert (data.labels, data.training_split, list(data.test_splits())) == (labels, None, [labels])
    assert (Kinetics400("data").test_parts, ActivityNet("data").unit) == (("val",), "video")
    assert Kinetics400("data", lists=ListFiles(test="x")).test_parts == ("val", "train", "test")
    data_sets = [HMDB51, UCF101, Kinetics400, Kinetics600, ActivityNet, SomethingSomethingV2]
    assert [module for module in data_sets if not module.mirrorable] == [SomethingSomethingV2]
    for module in data_sets:
        data = module("data")
        assert (data.shots, data.shots_seed, data.lists.ignore_name_mismatch) == (None, 0, False)


@pytest.mark.parametrize("splits", [(), (0,), (4,), (1, 4), (2, 2)])
def test_splits_that_do_not_exist(splits: tuple[int, ...]) -> None:
    for module in (HMDB51, UCF101, *([Kinetics600] if splits else [])):
        with pytest.raises(UserError, match=r"^splits is \[.*\]: expected one or more distinct numbers from 1 to 3\.$"):
            module("data", splits=splits)


def test_validation_uses_the_first_test_set_only() -> None:
    hmdb51_data()
    data = HMDB51("data", labels="few", splits=(2, 1))
    assert list(data.evaluation_videos("val")) == ["few-split2"]
    assert (
        list(data.evaluation_videos("test")) == list(data.evaluation_videos("predict")) == ["few-split2", "few-split1"]
    )


@pytest.mark.parametrize("module", [HMDB51, UCF101, Kinetics400, Kinetics600, ActivityNet, SomethingSomethingV2])
def test_an_unknown_argument_is_refused(module: type[PublishedDataModule]) -> None:
    with pytest.raises(TypeError, match="lables"):
        module("data", lables="few")
    parser = ArgumentParser()
    parser.add_class_arguments(module)
    known = set(parser.get_defaults().as_dict())
    shared = {"root", "labels", "annotations", "lists", "shots", "shots_seed", "clips", "loading"}
    own = {"HMDB51": {"splits"}, "UCF101": {"splits"}, "ActivityNet": {"unit"}, "Kinetics400": {"test_parts"}}
    own["Kinetics600"] = {"splits", "test_parts"}
    tested = set() if module is Kinetics600 else {"test_labels"}  # which follow from its splits
    assert known == shared | tested | own.get(module.__name__, set())


def test_a_new_data_set_is_one_small_class() -> None:
    class Mine(SplitDataModule):
        label_space = "classes"
        split_count = 2

        def read_annotations(
            self, part: Part, split: int | None, classes: ClassIndex, wanted: Sequence[int]
        ) -> list[VideoRecord]:
            lines = self.find_annotations([f"{part}{split}.txt"], ("",)).read_text().split()
            return [VideoRecord(f"{line}.mp4", classes.named(line[0], line), line) for line in lines]

        def video_folders(self, part: Part, class_name: str) -> Sequence[str]:
            return (class_name,)

    for file, text in {"train2": "a1 b1 a2 b2", "test2": "a3 b3", "test1": "b1"}.items():
        miniatures.write(Path(f"data/{file}.txt"), text)
    miniatures.write(Path("classes/classes.txt"), "b\na\n")
    for name in ("a/a1", "a/a2", "b/b1", "b/b2", "a/a3", "b/b3"):
        miniatures.write(Path(f"data/{name}.mp4"), "")
    data = Mine("data", splits=(2, 1))
    assert [(record.id, record.label) for record in data.training_videos().found] == [
        ("a1", 1),
        ("b1", 0),
        ("a2", 1),
        ("b2", 0),
    ]
    assert {name: len(videos.found) for name, videos in data.evaluation_videos("test").items()} == {
        "classes-split2": 2,
        "classes-split1": 1,
    }
    assert len(Mine("data", splits=(2,), shots=1).training_videos().found) == 2
    miniatures.write(Path("novel/selection.txt"), "from classes\na\n")
    assert list(Mine("data", splits=(2,), test_labels=["novel"]).evaluation_videos("test")) == ["novel-split2"]
    with pytest.raises(UserError, match="The publisher's files contain no test video of any class of novel"):
        Mine("data", test_labels=["novel"]).evaluation_videos("test")
    with pytest.raises(UserError, match="expected one or more distinct numbers from 1 to 2"):
        Mine("data", splits=(3,))


def test_the_class_in_a_file_name() -> None:
    hmdb, ucf = HMDB51("data"), UCF101("data")
    assert hmdb.class_in_name("Film_draw_sword_f_cm_np1_ba_bad_1.avi") == "draw_sword"
    assert hmdb.class_in_name("x/Film_sword_f_cm_np1_ba_bad_1") == "sword"
    assert hmdb.class_in_name("Film_sword.avi") is hmdb.class_in_name("Film_sword") is None
    assert hmdb.class_in_name("Film_flying_f_cm_np1_ba_bad_1.avi") is None
    assert ucf.class_in_name("a/v_HandStandPushups_g01_c01.avi") == "HandstandPushups"
    assert ucf.class_in_name("a/v_Flying_g01_c01.avi") is ucf.class_in_name("HandstandPushups.avi") is None
    assert SomethingSomethingV2("data").class_in_name("archery/1.webm") is None


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("val/abseiling/x.mp4", "abseiling"),
        ("air_drumming/x.mp4", "air drumming"),
        ("val_256/Air Drumming/x", "air drumming"),
        ("/data/yoga/videos/val/abseiling/x.mp4", "abseiling"),
        ("abseiling/clips/x.mp4", "abseiling"),
        ("val\\abseiling\\x.mp4", "abseiling"),
        ("petting_animal_(not_cat)/x.mp4", "petting animal (not cat)"),
        ("val/x.mp4", None),
        ("abseiling.mp4", None),
        ("yoga/of/the/computer/x.mp4", None),
    ],
)
def test_the_class_in_a_path_of_kinetics(path: str, named: str | None) -> None:
    assert Kinetics400("data").class_in_name(path) == named


@pytest.mark.parametrize("labels", ["kinetics400", "few"])
def test_a_list_of_kinetics_that_contradicts_its_folders_is_refused(labels: str) -> None:
    miniatures.kinetics(Path("data"), ("abseiling", "air drumming"))
    miniatures.label_space(Path("few"), "kinetics400", ("abseiling", "air drumming"))
    lines = [f"val/{name}/v{k:04d}_00000_000000_000010.mp4" for k, name in enumerate(("abseiling", "air drumming"))]
    right, wrong = "".join(f"{line} {k}\n" for k, line in enumerate(lines)), "".join(f"{line} 1\n" for line in lines)
    Path("val.txt").write_text(right)
    lists = ListFiles(test="val.txt")
    data = Kinetics400("data", test_labels=[labels], lists=lists)
    assert not data.evaluation_videos("test")[labels].missing
    Path("val.txt").write_text(wrong)
    message = r"val\.txt: the path val/abseiling/\S+ says 'abseiling', but its label 1 is 'air drumming' .*; 1 of 2"
    with pytest.raises(UserError, match=message):
        data.evaluation_videos("test")
    trusted = ListFiles(test="val.txt", ignore_name_mismatch=True)
    assert len(Kinetics400("data", lists=trusted).evaluation_videos("test")["kinetics400"].records) == 2
    # a folder named after a class that the label space does not have contradicts nothing
    Path("val.txt").write_text(lines[0].replace("abseiling", "yoga") + " 0\n")
    few = Kinetics400("data", labels="few", lists=lists).evaluation_videos("test")["few"]
    assert len(few.records) == 1


def test_released_lists_replace_the_publishers_files() -> None:
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
    with pytest.raises(UserError, match="has a field in braces that has no value in this run"):
        UCF101("data", labels="few", lists=lists).training_videos()


def test_a_list_whose_labels_contradict_its_file_names_is_refused() -> None:
    miniatures.hmdb51(Path("data"), ("kick", "kick_ball"))
    kick, kick_ball = "Film_0_kick_f_cm_np1_ba_med_0.avi", "Film_0_kick_ball_f_cm_np1_ba_med_0.avi"
    Path("val1.txt").write_text(f"{kick} 20\n{kick_ball} 21\n")
    lists = ListFiles(test="val{split}.txt")
    right = HMDB51("data", lists=lists).evaluation_videos("test")["hmdb51-split1"]
    assert labels_of(right) == {kick: "kick", kick_ball: "kick ball"}
    swapped = HMDB51("data", lists=lists, labels="hmdb51-released")
    with pytest.raises(UserError, match=r"val1\.txt: the path \S+ says 'kick', but its label 20 is 'kick b"):
        swapped.evaluation_videos("test")
    # names without a class, or with one of another label space, contradict nothing
    Path("val1.txt").write_text(f"clip.avi 20\n{kick.replace('kick', 'flying')} 20\n")
    assert len(HMDB51("data", lists=lists).evaluation_videos("test")["hmdb51-split1"].records) == 2
    miniatures.label_space(Path("few"), "hmdb51", ("wave",))
    Path("val1.txt").write_text(f"{kick} 0\n")
    assert HMDB51("data", lists=lists, labels="few").evaluation_videos("test")["few-split1"].records[0].label == 0
    Path("val1.txt").write_text(f"{kick} 20\n{kick_ball} 21\n")
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


def test_something_something_is_not_mirrored_unless_asked_for() -> None:
    ssv2_data()
    miniatures.kinetics(Path("k400"), ("archery", "yoga"))
    miniatures.label_space(Path("few400"), "kinetics400", ("yoga", "archery"))
    loading = LoadingSettings(global_batch_size=2, workers=0)

    def flip(data: VideoDataModule) -> float:
        data.configure_for(Preprocessing(48, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
        data.setup("fit")
        return data.train_dataloader().dataset.transform.flip

    assert flip(SomethingSomethingV2("data", labels="few", loading=loading)) == 0
    assert flip(SomethingSomethingV2("data", labels="few", clips=ClipSettings(flip=0.5), loading=loading)) == 0.5
    assert flip(CombinedDataModule(train=SomethingSomethingV2("data", labels="few"), loading=loading)) == 0
    assert flip(Kinetics400("k400", labels="few400", loading=loading)) == 0.5
    assert flip(Kinetics400("k400", labels="few400", clips=ClipSettings(flip=0.1), loading=loading)) == 0.1


def test_numbers_of_the_publisher_are_compared_with_the_label_space() -> None:
    miniatures.ssv2(Path("data"), SSV2, {SSV2_NAMES[0]: 3})
    miniatures.label_space(Path("few"), "ssv2", SSV2_NAMES)
    with pytest.raises(UserError, match=r"labels\.json: 'Pushing .*' has the number 3; in the label space it is 93"):
        SomethingSomethingV2("data", labels="few").training_videos()


def test_missing_annotation_files_are_named_with_the_folders_searched() -> None:
    miniatures.kinetics(Path("data"), ("archery",))
    shutil.rmtree("data/annotations")
    with pytest.raises(UserError, match=r"train\.csv or kinetics400_train\.csv .* not found in data, data/annotations"):
        Kinetics400("data").training_videos()
    with pytest.raises(UserError, match=r"was not found in elsewhere\. Set"):
        Kinetics400("data", annotations=Path("elsewhere")).training_videos()


def test_a_class_that_the_data_set_does_not_have_is_named() -> None:
    hmdb51_data()
    miniatures.write(Path("mine/classes.txt"), "brush hair\nflying\n")
    with pytest.raises(UserError, match="has a class 'flying', which hmdb51 does not have"):
        HMDB51("data", labels="mine").training_videos()


def test_your_own_label_space_may_have_either_spelling() -> None:
    miniatures.ucf101(Path("data"), UCF)
    miniatures.write(Path("mine/classes.txt"), "handstand pushups\tup and down\nmakeup\tApplyEyeMakeup\n")
    videos = UCF101("data", labels="mine").training_videos()
    assert {(record.id.split("_")[1], record.label) for record in videos.records} == {
        ("HandstandPushups", 0),
        ("ApplyEyeMakeup", 1),
    }


def test_shots_are_drawn_from_a_list_and_its_paths_come_first() -> None:
    miniatures.ucf101(Path("data"), UCF)
    miniatures.label_space(Path("few"), "ucf101", ("apply eye makeup", "handstand pushups"))
    names = [f"v_{name}_g0{k}_c01.avi" for name in UCF for k in (1, 2, 3)]
    Path("train.txt").write_text("".join(f"{name} {k // 3}\n" for k, name in enumerate(names)))
    lists = ListFiles(train="train.txt")
    drawn = UCF101("data", labels="few", shots=2, lists=lists).training_videos()
    assert [record.label for record in drawn.records] == [0, 0, 1, 1]
    assert not drawn.missing
    first = drawn.records[0]
    for folder in ("data/ApplyEyeMakeup", "data"):
        Path(folder).mkdir(exist_ok=True)
        shutil.copy(str(first.path), f"{folder}/{first.id}")
    again = UCF101("data", labels="few", shots=2, lists=lists).training_videos().records[0]
    assert (again.id, str(again.path)) == (first.id, f"data/{first.id}")
