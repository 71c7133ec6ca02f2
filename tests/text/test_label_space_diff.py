from ost_lightning.text import Descriptors, LabelSpace, compare
from tests.operations import counted_names, text_uses

FIRST = LabelSpace(
    ("a", "b", "c"),
    {"a": Descriptors(("x", "y"), ("p", "q")), "b": Descriptors(("v", "w"), ("r", "s"))},
    provenance={"model": "one", "per_class": 2},
)


def test_a_label_space_equals_itself() -> None:
    difference = compare(FIRST, FIRST)
    assert not difference
    assert difference.kept == 8


def test_all_differences_are_reported() -> None:
    second = LabelSpace(
        ("b", "a", "d"),
        {"a": Descriptors(("y", "x"), ("p", "z")), "b": FIRST.descriptors["b"]},
        provenance={"model": "two", "per_class": 2},
    )
    difference = compare(FIRST, second)
    assert difference
    assert (difference.removed, difference.added, difference.same_order) == (("c",), ("d",), False)
    assert difference.provenance == {"model": ("one", "two")}
    spatio, temporal = difference.lists
    assert (spatio.name, spatio.kind, spatio.removed, spatio.added, spatio.reordered) == ("a", "spatio", (), (), True)
    assert (temporal.kind, temporal.removed, temporal.added, temporal.reordered) == ("temporal", ("q",), ("z",), False)
    assert difference.kept == 7


def test_rephrased_names_are_compared() -> None:
    texts = {"a": Descriptors(("x", "y"), ("p", "q"), ("doing a",)), "b": FIRST.descriptors["b"]}
    (name,) = compare(FIRST, LabelSpace(FIRST.names, texts, provenance=FIRST.provenance)).lists
    assert (name.kind, name.added) == ("name", ("doing a",))


def test_swapping_the_label_spaces_swaps_removed_and_added() -> None:
    second = LabelSpace(("a",), {"a": Descriptors(("x",), ("p", "q", "t"))})
    forward, backward = compare(FIRST, second), compare(second, FIRST)
    assert (forward.removed, forward.added, forward.kept) == (backward.added, backward.removed, backward.kept)
    assert [(entry.removed, entry.added) for entry in forward.lists] == [
        (entry.added, entry.removed) for entry in backward.lists
    ]


def test_comparing_looks_at_each_class_a_few_times() -> None:
    first, second = (LabelSpace(counted_names(1000)) for _ in range(2))
    assert text_uses(lambda: compare(first, second)) < 50 * len(first)
