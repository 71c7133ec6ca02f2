import json
from typing import Any

import pytest

from ost_lightning.text.generation.answers.responses import Completion, ServerError, read_response


def response(message: Any, **more: Any) -> str:
    return json.dumps({"model": "m", "choices": [{"index": 0, "message": message} | more]})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a bow", "a bow"),
        ([{"type": "text", "text": "a bow"}], "a bow"),
        ([{"type": "text", "text": "a "}, {"type": "output_text", "text": "bow"}], "a bow"),
        ([{"type": "thinking", "thinking": "a hat"}, {"type": "text", "text": "a bow"}], "a bow"),
        ([{"type": "reasoning", "text": "a hat"}, {"type": "text", "text": {"value": "a bow"}}], "a bow"),
        (["a ", "bow", 3, None], "a bow"),
        ({"type": "text", "text": "a bow"}, "a bow"),
        (None, ""),
        ([], ""),
        (7, ""),
    ],
)
def test_content_may_come_in_parts(content: Any, text: str) -> None:
    found = read_response(response({"role": "assistant", "content": content}))
    assert isinstance(found, Completion)
    assert found.content == text


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_in_their_own_field_are_ignored(field: str) -> None:
    assert read_response(response({"content": None, field: "a hat"})) == Completion("", model="m")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "Provider is overloaded", "code": 502}}, ServerError("Provider is overloaded", 502)),
        ({"error": {"message": "Slow  down\n", "code": "429"}}, ServerError("Slow down", 429)),
        ({"error": {"message": "busy", "code": "rate_limit_exceeded"}}, ServerError("busy", 500)),
        ({"error": "model is loading"}, ServerError("model is loading", 500)),
        ({"errors": [{"message": "busy"}]}, ServerError("busy", 500)),
        ({"detail": [{"msg": "no such field", "type": "x"}]}, ServerError("no such field", 500)),
        ({"object": "error", "message": "no model", "code": 404}, ServerError("no model", 404)),
        ({"type": "error", "error": {"type": "x", "message": "Overloaded"}}, ServerError("Overloaded", 500)),
        ({"choices": [], "error": {"message": "busy", "code": 503}}, ServerError("busy", 503)),
        ({"choices": [{"error": {"message": "lost", "code": 502}}]}, ServerError("lost", 502)),
        ({"error": "a \x1b[31mred\u202e word"}, ServerError("a \\x1b[31mred\\u202e word", 500)),
        ({"error": "x" * 1000}, ServerError("x" * 300, 500)),
    ],
)
def test_errors_keep_the_words_of_the_server(body: Any, error: ServerError) -> None:
    assert read_response(json.dumps(body)) == error


@pytest.mark.parametrize(
    "body", ["", "no JSON", "[]", "3", "{}", '{"choices": []}', '{"choices": [3]}', '{"error": null}']
)
def test_other_bodies_are_neither(body: str) -> None:
    assert read_response(body) is None


@pytest.mark.parametrize(
    "usage", [None, 3, {}, {"prompt_tokens": "many", "completion_tokens": -1}, {"prompt_tokens": 1e300}]
)
def test_wrong_token_counts_do_not_spoil_an_answer(usage: Any) -> None:
    body = json.loads(response({"content": "a bow"})) | {"usage": usage, "model": 5}
    assert read_response(json.dumps(body)) == Completion("a bow")


@pytest.mark.parametrize(
    ("message", "reason", "refused", "truncated"),
    [
        ({"content": "a", "refusal": "No."}, "stop", True, False),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "stop", True, False),
        ({"content": "a"}, "SAFETY", True, False),
        ({"content": "a"}, "MAX_TOKENS", False, True),
        ({"content": "a"}, None, False, False),
    ],
)
def test_reasons_why_an_answer_ended(message: Any, reason: str | None, refused: bool, truncated: bool) -> None:
    found = read_response(response(message, finish_reason=reason))
    assert isinstance(found, Completion)
    assert (found.refused, found.truncated) == (refused, truncated)
