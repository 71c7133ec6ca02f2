"""Videos that were trained on are recognized below any root, and only those."""

import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.callbacks.reporting import video_identity
from ost_lightning.callbacks.reporting.training_record import TrainingRecord
from ost_lightning.datamodules import LabeledVideos, ToyWorld
from ost_lightning.datamodules.locate import locate
from ost_lightning.text import LabelSpace
from ost_lightning.video import VideoRecord
from tests.videos import write_video

LABELS = LabelSpace(("one", "two"))
NAMES = ("a/1.mp4", "a/2.mp4")


def listed(root: Path, *names: str) -> LabeledVideos:
    return locate([VideoRecord(name, 0, name) for name in names], str(root), LABELS)


def record(
    training: LabeledVideos, before: TrainingRecord | None = None, **validation: LabeledVideos
) -> TrainingRecord:
    made = TrainingRecord.of(training, validation, seed=0, steps=1, before=before)
    loaded = TrainingRecord.load({"ost_training": made.content()})
    assert loaded is not None
    return loaded


@pytest.fixture
def train(tmp_path: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_video(tmp_path / "train" / name, 4, width=32, height=32, seed=seed)
    return tmp_path / "train"


@pytest.fixture
def test(tmp_path: Path) -> Path:
    """Other videos with the same names."""
    for seed, name in enumerate(NAMES):
        write_video(tmp_path / "test" / name, 4, width=32, height=32, seed=seed + 5)
    return tmp_path / "test"


def test_equal_names_below_other_roots_are_other_videos(train: Path, test: Path) -> None:
    trained = record(listed(train, *NAMES), val=listed(train, *NAMES))
    assert trained.seen(listed(test, *NAMES)) == 0
    assert trained.seen(listed(train, *NAMES)) == 2
    assert not trained.may_have_validated_on(listed(test, *NAMES))
    assert trained.may_have_validated_on(listed(train, *reversed(NAMES)))


def test_copies_are_the_same_video_under_any_name(train: Path, test: Path) -> None:
    shutil.copy(train / "a/1.mp4", test / "renamed.mp4")
    assert record(listed(train, *NAMES)).seen(listed(test, *NAMES, "renamed.mp4")) == 1
    with tarfile.open(test / "a.tar", "w") as shard:
        shard.add(train / "a/2.mp4", "moved/3.mp4")
    assert record(listed(train, *NAMES)).seen(listed(test / "a.tar", "moved/3.mp4")) == 1


def test_files_that_were_encoded_again_in_place_are_the_same(train: Path) -> None:
    trained = record(listed(train, *NAMES))
    write_video(train / NAMES[0], 5, width=16, height=16)
    os.symlink(train, train.parent / "link")
    assert trained.seen(listed(train.parent / "link", *NAMES)) == 2


def test_published_names_identify_videos_anywhere(train: Path, test: Path) -> None:
    name = "v_ApplyEyeMakeup_g01_c01.avi"
    for root, seed in ((train, 1), (test, 2)):  # the second is encoded otherwise
        write_video(root / name, 3, width=32, height=32, seed=seed)
    assert record(listed(train, name)).seen(listed(test, name)) == 1
    assert record(listed(train, name)).seen(listed(test, NAMES[0])) == 0


def test_missing_videos_and_urls_are_compared_by_address(train: Path, test: Path) -> None:
    trained = record(listed(train, "a/9.mp4"))
    assert (trained.seen(listed(train, "a/9.mp4")), trained.seen(listed(test, "a/9.mp4"))) == (1, 0)
    there, elsewhere = (
        replace(listed(test, NAMES[0]), records=[VideoRecord(f"https://{host}/a/1.mp4", 0, NAMES[0])])
        for host in ("one.org", "two.org")
    )
    assert (record(there).seen(there), record(there).seen(elsewhere)) == (1, 0)


def test_folders_of_frames_are_told_apart(train: Path, test: Path) -> None:
    for root, first in ((train, b"x"), (test, b"y"), (test.parent / "copy", b"x")):
        (root / "f").mkdir(parents=True)
        for k in range(5):
            (root / "f" / f"{k}.jpg").write_bytes(first * 9)
    trained = record(listed(train, "f"))
    assert [trained.seen(listed(root, "f")) for root in (test, test.parent / "copy")] == [0, 1]


def test_earlier_trainings_count_too(train: Path, test: Path) -> None:
    first = record(listed(train, *NAMES))
    both = record(listed(test, NAMES[0]), before=first)
    assert (both.seen(listed(train, *NAMES)), both.seen(listed(test, *NAMES))) == (2, 1)
    assert record(listed(test, NAMES[0])).after(first).seen(listed(train, *NAMES)) == 2
    # checkpoints of earlier versions have ids alone
    old = {name: value for name, value in first.content().items() if "identities" not in name}
    loaded = TrainingRecord.load({"ost_training": old})
    assert loaded is not None
    assert (loaded.seen(listed(test, *NAMES)), loaded.may_have_validated_on(listed(test, *NAMES))) == (2, True)
    assert record(listed(test, NAMES[0]), before=loaded).seen(listed(train, *NAMES)) == 2


def test_no_video_of_the_rendered_world_is_both_trained_and_tested_on() -> None:
    data = ToyWorld(train_clips=1, test_clips=1, test_sets=("seen",))
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    trained = record(data.training_set)
    (tested,) = data.evaluation_sets("test").values()
    assert trained.seen(tested) == 0
    assert trained.seen(data.training_set) == len(data.training_set.records)


def test_only_files_without_a_publishers_name_are_looked_at_many_in_one_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.mp4").write_bytes(b"1")
    known = [VideoRecord(f"{tmp_path}/{name}", 0, name) for name in [f"v_-01K1Hxq{k:03}.mp4" for k in range(999)]]
    other = VideoRecord(f"{tmp_path}/1.mp4", 0, "1.mp4")
    looked_at: list[list[object]] = []
    read = video_identity._identities_of_files
    monkeypatch.setattr(video_identity, "_identities_of_files", lambda paths: looked_at.append(paths) or read(paths))
    found = video_identity.identities([*known, other, known[0]])
    assert looked_at == [[other.path]]
    assert [one.name for one in (found[0], found[-1], found[-2])] == ["-01K1Hxq000", "-01K1Hxq000", None]
    assert found[-2].contents is not None
    looked_at.clear()
    assert len({one.hashes for one in video_identity.identities([other] * 6400)}) == 1
    assert [len(paths) for paths in looked_at] == [64] * 100
