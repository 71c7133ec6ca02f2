from ost_lightning.analysis.report.confused import MOST_CLASSES, confusion
from ost_lightning.analysis.report.scored_videos import ScoredVideo


def video(label: str, recognized: str, error: str = "") -> ScoredVideo:
    return ScoredVideo("x", None, None, label, recognized, 0.5, None, "", error)


def test_the_most_frequent_mistakes_come_first() -> None:
    videos = [video("a", "b")] * 3 + [video("a", "a"), video("b", "c"), video("c", "", "broken")]
    found = confusion(videos)
    assert [(pair.label, pair.recognized, pair.videos, pair.share) for pair in found.pairs] == [
        ("a", "b", 3, 0.75),
        ("b", "c", 1, 1.0),
    ]
    assert found.names == ("a", "b", "c")
    assert found.matrix == ((1, 3, 0), (0, 0, 1), (0, 0, 0))
    assert found.unreadable == 1


def test_a_matrix_of_too_many_classes_is_not_drawn() -> None:
    videos = [video(f"{k}", f"{k}") for k in range(MOST_CLASSES)]
    assert len(confusion(videos).matrix) == MOST_CLASSES
    assert confusion([*videos, video("one more", "0")]).names == ()
