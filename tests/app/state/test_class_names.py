"""Class names as they are pasted."""

import pytest

from ost_lightning.app.state.class_names import MAX_CLASSES, read_class_names, with_descriptors
from ost_lightning.errors import UserError
from ost_lightning.text import Descriptors, LabelSpace

LABELS = LabelSpace(
    ("pouring, then stirring", "surfing"),
    {name: Descriptors(("a",), ("b",)) for name in ("pouring, then stirring", "surfing")},
)


@pytest.mark.parametrize(
    ("text", "names", "repeated"),
    [
        ("archery", ("archery",), 0),
        ("archery, surfing\njuggling\tballs", ("archery", "surfing", "juggling", "balls"), 0),
        ("  archery ,,\r\n\n, surfing;Archery\n SURFING ", ("archery", "surfing"), 2),
        ("射箭，冲浪、杂耍", ("射箭", "冲浪", "杂耍"), 0),  # noqa: RUF001
        ("<img src=x onerror=alert(1)>", ("<img src=x onerror=alert(1)>",), 0),
        ("pouring, then stirring\nx", ("pouring", "then stirring", "x"), 0),
    ],
)
def test_names_are_split_at_commas_and_lines_and_kept_once(text: str, names: tuple[str, ...], repeated: int) -> None:
    found = read_class_names(text)
    assert (found.names, found.repeated) == (names, repeated)


def test_five_hundred_pasted_classes_with_duplicates() -> None:
    text = ", ".join(f"class {k % 400}" for k in range(500)) + "\nCLASS 7\n"
    found = read_class_names(text)
    assert found.names == tuple(f"class {k}" for k in range(400))
    assert str(found) == "400 classes, 101 duplicates left out"


def test_names_of_a_label_space_keep_their_commas() -> None:
    assert read_class_names("surfing\n pouring,  then stirring\na,b", LABELS).names == (
        "surfing",
        "pouring, then stirring",
        "a",
        "b",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no classes yet"),
        (" ,\n;, ", "no classes yet"),
        ("x" * 201, r"has 201 characters: expected at most 200"),
        (",".join(map(str, range(MAX_CLASSES + 1))), r"1,001 classes: expected at most 1,000"),
    ],
)
def test_what_makes_no_classes_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_class_names(text)


def test_descriptors_are_those_of_all_classes_or_of_none() -> None:
    assert with_descriptors(("surfing",), LABELS).descriptors == {"surfing": Descriptors(("a",), ("b",))}
    assert with_descriptors(("surfing", "archery"), LABELS).descriptors == {}
    assert with_descriptors(("surfing",), None).descriptors == {}
