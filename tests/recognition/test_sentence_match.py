import torch

from ost_lightning.recognition.sentence_match import SentenceMatch


def match(contributions: list[float]) -> SentenceMatch:
    shares = torch.full((len(contributions),), 1 / len(contributions))
    return SentenceMatch("a man throws a ball", "temporal", 0.3, shares, torch.tensor(contributions), ())


def test_the_frame_of_a_match_is_the_first_of_those_that_show_the_same() -> None:
    assert match([0.2, 0.30001, 0.3, 0.1]).frame == 1
    assert match([0.2, 0.3, 0.3000001, 0.1]).frame == 1  # a copy that was rounded otherwise
    assert match([0.2, 0.3, 0.301, 0.1]).frame == 2
    assert match([-0.2, -0.1, -0.3]).frame == 1
    assert match([0.0, 0.0]).frame == 0
