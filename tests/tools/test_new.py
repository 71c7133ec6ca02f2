"""A project from folders of classes, up to a test and a training with the commands that it prints."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.datamodules import VideoList, VideoLists
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.tools.new import new
from tests.datamodules.miniatures import tiny_video, write
from tests.small_experiments import QUIET


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def lists(folder: Path) -> dict[str, list[str]]:
    files = {part: folder / f"{part}.txt" for part in ("train", "val", "test")}
    return {part: file.read_text().splitlines() for part, file in files.items() if file.exists()}


def classes(root: Path, *names: str, videos: int = 10, pattern: str = "{}.mp4") -> Path:
    for name in names:
        for k in range(videos):
            write(root / name / pattern.format(k), "")
    return root


def test_the_printed_commands_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("jump_rope", "juggling balls"):
        for k in range(5):
            tiny_video(Path("my videos") / name / f"{k}.mp4", k)
    write(Path("my videos/juggling balls/notes.txt"), "not a video")
    assert main(["new", "my videos", "--pretrained=tiny"]) == 0
    printed = capsys.readouterr().out
    assert "my videos: 2 classes, 10 videos (train 6, val 2, test 2)" in printed
    assert "Files that are no videos: juggling balls/notes.txt." in printed
    commands = [shlex.split(line, comments=True)[1:] for line in printed.splitlines() if line.startswith("  ost ")]
    assert [command[0] for command in commands] == ["data", "test", "descriptors", "test", "fit", "test"]
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")  # the experiment has the absolute path
    config = ["--config=../my videos/my videos.yaml", "--model.matcher=CategoryName", *QUIET]
    small = [*config, "--data.loading.workers=0", "--data.clips.frames=2", "--trainer.max_epochs=2"]
    assert main(["fit", *small]) == 0
    assert main(["test", *small, "--ckpt_path=last"]) == 0
    runs = Path("runs/my videos")
    assert len(list(runs.glob("version_0/figures/*/own_confusion.png"))) == 1  # of the validation
    assert (runs / "version_1/predictions.csv").read_text().count("\n") == 3


def test_classes_and_parts_of_folders() -> None:
    root = classes(Path("own"), "swim", "jump_rope", "arm wrestling")
    new(root)
    assert LabelSpace.load("own").names == ("arm wrestling", "jump rope", "swim")
    found = lists(root)
    assert {part: len(lines) for part, lines in found.items()} == {"train": 21, "val": 3, "test": 6}
    everything = [line for lines in found.values() for line in lines]
    assert len(set(everything)) == 30
    assert "arm wrestling/3.mp4 0" in everything
    assert "jump_rope/9.mp4 1" in everything


def test_clips_of_one_recording_stay_together(capsys: pytest.CaptureFixture[str]) -> None:
    root = classes(Path("own"), "a", "b", videos=4, pattern="game{}_part1.mp4")
    classes(root, "a", "b", videos=4, pattern="game{}_part2.mp4")
    new(root)
    assert "recordings, as far as the names tell" in capsys.readouterr().out
    for lines in lists(root).values():
        games = {line.partition("_part")[0].partition("/")[2] for line in lines}
        assert all(sum(game in line for line in lines) == 4 for game in games)
    new(root, Path("other"), source=r"game(\d)_part.")
    assert {len(lines) for lines in lists(Path("other")).values()} <= {4, 8}


def test_given_parts_are_kept_and_missing_ones_are_drawn() -> None:
    root = classes(Path("own/train"), "a", "b").parent
    classes(root / "test", "a", videos=2)
    new(root)
    found = lists(root)
    assert found["test"] == ["test/a/0.mp4 0", "test/a/1.mp4 0"]
    assert (len(found["train"]), len(found["val"])) == (18, 2)


def test_a_project_beside_the_videos() -> None:
    root = classes(Path("own"), "a", "b")
    new(root, Path("project"))
    assert not list(root.glob("*.*"))
    text = Path("project/own.yaml").read_text()
    assert f'root: "{root.resolve()}"' in text
    assert text.count(f'labels: "{Path("project").resolve()}"') == 3


def test_an_existing_list_of_classes_is_used() -> None:
    root = classes(Path("own"), "jump_rope", "a")
    write(root / "classes.txt", "skipping\tjump_rope\nswim\na\n")
    new(root)
    assert LabelSpace.load("own").names == ("skipping", "swim", "a")
    assert {line[-1] for line in lists(root)["train"] if line.startswith("a/")} == {"2"}
    write(Path("other/classes.txt"), "swim\n")
    with pytest.raises(UserError, match=r"other/classes\.txt exists already, but has no class for the folder 'a'"):
        new(root, Path("other"))


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ([], {}, "own does not exist"),
        (["own/1.mp4", "own/2.mp4"], {}, "own contains 2 videos, but no subfolders with videos"),
        (["own/readme.txt"], {}, "own contains no videos"),
        (["own/a/1.mp4", "own/b/1.txt"], {}, r"classes without videos: b \(found other files, such as b/1.txt\)"),
        (["own/a_b/1.mp4", "own/a b/1.mp4"], {}, "'a b' and 'a_b' have the same class name 'a b'"),
        (["own/test/a/1.mp4"], {}, "has a folder test, but no folder train"),
        (["own/a/1.mp4 /x.mp4"], {"test": 1.0}, "--test is 1: expected shares"),
        (["own/a/1.mp4"], {"source": "("}, r"--source is not a regular expression"),
        (["own/a/1.mp4"], {"source": "a"}, "has no group"),
        (["own/a/1\n.mp4"], {}, r"can't contain the name 'a/1\\n\.mp4'"),
        (["own/a/1.mp4", "own/test.txt"], {}, r"own/test\.txt exists already"),
    ],
)
def test_mistakes_are_named(files: list[str], options: dict[str, object], message: str) -> None:
    for file in files:
        write(Path(file), "")
    with pytest.raises(UserError, match=message):
        new(Path("own"), **options)
    assert not Path("own/own.yaml").exists()


def test_names_that_are_not_utf8() -> None:
    root = classes(Path("own"), "a", "b", videos=3)
    name = os.fsdecode(b"caf\xe9.mp4")
    write(root / "a" / name, "")
    new(root)
    listed = VideoLists("own", train=VideoList(Path("train.txt")), test={"own": VideoList(Path("test.txt"))})
    videos = [*listed.training_videos().records, *listed.evaluation_videos("test")["own"].records]
    assert any(Path(str(record.path)).name == name for record in videos) or name in (root / "val.txt").read_text(
        errors="surrogateescape"
    )
    write(Path("other") / os.fsdecode(b"caf\xe9") / "1.mp4", "")
    with pytest.raises(UserError, match=r"caf\\xe9' is not UTF-8 and no name of a class"):
        new(Path("other"))
