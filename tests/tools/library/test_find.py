"""`ost find` and `ost suggest` on a library of rendered videos."""

import csv
import json
import sys
from pathlib import Path

import pytest
import torch

from ost_lightning.cli import main
from ost_lightning.library import Library
from ost_lightning.text import LabelSpace
from tests.library.rendered import library, recognizer, space, videos
from tests.small_experiments import QUIET
from tests.text.generation import fake_llm as llm

__all__ = ["library", "recognizer", "space", "videos"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: LabelSpace) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    space.save(Path("space"))
    return tmp_path


def find(library: Library, *arguments: str) -> int:
    return main(["find", *arguments, "--library", str(library.folder)])


@pytest.mark.usefixtures("folder")
def test_a_class_is_found_and_saved(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    assert find(library, "admiring", "book", "--labels=space", "-n", "2", "--output=found.csv") == 0
    printed = capsys.readouterr().out
    assert "admiring book: the best 2 of 6 segments, ranked by probability (OptimalDescriptorSolver)" in printed
    assert "knows only the rendered world" in printed
    with Path("found.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [Path(row["video"]).name for row in rows] == [
        Path(one.segment.video).name for one in library.find("admiring book", "space", 2).segments
    ]


@pytest.mark.usefixtures("folder")
def test_other_questions_are_answered(library: Library, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find(library, "--temporal=arms up, then arms down", "--output=found.json") == 0
    assert json.loads(Path("found.json").read_text())["query"] == "arms up, then arms down"
    assert find(library, "--similar", str(sorted(videos.glob("*_0.mp4"))[0]), "--n=1") == 0
    assert "admiring book_0.mp4" in capsys.readouterr().out.splitlines()[-1]
    assert find(library, "anything", "--n=1") == 0
    assert "compared with its name alone" in capsys.readouterr().out
    assert find(library, "--labels=space", "--output=predictions.csv") == 0
    assert Path("predictions.csv").read_text().startswith("video,set,start,end,label,error,class_1,probability_1")


@pytest.mark.usefixtures("folder")
def test_queries_of_any_script_and_length(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    assert find(library, "مرحبا 世界 🎬", "--n=1") == 0
    assert "مرحبا 世界 🎬: the best 1 of 6" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="have more than 77 tokens") as caught:
        assert find(library, "long " * 2000, "--n=1") == 0
    printed = capsys.readouterr()
    assert len(printed.out + printed.err + str(caught[0].message)) < 1500


@pytest.mark.usefixtures("folder")
def test_an_llm_describes_a_name_once(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with llm.serving(lambda seen: llm.good) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        for _ in range(2):
            assert find(library, "juggling", "--describe", "--n=1") == 0
        assert len(server.requests) == 2
    assert "ranked by similarity (OptimalDescriptorSolver)" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to look for"),
        ([""], "The query is empty"),
        (["admiring bok", "--labels=space"], "nearest names are 'admiring book'"),
        (["--labels=space"], "--output predictions.csv"),
        (["--labels=space", "--output=x.json"], "suffix .csv"),
        (["a", "--output=x.pdf"], "unknown suffix"),
        (["a", "--similar=b.mp4"], "leave out the query"),
        (["a", "--temporal=b", "--labels=space"], "leave out --labels"),
        (["a", "--describe", "--labels=space"], "leave out --labels"),
        (["a", "--n=0"], "expected at least 1"),
        (["a", "--ranked_by=probability"], "classes of a label space"),
        (["a", "--table=0000"], "There is no table 0000"),
        (["--similar=missing.mp4"], "missing.mp4"),
    ],
)
def test_mistakes_are_explained(
    library: Library, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find(library, *arguments) == 1
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("folder")
def test_suggested_videos_train_once_they_are_labeled(library: Library, space: LabelSpace) -> None:
    assert main(["suggest", "--library", str(library.folder), "--labels=space", "-n", "4", "--output=next.csv"]) == 0
    with Path("next.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    labeled = [row | {"label": space.names[number % 2]} for number, row in enumerate(rows)]
    with Path("space/labeled.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(labeled)
    lists = ["--data.root=space", "--data.train.list=labeled.csv", "--data.test.own.list=labeled.csv"]
    model = ["--model.video_clip.pretrained=tiny", "--model.descriptors_per_class=2", "--data.loading.workers=0"]
    steps = ["--trainer.accelerator=cpu", "--trainer.max_steps=2", *QUIET]
    assert main(["fit", "--config=own_videos", *lists, *model, *steps]) == 0
    (checkpoint,) = Path().rglob("last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2


@pytest.mark.usefixtures("folder")
def test_videos_to_label_are_suggested(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["suggest", "--library", str(library.folder), "--labels=space", "-n", "3"]
    assert main([*options, "--output=next.csv"]) == 0
    assert capsys.readouterr().out.count("disagreement") == 3
    assert len(Path("next.csv").read_text().splitlines()) == 4
    assert main([*options, "--output=tasks.json"]) == 0
    tasks = json.loads(Path("tasks.json").read_text())
    assert len(tasks) == 3
    assert all(task["predictions"][0]["result"][0]["type"] == "timelinelabels" for task in tasks)
    assert main([*options, "--output=next.txt"]) == 1
    assert "choose .csv for a list, or .json" in " ".join(capsys.readouterr().err.split())
