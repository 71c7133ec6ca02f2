import csv
from pathlib import Path

import pytest

from ost_lightning.cli import main
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
    assert main([*CHECK, "--list=list.txt", "--root=videos", "--every_frame=true"]) == 0


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
    ],
)
def test_check_tells_what_it_needs(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CHECK, *arguments]) == 1
    assert told in " ".join(capsys.readouterr().err.split())


def test_stats(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", "--list=list.txt", "--root=videos", "--workers=0", "--output=out"]) == 0
    printed = capsys.readouterr().out
    assert "6 of 6 listed videos" in printed
    assert [line.split()[1:] for line in printed.splitlines() if "frames" in line.split()[1:2]] or "frames" in printed
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
