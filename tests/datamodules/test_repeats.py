import os
import shutil
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.datamodules import LabeledVideos, VideoFolder, VideoList, VideoLists, VideoTable
from ost_lightning.errors import UserError
from tests.video.storage.test_addresses import write_shard


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four videos in a folder, a link to one of them, a link to the folder, and names for two classes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    for k in range(4):
        (tmp_path / f"videos/{k}.mp4").write_bytes(b"never opened")
    (tmp_path / "videos/link.mp4").symlink_to(tmp_path / "videos/0.mp4")
    (tmp_path / "linked").symlink_to(tmp_path / "videos")
    (tmp_path / "classes.txt").write_text("juggling\nswimming\n")
    return tmp_path


def listed(root: Path, text: str, shots: int | None = None, folder: str = "videos") -> LabeledVideos:
    (root / "l.txt").write_text(text)
    return VideoLists(str(root / folder), train=VideoList(root / "l.txt", str(root)), shots=shots).training_videos()


SAME = ["0.mp4", "./0.mp4", "../videos/0.mp4", "x/../0.mp4", ".//0.mp4", "link.mp4", "../linked/0.mp4", "{}/0.mp4"]
SAME += ["0.avi"]  # stands for any video of this name


@pytest.mark.parametrize("other", SAME)
def test_a_video_that_is_listed_twice_is_told_with_both_lines(root: Path, other: str) -> None:
    (root / "videos/x").mkdir()
    other = other.format(root / "videos")
    videos = listed(root, f"1.mp4 1\n0.mp4 0\n\n{other} 0\n2.mp4 0\n")
    assert videos.repeats == ((1, 2),)
    assert len(videos.found) == 4
    assert videos.repeats_message("own") == (
        f"own repeats a video once, and each repetition counts: {root}/l.txt:4 ({other}) is the same as "
        f"{root}/l.txt:2 (0.mp4)."
    )


@pytest.mark.parametrize("other", SAME)
def test_a_video_with_two_labels_is_refused(root: Path, other: str) -> None:
    (root / "videos/x").mkdir()
    with pytest.raises(UserError) as caught:
        listed(root, f"0.mp4 0\n1.mp4 1\n{other.format(root / 'videos')} 1\n")
    assert f"{root}/l.txt:1 (0.mp4) and {root}/l.txt:3 (" in str(caught.value)
    assert "are the same video with two labels, 0 'juggling' and 1 'swimming'" in str(caught.value)


def test_different_videos_are_no_repetition(root: Path) -> None:
    (root / "videos/a").mkdir()
    (root / "videos/a/0.mp4").write_bytes(b"never opened")
    assert not listed(root, "0.mp4 0\na/0.mp4 1\n1.mp4 0\nmissing.mp4 0\n./missing.mp4 1\n").repeats


def test_parts_of_a_video_repeat_only_if_their_times_are_the_same(root: Path) -> None:
    table = root / "t.csv"
    table.write_text("path,label,start,end\n0.mp4,0,,2\n0.mp4,1,2,4\n./0.mp4,0,0,2\n0.mp4,1,,\n")
    videos = VideoTable(str(root / "videos"), train=table, labels=str(root)).training_videos()
    assert videos.repeats == ((0, 2),)
    assert f"{table}:4 (./0.mp4@0-2) is the same as {table}:2 (0.mp4@0-2)" in videos.repeats_message("t")


def test_linked_videos_in_class_folders(root: Path) -> None:
    for name in ("juggling", "swimming"):
        (root / "own/test" / name).mkdir(parents=True)
    shutil.copy("videos/0.mp4", root / "own/test/juggling/a.mp4")
    (root / "own/test/juggling/b.mp4").symlink_to("a.mp4")
    videos = VideoFolder(root / "own").evaluation_videos("test")["test"]
    assert "test/juggling/b.mp4 (test/juggling/b.mp4) is the same as test/juggling/a.mp4" in videos.repeats_message("x")
    (root / "own/test/swimming/c.mp4").symlink_to("../juggling/a.mp4")
    with pytest.raises(UserError, match=r"test/juggling/a.mp4 .* and test/swimming/c.mp4 .* two labels"):
        VideoFolder(root / "own").evaluation_videos("test")


def test_members_of_shards(root: Path) -> None:
    write_shard(root / "shards/a.tar", {"val/0.mp4": b"0", "val/1.mp4": b"1"})
    (root / "also").symlink_to(root / "shards")
    assert listed(root, "val/0.mp4 0\nval/1.mp4 0\n./val//0.mp4 0\n", folder="also").repeats == ((0, 2),)


@pytest.mark.parametrize("shots", [1, 2])
def test_a_few_shot_draw_takes_no_video_twice(root: Path, shots: int) -> None:
    text = "0.mp4 0\n./0.mp4 0\nlink.mp4 0\n1.mp4 0\n2.mp4 1\n3.mp4 1\n"
    for seed in range(6):
        os.environ["PL_GLOBAL_SEED"] = str(seed)
        try:
            drawn = listed(root, text, shots=shots)
        finally:
            del os.environ["PL_GLOBAL_SEED"]
        files = [os.path.realpath(str(record.path)) for record in drawn.records]
        assert len(set(files)) == len(files) == 2 * shots
        assert not drawn.repeats
    with pytest.raises(UserError, match="class 0 has 2"):
        listed(root, text, shots=3)


def test_missing_videos_of_a_draw_are_told_with_their_own_path(root: Path) -> None:
    (root / "videos/2.mp4").unlink()
    drawn = listed(root, "gone.mp4 0\n0.mp4 0\n1.mp4 0\n2.mp4 1\n", shots=1)
    for index in drawn.missing:
        assert drawn.records[index].id in drawn.missing_message("the training set").split("(tried ")[1]
    assert drawn.missing


@pytest.mark.parametrize("options", [[], ["--root=videos"]])
def test_the_command_for_few_shot_lists(root: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    same = ["0.mp4", "./0.mp4", "a/../0.mp4", *([str(root / "videos/0.mp4"), "link.mp4"] if options else [])]
    Path("l.txt").write_text("".join(f"{path} 0\n" for path in [*same, "1.mp4", "2.mp4"]))
    for seed in range(6):
        assert main(["data", "fewshot", "l.txt", "few.txt", "--shots=2", f"--seed={seed}", *options]) == 0
        assert sum(line.split()[0] in same for line in Path("few.txt").read_text().splitlines()) <= 1
    assert main(["data", "fewshot", "l.txt", "few.txt", "--shots=4", *options]) == 1
    Path("l.txt").write_text("0.mp4 0\n1.mp4 1\n./0.mp4 1\n")
    assert main(["data", "fewshot", "l.txt", "few.txt", "--shots=1", *options]) == 1
    assert "l.txt:1 (0.mp4) and l.txt:3 (./0.mp4) are the same video" in " ".join(capsys.readouterr().err.split())
