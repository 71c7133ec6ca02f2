import csv
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ost_lightning.cli import main
from ost_lightning.datamodules import VideoTable
from tests.videos import write_video


@pytest.fixture(autouse=True)
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six good videos of two classes, on a list."""
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
    told = capsys.readouterr()
    assert "6 videos listed, 5 found, 4 decodable" in told.out
    assert "2 of 6 videos can't be used" in " ".join(told.err.split())
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
    ("arguments", "told"),
    [
        ([], "Give either a list"),
        (["--list=list.txt", "--data=VideoLists", "--data.root=videos"], "Give either a list"),
        (["--root=videos", "--data=VideoLists", "--data.root=videos"], "--root belongs to --list"),
        (["--list=none.txt"], "There is no list none.txt"),
        (["--list=a.json"], "names no files"),
        (["--list=list.txt", "--workers=-1"], "--workers is -1: give a number"),
        (["--list=list.txt", "--frames=-2"], "--frames is -2: give a number"),
        (["--list=list.txt", "--output=list.txt"], "list.txt is a file. Give another place"),
        (["--list=list.txt", "--output=list.txt/below"], "list.txt is a file. Give another place"),
        (["--data=VideoTable", "--data.root=videos"], "name no videos for train, val, test"),
        (
            ["--lisst=list.txt"],
            "no option --lisst. Did you mean --list? The command is `ost data check [options]`",
        ),
    ],
)
def test_check_tells_what_it_needs(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CHECK, *arguments]) == 1
    assert told in " ".join(capsys.readouterr().err.split())


def test_check_finds_what_a_run_finds(capsys: pytest.CaptureFixture[str]) -> None:
    table = {"path": ["0.webm", "1.mp4", "1.mp4"], "start": [None, 0.0, 100.0], "end": [None, 0.1, 101.0]}
    Path("list.csv").write_text("path,id,start,end\n0.webm,a,,\n1.mp4,b,0,0.1\n1.mp4,c,100,101\n")
    parquet.write_table(pa.table({**table, "id": ["a", "b", "c"]}), "list.parquet")
    for name in ("list.csv", "list.parquet"):
        assert main([*CHECK, f"--list={name}", "--root=videos", f"--output={name[5:]}"]) == 1
        told = capsys.readouterr()
        assert "3 videos listed, 3 found, 2 decodable" in told.out
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
def test_sets_without_videos_are_passed_over(data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
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


def test_leak(capsys: pytest.CaptureFixture[str]) -> None:
    Path("kinetics.csv").write_text("label,youtube_id,time_start,time_end,split\nx,-aNccq2jvUA,55,65,train\n")
    Path("other.txt").write_text("-aNccq2jvUA_000055_000065.mp4 0\n-aNccq2jvUA_000001_000011.mp4 0\nabc.mp4 1\n")
    assert main(["data", "leak", "other.txt", "kinetics.csv", "--output=common.csv"]) == 0
    assert "2 of 3 entries of other.txt are also in kinetics.csv" in capsys.readouterr().out
    assert Path("common.csv").read_text() == "id\n-aNccq2jvUA\n"
    assert main(["data", "leak", "other.txt", "kinetics.csv", "--by=file"]) == 0
    assert "0 of 3 entries" in capsys.readouterr().out


def test_equal_names_in_other_folders_are_no_leak(capsys: pytest.CaptureFixture[str]) -> None:
    Path("train.txt").write_text("jump_rope/0.mp4 0\njuggling/0.mp4 1\nhmdb/Gum_chew_h_nm_np1_fr_med_0.avi 2\n")
    Path("test.txt").write_text("making tea/0.mp4 0\njuggling/0.avi 1\nchew/Gum_chew_h_nm_np1_fr_med_0.avi 2\n")
    assert main(["data", "leak", "train.txt", "test.txt"]) == 0
    told = capsys.readouterr().out
    assert "2 of 3 entries of train.txt are also in test.txt" in told
    assert "for example: Gum_chew_h_nm_np1_fr_med_0, juggling/0" in told


def test_fewshot(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = {}
    for shots in (1, 2):
        assert main(["data", "fewshot", "list.txt", f"few{shots}.txt", f"--shots={shots}", "--seed=3"]) == 0
        drawn[shots] = Path(f"few{shots}.txt").read_text().splitlines()
        assert sorted(line.split()[1] for line in drawn[shots]) == ["0"] * shots + ["1"] * shots
    assert set(drawn[1]) < set(drawn[2]) < set(Path("list.txt").read_text().splitlines())
    assert main(["data", "fewshot", "list.txt", "few.txt", "--shots=4"]) == 1
    assert "2 of 2 classes have fewer than 4 videos" in " ".join(capsys.readouterr().err.split())
    assert not Path("few.txt").exists()


def test_fewshot_of_a_table_is_a_table_that_data_modules_read(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"n{k},videos/{k}.mp4,{('jump rope', 'juggling')[k % 2]},{k}.5,{k + 1}" for k in range(6)]
    Path("list.csv").write_text("id,path,label,start,end\n" + "\n".join(rows) + "\n")
    assert main(["data", "fewshot", "list.csv", "few.csv", "--shots=2"]) == 0
    drawn = VideoTable(".", test={"few": Path("few.csv")}).evaluation_videos("test")["few"]
    all_ = VideoTable(".", test={"all": Path("list.csv")}).evaluation_videos("test")["all"]
    assert drawn.labels.names == ("juggling", "jump rope")
    assert sorted(record.label for record in drawn.records) == [0, 0, 1, 1]
    assert set(drawn.records) < set(all_.records)
    assert not drawn.missing
    assert main(["data", "fewshot", "list.csv", "few.txt", "--shots=2"]) == 1
    assert "Give a name with .csv" in " ".join(capsys.readouterr().err.split())
    assert main(["data", "fewshot", "list.csv", "few.parquet", "--shots=2"]) == 1
    assert "tables are written as CSV" in " ".join(capsys.readouterr().err.split())


def test_by_place_and_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fewshot", "list.txt", "one.txt", "--shots=1"]) == 0
    assert main(["data", "fewshot", "--list=list.txt", "--output", "two.txt", "--shots=1"]) == 0
    assert Path("one.txt").read_text() == Path("two.txt").read_text()
    capsys.readouterr()
    assert main(["data", "fewshot", "list.txt"]) == 1
    assert "lacks OUTPUT. The command is `ost data fewshot LIST OUTPUT [options]`" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["data", "fewshot", "list.txt", "videos", "--shots=1"]) == 1
    assert "videos is a folder" in " ".join(capsys.readouterr().err.split())
