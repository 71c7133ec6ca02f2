"""`ost index` on real videos with the tiny CLIP."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.library import Library
from tests.library.contents import rows
from tests.processes import LIMIT, environment, ost
from tests.videos import write_video

pytest.importorskip("lance", reason="needs the extra `library`")


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    for number in range(3):
        write_video(tmp_path / f"clips/{number}.mp4", count=8 + number, seed=number)
    return tmp_path / "clips"


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return " ".join(captured.out.split()), " ".join(captured.err.split())


def test_a_folder_is_indexed_once(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "clips", "--library=lib", "--weights=tiny", "--workers=1"]) == 0
    out, _ = said(capsys)
    assert "Indexing 3 videos with tiny into" in out
    assert "3 videos stored in" in out
    assert "videos/s), 0 were there already" in out
    table = Library.open("lib").table()
    assert sorted(one.video_id for one in table.segments(range(len(table)))) == [f"clips/{k}.mp4" for k in range(3)]
    # the weights are those of the library
    (clips / "broken.mp4").write_bytes(b"not a video")
    assert main(["index", "clips", "--library=lib"]) == 1
    out, err = said(capsys)
    assert "0 videos stored in" in out
    assert "3 were there already" in out
    assert "broken.mp4: not a readable video file" in out
    assert "could not be read: 1. They are named above" in err
    assert main(["index", "clips", "--library=lib"]) == 0
    assert "have not changed: 1 (--retry tries them again)" in said(capsys)[0]


def test_settings_are_those_of_the_table_unless_they_are_given(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--library=lib", "--weights=tiny", "--workers=0"]
    assert main(["index", "clips/0.mp4", *options, "--lengths=1, 2", "--stride=1", "--precision=float32"]) == 0
    assert main(["index", "clips/1.mp4", *options]) == 0
    (settings,) = Library.open("lib").tables
    assert (settings.segments.lengths, settings.segments.stride) == ((1.0, 2.0), 1.0)
    assert (settings.segments.rate, settings.segments.precision) == (4.0, "float32")
    assert len(Library.open("lib").table()) == 2
    assert main(["index", "clips/2.mp4", *options, "--stride=0.5"]) == 1
    assert "stride is 0.5, in the table 1.0" in said(capsys)[1]


def test_a_table_has_embeddings_of_one_precision(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--library=lib", "--weights=tiny", "--workers=0", "--device=cpu"]
    assert main(["index", "clips/0.mp4", *options, "--cpu_precision=bf16"]) == 0
    for number, more in ((1, []), (2, ["--cpu_precision=auto"])):  # that of the table
        assert main(["index", f"clips/{number}.mp4", *options, *more]) == 0
    library = Library.open("lib")
    assert [table.cpu_precision for table in library.tables] == ["bf16"]
    assert len(library.table()) == 3
    said(capsys)
    assert main(["index", "clips", *options, "--cpu_precision=fp32"]) == 1
    assert "cpu_precision is fp32, in the table bf16" in said(capsys)[1]
    assert library.find("archery", n=1).conditions["precision"] == "bf16 on a CPU"


def test_a_usual_table_is_as_before(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--library=lib", "--weights=tiny", "--workers=0", "--device=cpu"]
    assert main(["index", "clips/0.mp4", *options]) == 0
    (file,) = Path("lib").rglob("settings.json")
    assert "cpu_precision" not in file.read_text()
    assert "precision" not in Library.open("lib").find("archery", n=1).conditions
    said(capsys)
    assert main(["index", "clips/1.mp4", *options, "--cpu_precision=bf16"]) == 1
    assert "cpu_precision is bf16, in the table fp32" in said(capsys)[1]


def test_a_list_gives_labels_and_parts(clips: Path) -> None:
    Path("list.csv").write_text("path,label,start,end\n0.mp4,juggling,,\n2.mp4,,0.1,0.3\n1.mp4,7,,\n")
    assert main(["index", "--list=list.csv", "--root=clips", "--library=lib", "--weights=tiny", "--workers=0"]) == 0
    table = Library.open("lib").table()
    found = {one.video_id: (one.label, one.start) for one in table.segments(range(3))}
    assert found == {"0.mp4": ("juggling", 0.0), "2.mp4": (None, 0.1), "1.mp4": (None, 0.0)}


def test_records_of_a_data_module_have_the_names_of_their_classes(clips: Path) -> None:
    Path("test.txt").write_text("0.mp4 1\n1.mp4 0\n")
    Path("classes.txt").write_text("running\njuggling\n")
    options = ["--data=VideoLists", "--data.root=clips", "--data.test=test.txt", "--data.labels=.", "--sets", "test"]
    assert main(["index", *options, "--library=lib", "--weights=tiny", "--workers=0"]) == 0
    table = Library.open("lib").table()
    assert sorted((one.video_id, one.label) for one in table.segments(range(2))) == [
        ("0.mp4", "juggling"),
        ("1.mp4", "running"),
    ]


def test_a_list_on_standard_input(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("clips/0.mp4\nclips/2.mp4\n"))
    assert main(["index", "-", "--library=lib", "--weights=tiny", "--workers=0"]) == 0
    assert len(Library.open("lib").table()) == 2


def test_a_library_is_checked_made_compact_and_videos_are_removed(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "=1.mp4").write_bytes(b"not a video")
    assert main(["index", "clips", "--library=lib", "--weights=tiny", "--workers=0"]) == 1
    (clips / "0.mp4").rename(clips / "moved.mp4")
    said(capsys)
    assert main(["index", "--library=lib", "--check", "--output=marks.csv"]) == 1
    out, err = said(capsys)
    assert "(tiny): 3 segments of 3 videos, 8 frames each, float16" in out
    assert "clips/0.mp4: missing (the file is gone, or is not on this machine)" in out
    assert "Videos that are not as they were indexed: 1 missing, 1 unreadable" in err
    with Path("marks.csv").open(newline="") as handle:
        marks = list(csv.DictReader(handle))
    assert sorted((row["video_id"], row["mark"]) for row in marks) == [
        ("clips/0.mp4", "missing"),
        ("clips/=1.mp4", "unreadable"),
    ]
    assert main(["index", "--library=lib", "--remove", "clips/0.mp4", "clips/=*", "--compact", "--check"]) == 0
    out, _ = said(capsys)
    assert "1 segment removed" in out
    assert "MB freed" in out
    assert "2 segments of 2 videos" in out
    assert main(["index", "--library=lib", "--remove", "clips/0.mp4"]) == 1
    assert "has no video clips/0.mp4" in said(capsys)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give one of sources"),
        (["clips", "--list=a.txt"], "Give one of sources"),
        (["clips", "--root=a"], "--root belongs to --list"),
        (["clips", "--lengths=a"], "expected seconds separated by commas"),
        (["clips", "--lengths=0"], "expected positive numbers"),
        (["clips", "--devices=0"], "--devices is 0: expected at least 1"),
        (["-", "--devices=2"], "can't share standard input"),
        (["clips", "--check"], "leave out the sources"),
        (["clips", "--output=a.csv"], "--output is for --check"),
        (["--check", "--output=a.json"], "expected a file with the suffix .csv"),
        (["--check"], "is not a library of videos"),
        (["nothing*.mp4"], "No video matches"),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(
    clips: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", *arguments, "--library=lib", "--weights=does/not/exist"]) == 1
    assert message in said(capsys)[1]


def test_changed_weights_do_not_begin_another_table_unnoticed(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", "clips", "--library=lib", "--weights=tiny", "--workers=0"]) == 0
    (file,) = Path("lib").glob("tables/*/settings.json")
    (settings,) = Library.open("lib").tables
    file.parent.rename(file.parents[1] / ("0" * 16))
    (file,) = Path("lib").glob("tables/*/settings.json")
    file.write_text(file.read_text().replace(settings.digest, "0" * 16))
    assert main(["index", "clips", "--library=lib", "--workers=0"]) == 1
    assert "The weights tiny or their clip settings have changed since" in said(capsys)[1]
    assert main(["index", "clips", "--library=lib", "--weights=tiny", "--workers=0"]) == 0
    assert len(Library.open("lib").tables) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["devices", "torchrun"])
def test_two_processes_store_what_one_does(clips: Path, launcher: str) -> None:
    for number in range(3, 24):
        write_video(clips / f"{number}.mp4", count=8 + number % 5, seed=number)
    (clips / "broken.mp4").write_bytes(b"not a video")
    options = ["index", "clips", "--weights=tiny", "--device=cpu", "--workers=0", "--precision=float32"]
    assert main([*options, "--library=one"]) == 1
    more = ["--library=two", "--commit_seconds=0"]
    if launcher == "devices":
        done = ost([*options, *more, "--devices=2"], Path.cwd())
    else:
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29623"]
        done = subprocess.run(
            [*start, "-m", "ost_lightning", *options, *more],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    assert done.returncode == 1
    assert "24 videos stored in" in done.stdout
    assert "could not be read: 1" in " ".join(done.stderr.split())
    assert done.stdout.count("broken.mp4: not a readable video file") == 1
    one, two = (Library.open(name).table() for name in ("one", "two"))
    # processes have other numbers of threads, which round sums differently
    for alone, shared in zip(rows(one), rows(two), strict=True):
        assert alone[:-1] == shared[:-1]
        assert alone[-1] == pytest.approx(shared[-1], abs=1e-5)
    assert two.error_dataset.count_rows() == 1
