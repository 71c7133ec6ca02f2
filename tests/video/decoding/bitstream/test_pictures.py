import random

import pytest

from ost_lightning.video.decoding.bitstream import PictureInfo, coded_order, order_by_types


def counted(count: int | None, period: int = 16, *, reference: bool = True, restarts: bool = False) -> PictureInfo:
    return PictureInfo(reference, restarts, order_count=count, order_period=period, restarts_order=restarts)


@pytest.mark.parametrize(
    ("types", "order"),
    [("", []), ("I", [0]), ("IPBB", [0, 2, 3, 1]), ("IPBBPB", [0, 2, 3, 1, 5, 4]), ("IBBP", [1, 2, 0, 3])],
)
def test_presentation_order_by_picture_types(types: str, order: list[int]) -> None:
    assert order_by_types(types) == order
    pictures = [PictureInfo(picture_type != "B", False, picture_type=picture_type) for picture_type in types]
    if pictures:
        assert coded_order(pictures) == order


def test_order_counts_wrap() -> None:
    rng = random.Random(0)
    shown, counts = 0, []
    for _ in range(50):  # groups of P B B, the counts of which go by two
        counts += [shown + 4, *rng.sample([shown, shown + 2], 2)]
        shown += 6
    pictures = [counted(0, restarts=True)]
    pictures += [counted((count + 2) % 16, reference=place % 3 == 0) for place, count in enumerate(counts)]
    order = coded_order(pictures)
    assert order is not None
    assert [0, *(counts[index - 1] + 2 for index in order[1:])] == list(range(0, 302, 2))


def test_order_counts_begin_anew() -> None:
    pictures = [counted(count % 16, restarts=count == 0) for count in (0, 8, 4, 0, 4, 2)]
    assert coded_order(pictures) == [0, 2, 1, 3, 5, 4]


def test_pictures_of_an_open_group_come_before_the_one_that_begins_it() -> None:
    pictures = [counted(1), counted(13, reference=False), counted(15, reference=False), counted(7)]
    assert coded_order(pictures) == [1, 2, 0, 3]


def test_pictures_without_reordering_or_without_an_order() -> None:
    assert coded_order([counted(5, 0), counted(0, 0), counted(9, 0)]) == [0, 1, 2]
    assert coded_order([counted(0), counted(None), counted(4)]) is None
