"""The table in which people edit sentences."""

import pytest

from ost_lightning.app.state.sentence_table import edited, table_rows
from ost_lightning.errors import UserError
from ost_lightning.text import Descriptors, LabelSpace

LABELS = LabelSpace(
    ("archery", "surfing"),
    {
        name: Descriptors((f"{name} a", f"{name} b", "spare"), (f"{name} c", f"{name} d"), (f"doing {name}",))
        for name in ("archery", "surfing")
    },
    provenance={"source": "test"},
)
ROWS = [
    ["what is visible", "archery a"],
    ["what is visible", "archery b"],
    ["what happens", "archery c"],
    ["what happens", "archery d"],
]


def test_rows_are_the_sentences_that_are_used() -> None:
    assert table_rows(LABELS, "archery", 2) == ROWS
    assert [row[1] for row in table_rows(LabelSpace(("archery",)), "archery", 1)] == ["archery", "archery"]


def test_an_edit_changes_one_class() -> None:
    new = edited(LABELS, "archery", [*ROWS[:3], ["what happens", " lets  go\n"]], 2)
    expected = Descriptors(("archery a", "archery b", "spare"), ("archery c", "lets go"), ("doing archery",))
    assert new.descriptors["archery"] == expected
    assert new.descriptors["surfing"] == LABELS.descriptors["surfing"]
    assert new.provenance == {"source": "test", "edited": "by hand, in the app"}
    assert edited(LABELS, "archery", ROWS, 2).descriptors == LABELS.descriptors


def test_classes_without_sentences_get_their_names() -> None:
    new = edited(LabelSpace(("archery", "surfing")), "archery", [["", "a bow"], ["", "shoots"]], 1)
    assert new.descriptors == {
        "archery": Descriptors(("a bow",), ("shoots",)),
        "surfing": Descriptors(("surfing",), ("surfing",)),
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:3], "3 rows: expected 2 of each kind"),
        ([*ROWS[:3], ["what happens", " "]], "Row 4 of the table is empty"),
        ([*ROWS[:3], ["what happens", None]], "Row 4 of the table is empty"),
        ([*ROWS[:3], []], "Row 4 of the table is empty"),
        ([["", "x" * 201], *ROWS[1:]], "Row 1 has 201 characters"),
    ],
)
def test_rows_that_are_no_sentences_are_refused(rows: list[list[object]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        edited(LABELS, "archery", rows, 2)


def test_a_class_that_has_gone_is_refused() -> None:
    with pytest.raises(UserError, match="no class 'juggling' any more"):
        edited(LABELS, "juggling", ROWS, 2)
