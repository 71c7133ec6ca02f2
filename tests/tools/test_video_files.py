import csv
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.datamodules import VideoList, VideoLists, VideoTable
from tests.datamodules.miniatures import write
from tests.videos import write_video


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with three videos; list.txt beside it names them."""
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("a/x.avi", "a/y.mp4", "b/z.mp4")):
        codec = "mpeg4" if name.endswith("avi") else "libx264"
        write_video(tmp_path / "videos" / name, 8, codec=codec, seed=k)
    (tmp_path / "list.txt").write_text("a/x.avi 0\na/y.mp4 1\nb/z.mp4 1\n")
    return tmp_path / "videos"


TRANSCODE = ["data", "transcode", "list.txt"]
SMALL = ["--short_side=40", "--workers=0"]


def test_transcode_writes_videos_list_and_report(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRANSCODE, str(videos), "new", *SMALL]) == 0
    assert Path("new/list.txt").read_text() == "a/x.mp4 0\na/y.mp4 1\nb/z.mp4 1\n"
    with Path("new/transcoded.csv").open(newline="") as report:
        rows = list(csv.DictReader(report))
    assert [(row["name"], row["frames"], row["error"]) for row in rows] == [
        ("a/x.avi", "8", ""),
        ("a/y.mp4", "8", ""),
        ("b/z.mp4", "8", ""),
    ]
    assert "3 of 3 videos re-encoded, with the same number of frames" in capsys.readouterr().out
    # the next tool accepts the written files
    assert main(["data", "check", "--list=new/list.txt", "--root=new", "--workers=0"]) == 0


def test_transcode_keeps_names_times_and_ids_of_a_table(videos: Path) -> None:
    Path("list.csv").write_text(
        "label,id,path,start,end\njump rope,one,a/x.avi,,\njuggling,two,a/y.avi,0,0.2\njuggling,three,a/y.avi,0.1,\n"
    )
    assert main(["data", "transcode", "list.csv", str(videos), "new", *SMALL]) == 0
    data = VideoTable("new", test={"new": Path("new/list.csv")}).evaluation_videos("test")["new"]
    assert data.labels.names == ("juggling", "jump rope")
    assert [(str(record.path), record.label, record.id, record.start, record.end) for record in data.records] == [
        ("new/a/x.mp4", 1, "one", None, None),
        ("new/a/y.mp4", 0, "two", 0.0, 0.2),
        ("new/a/y.mp4", 0, "three", 0.1, None),
    ]
    write(Path("space/classes.txt"), "jump rope\njuggling\n")
    lists = VideoLists("new", test={"new": VideoList(Path("new/list.csv"), "space")})
    assert [record.label for record in lists.evaluation_videos("test")["new"].records] == [0, 1, 1]


def test_transcode_reports_videos_that_it_could_not_re_encode(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "a/y.mp4").write_bytes(b"broken")
    assert main([*TRANSCODE, str(videos), "new", *SMALL]) == 1
    printed = capsys.readouterr()
    assert "2 of 3 videos re-encoded" in printed.out
    assert "1 of 3 videos could not be re-encoded" in " ".join(printed.err.split())
    assert main([*TRANSCODE, str(videos), "videos", *SMALL]) == 1
    assert "would replace the originals" in " ".join(capsys.readouterr().err.split())


def test_shards_replace_the_folder_of_videos(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["data", "shard", "list.txt", str(videos), "shards", "--workers=0"]
    assert main(command) == 0
    assert "3 videos in 1 shard, 1 newly written" in capsys.readouterr().out
    assert main(["data", "check", "--list=list.txt", "--root=shards", "--workers=0"]) == 0
    assert "3 videos listed, 3 found, 3 decodable" in capsys.readouterr().out
    assert main([*command, "--megabytes=0"]) == 1
