"""ELAN's documents, read back as XML, and checked against the structure of format 3.0."""

from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ost_lightning.recognition.timelines import Timeline, save_timeline
from tests.recognition.timelines.exports.examples import HOSTILE, empty, hostile, ordinary

ORDER = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]


def document(timeline: Timeline, file: Path) -> ElementTree.Element:
    file.parent.mkdir(exist_ok=True)
    save_timeline(timeline, file)
    return ElementTree.parse(file).getroot()  # noqa: S314


def annotations(root: ElementTree.Element, tier: str) -> list[tuple[int | str, int | str, str]]:
    """Start, end (or the annotation referred to) and text of each annotation of a tier."""
    times = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")}
    found: list[tuple[int | str, int | str, str]] = []
    for entry in root.findall(f"TIER[@TIER_ID='{tier}']/ANNOTATION/*"):
        text = entry.findtext("ANNOTATION_VALUE") or ""
        if entry.tag == "ALIGNABLE_ANNOTATION":
            found.append((times[entry.attrib["TIME_SLOT_REF1"]], times[entry.attrib["TIME_SLOT_REF2"]], text))
        else:
            found.append((entry.attrib["ANNOTATION_REF"], "", text))
    return found


@pytest.mark.parametrize("timeline", [ordinary(), hostile(), empty()], ids=["ordinary", "hostile", "empty"])
def test_the_structure_is_that_of_format_3(tmp_path: Path, timeline: Timeline) -> None:
    root = document(timeline, tmp_path / "x.eaf")
    assert (root.tag, root.attrib["FORMAT"], root.attrib["VERSION"]) == ("ANNOTATION_DOCUMENT", "3.0", "3.0")
    assert datetime.fromisoformat(root.attrib["DATE"]).tzinfo is not None
    tags = [child.tag for child in root]
    assert tags == sorted(tags, key=ORDER.index)
    types = {entry.attrib["LINGUISTIC_TYPE_ID"] for entry in root.iter("LINGUISTIC_TYPE")}
    tiers = {tier.attrib["TIER_ID"] for tier in root.iter("TIER")}
    assert {tier.attrib["LINGUISTIC_TYPE_REF"] for tier in root.iter("TIER")} <= types
    assert {tier.attrib["PARENT_REF"] for tier in root.iter("TIER") if "PARENT_REF" in tier.attrib} <= tiers
    ids = [entry.attrib["ANNOTATION_ID"] for entry in root.iterfind("TIER/ANNOTATION/*")]
    assert len(set(ids)) == len(ids)
    assert root.findtext("HEADER/PROPERTY") == str(len(ids))
    slots = [int(slot.attrib["TIME_VALUE"]) for slot in root.iter("TIME_SLOT")]
    assert slots == sorted(slots)


def test_segments_sentences_scores_and_gaps_are_tiers(tmp_path: Path) -> None:
    root = document(ordinary(), tmp_path / "x.eaf")
    assert annotations(root, "action") == [(2000, 6500, "archery"), (41500, 50000, "surfing")]
    assert annotations(root, "score") == [("a1", "", "0.310"), ("a2", "", "0.290")]
    assert annotations(root, "sentence") == [("a1", "", "a video of a drawn bow."), ("a2", "", "")]
    assert annotations(root, "gap") == [(10000, 11500, "the connection was lost")]


def test_names_stay_text(tmp_path: Path) -> None:
    found = [text for _, _, text in annotations(document(hostile(), tmp_path / "x.eaf"), "action")]
    assert found[:3] == list(HOSTILE[:3])
    assert found[6] == r"\x00\x1b[31m bell\x07"


@pytest.mark.parametrize(
    ("video", "shown"),
    [
        ("videos/a b.mp4", "../videos/a b.mp4"),
        ("out/c.mkv", "./c.mkv"),
        ("https://host/d.mp4", "https://host/d.mp4"),
    ],
)
def test_the_video_is_referred_to_from_the_folder_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    media = document(ordinary(video), Path("out/x.eaf")).find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib["RELATIVE_MEDIA_URL"] == media.attrib["MEDIA_URL"] == shown
    assert media.attrib["MIME_TYPE"].startswith("video/")
