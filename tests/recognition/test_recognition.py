from ost_lightning import Recognition

FOUND = Recognition("a.mp4", ("archery", "surfing", "juggling"), (0.7, 0.2, 0.1))


def test_the_most_likely_class_and_its_probability() -> None:
    assert (FOUND.label, FOUND.probability) == ("archery", 0.7)
    assert FOUND.top(2) == [("archery", 0.7), ("surfing", 0.2)]
    assert len(FOUND.top()) == 3


def test_text_representations() -> None:
    assert str(FOUND) == "a.mp4: archery (70.0 %), surfing (20.0 %), juggling (10.0 %)"
    assert repr(FOUND) == "Recognition('a.mp4', label='archery', probability=0.7000)"
