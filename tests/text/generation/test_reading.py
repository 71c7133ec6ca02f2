import json

import pytest

from ost_lightning.text.generation.reading import read_answer
from tests.text.generation.fake_llm import completion

TEXTS = ["a bow", "an arrow", "a target", "a glove"]


def body(content: str | None, **more: str) -> str:
    return json.dumps(completion(content, **more))


def test_a_usable_answer() -> None:
    reading = read_answer(body(json.dumps({"descriptors": TEXTS})), "spatio", 4, max_words=5)
    assert reading.descriptors == tuple(TEXTS)
    assert (reading.problem, reading.model) == ("", "fake-llm-1")
    assert (reading.prompt_tokens, reading.completion_tokens) == (100, 40)


def test_ranked_lists_are_truncated_and_sequences_are_not() -> None:
    longer = body("\n".join(f"- {text}" for text in TEXTS))
    assert read_answer(longer, "spatio", 3, max_words=5).descriptors == tuple(TEXTS[:3])
    assert read_answer(longer, "temporal", 3, max_words=5).problem == "it had 4 items instead of 3"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (body("- a bow\n- an arrow"), "it had 2 items instead of 4"),
        (body("- a bow\n- A  bow.\n- an arrow\n- a target"), "an item stood twice"),
        (body("- a\n- b\n- c\n- " + "long " * 9), "an item had 9 words, at most 5 are allowed"),
        (body("I'm sorry, but I cannot do that."), "it was refused"),
        (body("I\u2019m sorry, but I can\u2019t do that."), "it was refused"),
        (body(None, refusal="No."), "it was refused"),
        (body("1. a", finish="content_filter"), "it was refused"),
        (body("1. a\n2. b\n3. c\n4. d", finish="length"), "it broke off at the length limit"),
        (body(""), "it was empty"),
        (body(None), "it was empty"),
        ("", "the response was not a chat completion, or broke off"),
        ('{"choices": [{"mess', "the response was not a chat completion, or broke off"),
        ('{"choices": []}', "the response was not a chat completion, or broke off"),
        ("<html>Bad gateway</html>", "the response was not a chat completion, or broke off"),
    ],
)
def test_each_problem_has_its_message(answer: str, problem: str) -> None:
    reading = read_answer(answer, "temporal", 4, max_words=5)
    assert reading.problem == problem
    assert reading.descriptors == ()


def test_optional_parts_of_a_response_may_be_missing() -> None:
    minimal = json.dumps({"choices": [{"message": {"content": "- a\n- b"}}]})
    reading = read_answer(minimal, "temporal", 2, max_words=5)
    assert reading.descriptors == ("a", "b")
    assert (reading.model, reading.prompt_tokens) == ("", 0)
