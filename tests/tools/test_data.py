import csv
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ost_lightning.cli import main
from tests.videos import write_video


@pytest.fixture(autouse=True)
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with six readable videos of two classes, and a list of them."""
    monkeypatch.chdir(tmp_path)
    for k in range(6):
        write_video(tmp_path / "videos" / f"{k}.mp4", 8 + k, seed=k)
    (tmp_path / "videos" / "classes.txt").write_text("first\nsecond\n")
    (tmp_path / "list.txt").write_text("".join(f"{k}.mp4 {k % 2}\n" for k in range(6)))
    return tmp_path


CHECK = ["data", "check", "--workers=0", "--output=out"]


def test_check_a_list(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CHECK, "--list=list.txt", "--root=videos"]) == 0
    assert "6 videos listed, 6 found, 6 decodable" in capsys.readouterr().out
    (videos / "videos" / "1.mp4").unlink()
    (videos / "videos" / "3.mp4").write_bytes(b"x")
    assert main([*CHECK, "--list=list.txt", "--root=videos"]) == 1
    printed = capsys.readouterr()
    assert "6 videos listed, 5 found, 4 decodable" in printed.out
    assert "2 of 6 videos can't be used" in " ".join(printed.err.split())
    with open("out/missing.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["state"]) for row in rows] == [("1.mp4", "missing"), ("3.mp4", "undecodable")]
    assert rows[0]["reason"] == "there is no such file"
    write_video(videos / "videos" / "1.mp4", 9)
    write_video(videos / "videos" / "3.mp4", 9)
    assert main([*CHECK, "--list=list.txt", "--root=videos", "--every-frame"]) == 0


def test_check_a_data_module(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data=VideoLists", "--data.root=videos", "--data.test={own: {list: list.txt, labels: videos}}"]
    assert main([*CHECK, *data, "--sets=[val,test]"]) == 0
    assert "6 videos listed, 6 found, 6 decodable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either a list"),
        (["--list=list.txt", "--data=VideoLists", "--data.root=videos"], "Give either a list"),
        (["--root=videos", "--data=VideoLists", "--data.root=videos"], "--root belongs to --list"),
        (["--list=none.txt"], "The list none.txt does not exist"),
        (["--list=a.json"], "names no files"),
        (["--list=list.txt", "--workers=-1"], "--workers is -1: give a number"),
        (["--list=list.txt", "--frames=-2"], "--frames is -2: give a number"),
        (["--list=list.txt", "--output=list.txt"], "list.txt is a file. Choose another path"),
        (["--list=list.txt", "--output=list.txt/below"], "list.txt is a file. Choose another path"),
        (["--data=VideoTable", "--data.root=videos"], "no videos for the sets train, val, test"),
        (["--lisst=list.txt"], "no option --lisst. Did you mean --list? Usage: `ost data check [options]`"),
    ],
)
def test_check_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CHECK, *arguments]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_check_finds_the_same_files_as_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    table = {"path": ["0.webm", "1.mp4", "1.mp4"], "start": [None, 0.0, 100.0], "end": [None, 0.1, 101.0]}
    Path("list.csv").write_text("path,id,start,end\n0.webm,a,,\n1.mp4,b,0,0.1\n1.mp4,c,100,101\n")
    parquet.write_table(pa.table({**table, "id": ["a", "b", "c"]}), "list.parquet")
    for name in ("list.csv", "list.parquet"):
        assert main([*CHECK, f"--list={name}", "--root=videos", f"--output={name[5:]}"]) == 1
        assert "3 videos listed, 3 found, 2 decodable" in capsys.readouterr().out
        with open(f"{name[5:]}/missing.csv", newline="") as file:
            (row,) = csv.DictReader(file)
        assert (row["id"], row["state"]) == ("c", "undecodable")
        assert "no frame between 100 s and 101 s" in row["reason"]


@pytest.mark.parametrize(
    "data",
    [
        ["--data=VideoTable", "--data.root=videos", "--data.test={own: table.csv}"],
        ["--data=VideoLists", "--data.root=videos", "--data.test={own: {list: list.txt, labels: videos}}"],
        ["--data=VideoFolder", "--data.root=own"],
    ],
)
def test_sets_without_videos_are_skipped(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("table.csv").write_text("path,label\n" + "".join(f"{k}.mp4,swim\n" for k in range(6)))
    shutil.copytree("videos", "own/test/swim")
    assert main([*CHECK, *data]) == 0
    assert "6 videos listed, 6 found, 6 decodable" in capsys.readouterr().out


def test_stats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", "--list=list.txt", "--root=videos", "--workers=0", "--output=out"]) == 0
    printed = capsys.readouterr().out
    assert "6 of 6 listed videos" in printed
    assert "sizes: 64x48 (6)" in printed
    assert "codecs: h264 (6)" in printed
    frames = next(line for line in printed.splitlines() if "frames" in line and "second" not in line)
    assert [cell for cell in frames.replace("│", " ").split() if cell != "frames"] == [
        "8.0",
        "10.5",
        "10.5",
        "13.0",
        "63",
    ]
