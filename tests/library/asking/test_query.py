"""Queries in words: steps and sentences by hand, classes of a label space, and what is refused."""

import pytest

from ost_lightning.errors import UserError
from ost_lightning.library.asking.query import ORDER_SIGMA, Query, class_of
from ost_lightning.text import LabelSpace

SPACE = LabelSpace(("archery", "riding a horse", "Reiten Öl"))


@pytest.mark.parametrize("text", ["pours, then stirs", "pours then stirs", "pours -> stirs", "pours → stirs"])
def test_steps_joined_by_then_have_an_order(text: str) -> None:
    assert Query.by_hand(temporal=text) == Query(temporal=("pours", "stirs"), order_sigma=ORDER_SIGMA)


def test_steps_beside_one_another_have_none() -> None:
    assert Query.by_hand(temporal="strengthens; authenticates") == Query(temporal=("strengthens", "authenticates"))
    assert Query.by_hand("cooking", "a pot；a spoon") == Query("cooking", ("a pot", "a spoon"))  # noqa: RUF001
    assert Query.by_hand(temporal="a, then b", order_sigma=0.1).order_sigma == 0.1


@pytest.mark.parametrize("text", ["切菜", "يقفز", "прыжок", "👩‍🍳", "x" * 10_000])
def test_any_text_is_a_query(text: str) -> None:
    assert Query.by_hand(text, temporal=text).temporal == (text,)
    assert len(str(Query(text))) <= 80


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "query is empty"),
        ({"name": " \n"}, "query is empty"),
        ({"spatio": ""}, "empty sentence"),
        ({"temporal": "a;; b"}, "empty sentence"),
        ({"temporal": "then"}, "empty sentence"),
        ({"name": "a", "order_sigma": 0.0}, "positive number"),
        ({"name": "caf\udce9"}, r"'caf\\udce9' is not UTF-8 text"),
        ({"temporal": "a, then caf\udce9"}, r"'caf\\udce9' is not UTF-8 text"),
    ],
)
def test_what_says_nothing_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Query.by_hand(**settings)


def test_classes_are_found_regardless_of_case_and_spaces() -> None:
    assert class_of(SPACE, " Riding  a HORSE") == "riding a horse"
    assert class_of(SPACE, "reiten öl") == "Reiten Öl"


def test_the_nearest_classes_are_named() -> None:
    with pytest.raises(UserError, match=r"no class 'archerie'\. The nearest names are 'archery'"):
        class_of(SPACE, "archerie")
    with pytest.raises(UserError, match=r"no class 'x+…'") as caught:
        class_of(SPACE, "x" * 10_000)
    assert "nearest" not in str(caught.value)
