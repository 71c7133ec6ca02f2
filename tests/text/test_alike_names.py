import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from ost_lightning.models import token_count
from ost_lightning.models.encoders.siglip import canonicalize
from ost_lightning.text import alike_names, describe_alike


def lowercase(texts: Sequence[str]) -> list[str]:
    return [text.lower() for text in texts]


def test_names_are_grouped_in_order() -> None:
    assert alike_names(("hug", "Archery", "kick", "archery", "ARCHERY", "Kick"), lowercase) == [
        ("Archery", "archery", "ARCHERY"),
        ("kick", "Kick"),
    ]
    assert alike_names(("hug", "kick"), lowercase) == []


COMPOSED = "fianc\u00e9"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("archery", "Archery"),
        ("playing  ball", "playing ball"),
        ("playing\u00a0ball", "playing ball"),
        ("playing\tball", "playing ball"),
        ("playing\u2028ball", "playing ball"),
        (COMPOSED, unicodedata.normalize("NFD", COMPOSED)),
        (COMPOSED, COMPOSED.upper()),
    ],
)
def test_what_the_tokenizer_of_clip_ignores(first: str, second: str) -> None:
    counter = token_count("tiny")
    assert counter.read is not None
    assert alike_names((first, second), counter.read) == [(first, second)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (COMPOSED, "fianc\u00e8"),  # the tiny CLIP knows neither character
        ("\u6771\u4eac", "\u4eac\u90fd"),
        ("archery", "arch ery"),
        ("sit-up", "situp"),
        ("sit-up", "sit up"),
        ("a\x00b", "a b"),
    ],
)
def test_what_the_tokenizer_of_clip_tells_apart(first: str, second: str) -> None:
    counter = token_count("tiny")
    assert counter.read is not None
    assert alike_names((first, second), counter.read) == []


def test_siglip_ignores_punctuation() -> None:
    def read(texts: Sequence[str]) -> list[str]:
        return [canonicalize(text) for text in texts]

    assert alike_names(("sit-up", "situp", "sit_up", "Sit up!", "?"), read) == [
        ("", "?"),
        ("sit-up", "situp"),
        ("sit_up", "Sit up!"),
    ]


def test_the_description_is_printable() -> None:
    assert describe_alike([], "mine", "tokenizer of x") == ""
    text = describe_alike([("a\u202eb", "A\u202eb")], "mine", "tokenizer of x")
    assert "'a\\u202eb' = 'A\\u202eb'" in text
    assert text.isprintable()


def test_of_many_names_the_first_ones_are_shown() -> None:
    def shown(count: int) -> str:
        text = describe_alike([[f"step {k}" for k in range(count)]], "mine", "tokenizer of x")
        return text.partition(": ")[2].partition(". Sentences")[0]

    assert shown(4) == "'step 0' = 'step 1' = 'step 2' = 'step 3'"
    assert shown(90) == "'step 0' = 'step 1' = 'step 2' = 87 more"


def test_the_recognizer_warns(tmp_path: Path) -> None:
    from ost_lightning import Recognizer

    with pytest.warns(UserWarning, match=r"same text for the tokenizer of tiny: 'Archery' = 'archery'\."):
        Recognizer.load("tiny", labels=["Archery", "hugging", "archery"], device="cpu")
