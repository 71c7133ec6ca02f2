import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.dataset import label_space


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two drafts of the rendered world's classes; in each, another descriptor is another class's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    labels = label_space(0, "unseen").select(label_space(0, "unseen").names[:3])
    foreign = ("far too loud [music]", "=cmd")
    for draft, place in enumerate((1, 2)):
        written = {}
        for name, entry in labels.descriptors.items():
            texts = list(entry.temporal)
            texts[place] = foreign[draft]
            written[name] = Descriptors(entry.spatio, tuple(texts))
        replace(labels, descriptors=written, provenance={"source": "made up", "seed": draft}).save(Path(f"d{draft}"))
    labels.save(Path("d2"))
    return "d0,d1,d2"


def test_the_consensus_is_a_label_space_without_what_one_draft_says(
    drafts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["descriptors", "consensus", drafts, "--output=out"]) == 0
    labels, right = LabelSpace.load("out"), LabelSpace.load("d2")
    assert labels.names == right.names
    assert dict(labels.descriptors) == dict(right.descriptors)
    assert labels.provenance["source"] == "consensus of 3 drafts with `ost descriptors consensus`"
    assert [draft.get("seed") for draft in labels.provenance["drafts"]] == [0, 1, None]
    printed = capsys.readouterr().out
    assert "out: 24 descriptors kept of 72 in 3 drafts" in printed
    assert "Kept with the least support" in printed


def test_the_report_lists_every_descriptor_as_data(drafts: str) -> None:
    assert main(["descriptors", "consensus", drafts, "--output=out"]) == 0
    with Path("out/drafts.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 72
    assert sum(row["kept"] == "yes" for row in rows) == 24
    foreign = [row for row in rows if "=cmd" in row["descriptor"]]
    assert [(row["draft"], row["rank"], row["kept"]) for row in foreign] == [("2", "3", "no")] * 3
    right = [float(row["support"]) for row in rows if row["kept"] == "yes"]
    assert max(float(row["support"]) for row in foreign) < min(right)
    assert not foreign[0]["descriptor"].startswith("=")  # a spreadsheet must not run it


@pytest.mark.parametrize(
    ("given", "message"),
    [("d0", "at least two drafts"), ("d0,d0", "d0 is given twice"), ("d0,nowhere", "no label space 'nowhere'")],
)
def test_unusable_drafts_are_refused(drafts: str, given: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "consensus", given, "--output=out"]) == 1
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_an_existing_folder_is_kept(drafts: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "consensus", drafts, "--output=d1"]) == 1
    assert "d1 already exists" in capsys.readouterr().err
    assert json.loads(Path("d1/descriptors.json").read_text())["provenance"]["seed"] == 1


def test_the_check_warns_of_what_no_other_draft_has(drafts: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["descriptors", "check", "d0", "--drafts=d1,d2", "--output=found.csv"]) == 0
    with Path("found.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["rule"] == "unsupported"]
    assert {row["severity"] for row in rows} == {"warning"}
    assert [row["descriptor"] for row in rows].count("far too loud [music]") == 3
    assert len(rows) <= 4
    assert "unsupported" in capsys.readouterr().out
