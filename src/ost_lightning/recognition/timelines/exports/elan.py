"""Timelines as ELAN annotation documents (.eaf, format 3.0).

The format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

import mimetypes
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from ost_lightning.characters import one_line
from ost_lightning.recognition.timelines.exports.names import milliseconds
from ost_lightning.recognition.timelines.timeline import Timeline
from ost_lightning.video.storage import reference

_SCHEMA: Final = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_ASSOCIATION: Final = "Symbolic_Association"
_STEREOTYPES: Final = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps allowed within this "
    "interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations referring to the same parent are "
    "ordered",
    _ASSOCIATION: "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, gaps are allowed",
}


def write_elan(file: Path, timelines: Sequence[Timeline]) -> None:
    """Writes one video's segments on the tier `action`, with the tiers `score` and `sentence`, and gaps on `gap`."""
    (timeline,) = timelines
    document = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "ost_lightning",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(document, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    media = one_line(reference(timeline.video, file.parent))
    media = media if "://" in media or media.startswith(("/", "../")) else f"./{media}"
    kind = mimetypes.guess_type(timeline.video)[0] or "video/mp4"
    ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=media, MIME_TYPE=kind, RELATIVE_MEDIA_URL=media)
    tiers = _Tiers(document)
    tiers.add_aligned("action", [(segment.start, segment.end, segment.label) for segment in timeline.segments])
    tiers.add_associated("score", [f"{segment.score:.3f}" for segment in timeline.segments])
    sentences = [segment.evidence[0].sentence if segment.evidence else "" for segment in timeline.segments]
    tiers.add_associated("sentence", sentences)
    if timeline.gaps:
        tiers.add_aligned("gap", [(gap.start, gap.end, gap.reason) for gap in timeline.gaps])
    tiers.finish()
    ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(tiers.annotations)
    ElementTree.indent(document)
    ElementTree.ElementTree(document).write(file, encoding="UTF-8", xml_declaration=True)


class _Tiers:
    """The tiers of a document, with the time slots and types that they refer to.

    Attributes:
        annotations: Number of annotations so far.
    """

    def __init__(self, document: ElementTree.Element) -> None:
        self._document = document
        self._times = ElementTree.SubElement(document, "TIME_ORDER")
        self._slots: list[tuple[int, str]] = []
        self.annotations = 0

    def add_aligned(self, name: str, entries: Sequence[tuple[float, float, str]]) -> None:
        """Adds a tier whose annotations have times."""
        tier = ElementTree.SubElement(self._document, "TIER", LINGUISTIC_TYPE_REF="interval", TIER_ID=name)
        for start, end, text in entries:
            first, last = (self._slot(time) for time in milliseconds(start, end))
            self._add(tier, "ALIGNABLE_ANNOTATION", text, {"TIME_SLOT_REF1": first, "TIME_SLOT_REF2": last})

    def add_associated(self, name: str, texts: Sequence[str]) -> None:
        """Adds a tier whose annotations belong to those of the tier `action`, which is the first one."""
        tier = ElementTree.SubElement(
            self._document, "TIER", LINGUISTIC_TYPE_REF="note", PARENT_REF="action", TIER_ID=name
        )
        for number, text in enumerate(texts, start=1):
            self._add(tier, "REF_ANNOTATION", text, {"ANNOTATION_REF": f"a{number}"})

    def finish(self) -> None:
        """Adds the time slots, in order of time, and the types and constraints, which follow the tiers."""
        for time, id_ in sorted(self._slots, key=lambda slot: slot[0]):
            ElementTree.SubElement(self._times, "TIME_SLOT", TIME_SLOT_ID=id_, TIME_VALUE=str(time))
        common = {"GRAPHIC_REFERENCES": "false"}
        ElementTree.SubElement(
            self._document, "LINGUISTIC_TYPE", common, LINGUISTIC_TYPE_ID="interval", TIME_ALIGNABLE="true"
        )
        ElementTree.SubElement(
            self._document,
            "LINGUISTIC_TYPE",
            common,
            CONSTRAINTS=_ASSOCIATION,
            LINGUISTIC_TYPE_ID="note",
            TIME_ALIGNABLE="false",
        )
        for stereotype, description in _STEREOTYPES.items():
            ElementTree.SubElement(self._document, "CONSTRAINT", DESCRIPTION=description, STEREOTYPE=stereotype)

    def _slot(self, time: int) -> str:
        id_ = f"ts{len(self._slots) + 1}"
        self._slots.append((time, id_))
        return id_

    def _add(self, tier: ElementTree.Element, kind: str, text: str, references: dict[str, str]) -> None:
        self.annotations += 1
        annotation = ElementTree.SubElement(tier, "ANNOTATION")
        entry = ElementTree.SubElement(annotation, kind, {"ANNOTATION_ID": f"a{self.annotations}", **references})
        ElementTree.SubElement(entry, "ANNOTATION_VALUE").text = one_line(text)
