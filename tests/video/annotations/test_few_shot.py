import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.video.annotations.few_shot import draw_shots

IDS = [f"video {k}" for k in range(60)]
LABELS = [k % 3 for k in range(60)]


@given(st.integers(1, 20), st.integers(0, 5), st.randoms())
def test_the_draw_depends_on_the_seed_and_the_ids_only(shots: int, seed: int, random: object) -> None:
    drawn = draw_shots(IDS, LABELS, shots, seed)
    assert drawn == sorted(set(drawn))
    assert [sum(LABELS[index] == label for index in drawn) for label in range(3)] == [shots] * 3
    order = list(range(60))
    random.shuffle(order)
    again = draw_shots([IDS[k] for k in order], [LABELS[k] for k in order], shots, seed)
    assert {IDS[order[index]] for index in again} == {IDS[index] for index in drawn}
    assert set(draw_shots(IDS, LABELS, max(1, shots // 2), seed)) <= set(drawn)
    one_class = [k for k in range(60) if LABELS[k] == 1]
    alone = draw_shots([IDS[k] for k in one_class], [1] * len(one_class), shots, seed)
    assert {one_class[index] for index in alone} == {index for index in drawn if LABELS[index] == 1}


def test_seeds_differ_and_every_video_can_be_drawn() -> None:
    draws = [frozenset(draw_shots(IDS, LABELS, 4, seed)) for seed in range(40)]
    assert len(set(draws)) == 40
    assert frozenset().union(*draws) == set(range(60))


def test_too_few_videos_are_refused() -> None:
    with pytest.raises(UserError, match=r"1 of 2 classes have fewer than 2 videos \(class b has 1\)\. Use fewer shots"):
        draw_shots(["x", "y", "z"], ["a", "a", "b"], 2, 0)
    with pytest.raises(UserError, match="shots is 0, but at least one video per class"):
        draw_shots(["x"], ["a"], 0, 0)


def test_the_draw_of_a_seed_never_changes() -> None:
    assert draw_shots(IDS, LABELS, 2, 0) == [0, 5, 9, 29, 46, 58]
    assert draw_shots(["a", "b"], [0, 1], 1, 0) == [0, 1]
