from ost_lightning import Recognition

FOUND = Recognition("a.mp4", ("archery", "surfing", "juggling"), (0.7, 0.2, 0.1))


def test_the_most_likely_class_and_its_probability() -> None:
    assert (FOUND.label, FOUND.probability) == ("archery", 0.7)
    assert FOUND.top(2) == [("archery", 0.7), ("surfing", 0.2)]
    assert len(FOUND.top()) == 3


def test_text_representations() -> None:
    assert str(FOUND) == "a.mp4: archery (70.0 %), surfing (20.0 %), juggling (10.0 %)"
    assert repr(FOUND) == "Recognition('a.mp4', label='archery', probability=0.7000)"


def test_a_level_says_none_of_these() -> None:
    shown, none = (Recognition("a.mp4", ("x", "y"), (share, 0.1), none_below=0.3) for share in (0.3, 0.2))
    assert (shown.none_of_these, none.none_of_these) == (False, True)
    assert Recognition("a.mp4", ("x",), (0.2,)).none_of_these is None
    assert str(none) == "a.mp4: none of these: x (20.0 %), y (10.0 %)"
    assert none.table().endswith("\n  none of these: all are below 30 %")
    assert "none of these" not in str(shown) + shown.table()
