from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.datamodules import VideoTable


@pytest.fixture(autouse=True)
def _list_of_six_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    for k in range(6):
        Path(f"videos/{k}.mp4").touch()  # never opened
    Path("list.txt").write_text("".join(f"{k}.mp4 {k % 2}\n" for k in range(6)))


def test_leak(capsys: pytest.CaptureFixture[str]) -> None:
    Path("kinetics.csv").write_text("label,youtube_id,time_start,time_end,split\nx,-aNccq2jvUA,55,65,train\n")
    Path("other.txt").write_text("-aNccq2jvUA_000055_000065.mp4 0\n-aNccq2jvUA_000001_000011.mp4 0\nabc.mp4 1\n")
    assert main(["data", "leak", "other.txt", "kinetics.csv", "--output=common.csv"]) == 0
    assert "2 of 3 entries of other.txt are also in kinetics.csv" in capsys.readouterr().out
    assert Path("common.csv").read_text() == "id\n'-aNccq2jvUA\n"  # a spreadsheet would take it for a formula
    assert main(["data", "leak", "other.txt", "kinetics.csv", "--by=file"]) == 0
    assert "0 of 3 entries" in capsys.readouterr().out


def test_equal_names_in_different_folders_are_different_videos(capsys: pytest.CaptureFixture[str]) -> None:
    Path("train.txt").write_text("jump_rope/0.mp4 0\njuggling/0.mp4 1\nhmdb/Gum_chew_h_nm_np1_fr_med_0.avi 2\n")
    Path("test.txt").write_text("making tea/0.mp4 0\njuggling/0.avi 1\nchew/Gum_chew_h_nm_np1_fr_med_0.avi 2\n")
    assert main(["data", "leak", "train.txt", "test.txt"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 3 entries of train.txt are also in test.txt" in printed
    assert "for example: Gum_chew_h_nm_np1_fr_med_0, juggling/0" in printed


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


def test_fewshot_of_a_table_writes_a_table_for_data_modules(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_positional_and_named_arguments_are_equivalent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fewshot", "list.txt", "one.txt", "--shots=1"]) == 0
    assert main(["data", "fewshot", "--list=list.txt", "--output", "two.txt", "--shots=1"]) == 0
    assert Path("one.txt").read_text() == Path("two.txt").read_text()
    capsys.readouterr()
    assert main(["data", "fewshot", "list.txt"]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert "requires OUTPUT. Usage: `ost data fewshot LIST OUTPUT [options]`" in message
    Path("folder").mkdir()
    assert main(["data", "fewshot", "list.txt", "folder", "--shots=1"]) == 1
    assert "folder is a folder" in " ".join(capsys.readouterr().err.split())
