import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.models import VideoCLIP
from ost_lightning.text import LabelSpace, compare
from ost_lightning.text.label_files import known_names
from ost_lightning.tools.density import _labels


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def small() -> Path:
    """Label space of three classes, one of which has leftover numbering."""
    folder = Path("small")
    folder.mkdir()
    (folder / "classes.txt").write_text("archery\nbowling\nhug\n")
    classes = {name: {"spatio": [f"{name} 1", "b"], "temporal": ["c", "d"]} for name in ("archery", "bowling", "hug")}
    classes["hug"]["temporal"] = ["1. opens the arms", "2. closes them"]
    (folder / "descriptors.json").write_text(json.dumps({"provenance": {"source": "made up"}, "classes": classes}))
    return folder


def test_check_fails_on_errors_and_reports_them(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "check", "small", "--output", "new/report.csv"]) == 1
    printed = capsys.readouterr()
    assert "small: 2 errors and 6 warnings in 3 classes" in printed.err
    assert "1. opens the arms" in printed.out
    rows = Path("new/report.csv").read_text().splitlines()
    assert len(rows) == 1 + 8
    assert "error,numbering,hug,temporal,1. opens the arms" in rows[1]


def test_check_passes_with_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "check", "hmdb51"]) == 0
    printed = capsys.readouterr().out
    assert "0 errors" in printed
    assert "tokenizer of tiny" in printed


def test_check_expects_the_given_number_of_descriptors(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "check", "small", "--descriptors_per_class=4"]) == 1
    assert "has 2, expected 4" in capsys.readouterr().out


def test_import_reverses_export(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "export", "hmdb51", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["classes.csv", "spatio.json", "temporal.json"]
    files = ["--spatio=out/spatio.json", "--temporal=out/temporal.json"]
    assert main(["descriptors", "import", "--classes=out/classes.csv", *files, "--output=back"]) == 0
    difference = compare(LabelSpace.load("hmdb51"), LabelSpace.load("back"))
    assert (difference.removed, difference.added, difference.lists) == ((), (), ())
    assert difference.same_order
    assert LabelSpace.load("back").provenance["source"] == "imported from spatio.json and temporal.json"


def test_export_and_import_as_a_table() -> None:
    assert main(["descriptors", "export", "hmdb51", "out", "--form=table", "--descriptors_per_class=4"]) == 0
    arguments = ["--classes=hmdb51", "--table=out/descriptors.csv", "--output=back", "--source=a table"]
    assert main(["descriptors", "import", *arguments]) == 0
    back, labels = LabelSpace.load("back"), LabelSpace.load("hmdb51")
    assert back.descriptors_of("temporal", 4) == labels.descriptors_of("temporal", 4)
    assert back.provenance["source"] == "a table"


def test_import_rejects_a_wrong_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "export", "hmdb51", "out"]) == 0
    rows = Path("out/classes.csv").read_text().splitlines()
    names = [row.split(",")[1] for row in rows[1:]]
    shifted = [*names[1:], names[0]]
    Path("shifted.csv").write_text("id,name\n" + "".join(f"{k},{name}\n" for k, name in enumerate(shifted)))
    arguments = ["descriptors", "import", "--classes=shifted.csv", "--spatio=out/spatio.json", "--output=back"]
    assert main(arguments) == 1
    assert "do not seem to belong to this list" in " ".join(capsys.readouterr().err.split())
    assert not Path("back").exists()
    assert main([*arguments, "--check_alignment=false"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes=hmdb51", "--output=new"], "Nothing to import"),
        (["--classes=hmdb51", "--output=new", "--spatio=a", "--table=b"], "two inputs at once"),
        (["--classes=hmdb51", "--output=small", "--spatio=a"], "small already exists"),
        (["--classes=nothing.csv", "--output=new", "--spatio=a"], "The list of classes nothing.csv does not exist"),
        (["--classes=hmdb51", "--output=new", "--spatio=a.json"], "The file a.json does not exist"),
    ],
)
def test_import_mistakes(small: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "import", *arguments]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_diff(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "diff", "small", "small"]) == 0
    assert capsys.readouterr().out == "no differences\n"
    shutil.copytree(small, "other")
    text = (small / "descriptors.json").read_text().replace("2. closes them", "closes [them]")
    Path("other/descriptors.json").write_text(text)
    assert main(["descriptors", "diff", "small", "other"]) == 0
    printed = capsys.readouterr().out
    assert "hug (temporal)\n  - 2. closes them\n  + closes [them]\n" in printed
    assert "11 descriptors in both, 1 only in small, 1 only in other" in printed


@pytest.mark.parametrize("name", [name for name in known_names() if name != "imagenet1k"])
def test_check_passes_for_every_shipped_label_space_with_descriptors(name: str) -> None:
    assert main(["descriptors", "check", name]) == 0


def test_check_finds_no_fault_in_imagenet1k_but_its_missing_descriptors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "check", "imagenet1k", "--output=found.csv"]) == 1
    assert "1,000 errors and 0 warnings in 1,000 classes" in " ".join(capsys.readouterr().err.split())
    assert {line.split(",")[1] for line in Path("found.csv").read_text().splitlines()[1:]} == {"missing"}


def test_density(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            ["descriptors", "density", "toyworld-0-unseen,hmdb51", "--output=new/density", "--descriptors_per_class=2"]
        )
        == 0
    )
    assert sorted(path.name for path in Path("new/density").iterdir()) == ["density.json", "density.png", "map.png"]
    found = json.loads(Path("new/density/density.json").read_text())
    assert (found["clip"], found["per_class"]) == ("tiny", 2)
    assert {name: measured["classes"] for name, measured in found["label_spaces"].items()} == {
        "toyworld-0-unseen": 20,
        "hmdb51": 51,
    }
    assert "the tiny CLIP of the rendered world" in capsys.readouterr().out


def test_density_with_a_label_space_without_descriptors(capsys: pytest.CaptureFixture[str]) -> None:
    LabelSpace(LabelSpace.load("imagenet1k").names[:30]).save(Path("images"))
    assert main(["descriptors", "density", "images,toyworld-0-unseen", "--output=out"]) == 0
    images, videos = json.loads(Path("out/density.json").read_text())["label_spaces"].values()
    assert images["classes"] == 30
    assert [images[kind] for kind in ("descriptors", "spatio", "temporal", "single_descriptors")] == [None] * 4
    assert None not in videos.values()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "images" in line]
    assert [cell.strip() for cell in row.split("│")[4:-1]] == ["-"] * 4


@pytest.mark.slow  # 2,700 sentences and two t-SNE pictures
def test_the_command_of_figure_2() -> None:
    assert main(["descriptors", "density", "imagenet1k,kinetics400,ssv2", "--templates=raw_name", "--output=out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {"density.json", "density.png", "map.png"}
    found = json.loads(Path("out/density.json").read_text())["label_spaces"]
    assert {name: measured["classes"] for name, measured in found.items()} == {
        "imagenet1k": 1000,
        "kinetics400": 400,
        "ssv2": 174,
    }
    described = {name: measured["descriptors"] is not None for name, measured in found.items()}
    assert described == {"imagenet1k": False, "kinetics400": True, "ssv2": True}
    assert all(0 < measured["name"] < 1 for measured in found.values())


def test_label_spaces_of_one_name_are_measured_each(small: Path) -> None:
    """A folder is no replacement for another one of its name."""
    shutil.copytree(small, "other/small")
    assert main(["descriptors", "density", "small,other/small,toyworld-0-unseen", "--descriptors_per_class=2"]) == 0
    found = json.loads(Path("runs/density/density.json").read_text())["label_spaces"]
    assert list(found) == ["small", "other/small", "toyworld-0-unseen"]


def test_a_label_space_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "density", "hmdb51,hmdb51"]) == 1
    assert "hmdb51 is given twice" in " ".join(capsys.readouterr().err.split())


def test_density_of_a_model_with_nan_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    model = VideoCLIP("tiny")
    model.encoder.model.text_projection.weight.data[0, 0] = float("nan")
    model.save_pretrained(Path("damaged"))
    assert main(["descriptors", "density", "toyworld-0-unseen", "--pretrained=damaged"]) == 1
    assert "text_projection.weight has 1 NaN or infinite" in " ".join(capsys.readouterr().err.split())


def test_label_spaces_of_the_rendered_world_have_names() -> None:
    assert len(_labels("toyworld-0-unseen")) == 20
    assert len(_labels("toyworld-0-unseen-hard")) == 30


def test_density_of_a_missing_label_space(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "density", "hmdb51,toyworld-9-unseen"]) == 1
    assert "no label space 'toyworld-9-unseen'" in " ".join(capsys.readouterr().err.split())


def test_check_names_what_nobody_sees(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((small / "descriptors.json").read_text())
    classes = content["classes"]
    classes["hug"] = {"spatio": ["open \u202earms", "two \x1b[31mpeople"], "temporal": ["e\u2028", "f\x00"]}
    classes["Bowling"] = {"spatio": ["a lane", "ten pins"], "temporal": ["rolls", "waits"]}
    classes["archry"] = classes["hug"]
    (small / "classes.txt").write_text("archery\nbowling\nhug\nBowling\n")
    (small / "descriptors.json").write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["descriptors", "check", "small", "--output", "report.csv"]) == 1
    printed = capsys.readouterr().out + Path("report.csv").read_text()
    assert "bowling: is the same text as 'Bowling' (tokenizer of tiny)" in printed
    assert "error,control character,hug,spatio,open \\u202earms,contains U+202E" in printed
    assert "error,control character,hug,temporal,f\\x00,contains U+0000" in printed
    assert "archry: is not a class of this label space" in printed
    assert not set(printed) & set("\x00\x1b\u202e\u2028")


def test_diff_is_printed_escaped(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(small, "other")
    text = (small / "descriptors.json").read_text().replace("2. closes them", "closes \\u202ethem\\u001b")
    Path("other/descriptors.json").write_text(text)
    assert main(["descriptors", "diff", "small", "other"]) == 0
    assert "  + closes \\u202ethem\\x1b\n" in capsys.readouterr().out
