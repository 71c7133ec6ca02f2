"""Bodies of HTTP responses: the text of a chat completion, or the error that the server reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from ost_lightning.characters import escaped

MAX_BYTES: Final = 2_000_000
"""Size limit of a response; the rest is not read."""

REDACTED: Final = "[key]"
"""Replacement for an API key that a server repeats."""

_MAX_MESSAGE: Final = 300
_MAX_NAME: Final = 200
_MAX_TOKENS: Final = 2**53
_TEXT_PARTS: Final = ("text", "output_text", None)
_TRUNCATED: Final = ("length", "max_tokens", "max_output_tokens", "model_length", "error", "abort")
_FILTERED: Final = ("content_filter", "safety", "refusal", "recitation", "prohibited_content", "blocklist")


@dataclass(frozen=True, slots=True)
class Completion:
    """First choice of a chat completion.

    Attributes:
        content: Text of the answer, without the thoughts that a server sends separately.
        refused: Whether the server or the model marked the answer as refused.
        truncated: Whether the answer ended at the length limit.
        model: Name of the model, as reported by the server.
        prompt_tokens: Number of prompt tokens; 0 if not reported.
        completion_tokens: Number of answer tokens; 0 if not reported.
    """

    content: str
    refused: bool = False
    truncated: bool = False
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ServerError:
    """Error that a server reports in the body of a response.

    Attributes:
        message: The server's words, in one printable line of at most 300 characters.
        status: HTTP status that the body mentions; 500 if it mentions none.
    """

    message: str
    status: int = 500


def read_response(body: str) -> Completion | ServerError | None:
    """Reads the body of a response; None if it is neither a chat completion nor an error.

    Args:
        body: Body, unchanged.
    """
    if is_too_long(body):
        return None
    try:
        content = from_json(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    choices = content.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return _error_in(content)
    if (error := choice.get("error")) and not _text(choice.get("message")):
        return _error_in({"error": error})
    return _completion(content, choice)


def is_too_long(body: str) -> bool:
    """Returns whether a body exceeds the size limit."""
    return len(body) > MAX_BYTES or (4 * len(body) > MAX_BYTES and len(body.encode(errors="replace")) > MAX_BYTES)


def _completion(content: Mapping[str, Any], choice: Mapping[str, Any]) -> Completion | None:
    message = choice.get("message")
    if not isinstance(message, dict):
        return None
    reason = str(choice.get("finish_reason") or "").lower()
    found = content.get("usage")
    usage = found if isinstance(found, dict) else {}
    parts = message.get("content")
    refusals = [part for part in parts if _type(part) == "refusal"] if isinstance(parts, list) else []
    return Completion(
        _text(message),
        bool(message.get("refusal") or refusals or reason in _FILTERED),
        reason in _TRUNCATED,
        _name(content.get("model")),
        _tokens(usage.get("prompt_tokens")),
        _tokens(usage.get("completion_tokens")),
    )


def _text(message: Any) -> str:
    """Returns the text of a message, whose content may be a string or a list of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    return "".join(map(_text_of_part, parts))


def _text_of_part(part: Any) -> str:
    """Returns the text of a part; empty for thoughts, refusals and pictures."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or _type(part) not in _TEXT_PARTS:
        return ""
    text = part.get("text")
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""


def _type(part: Any) -> Any:
    return part.get("type") if isinstance(part, dict) else None


def _error_in(content: Mapping[str, Any]) -> ServerError | None:
    """Returns the error in a body such as {"error": {"message": "...", "code": 502}} or {"detail": "..."}."""
    for key in ("error", "errors", "detail", "message"):
        if found := content.get(key):
            found = found[0] if isinstance(found, list) else found
            inner = found if isinstance(found, dict) else {}
            words = next((inner[name] for name in ("message", "msg", "detail", "error") if inner.get(name)), found)
            codes = [entry.get(name) for entry in (inner, content) for name in ("code", "status", "status_code")]
            status = next((int(str(code)) for code in codes if _is_status(code)), 500)
            return ServerError(escaped(" ".join(str(words).split()))[:_MAX_MESSAGE], status)
    return None


def _is_status(code: Any) -> bool:
    return isinstance(code, int | str) and str(code).isdecimal() and len(str(code)) == 3 and 400 <= int(code) <= 599


def _name(value: Any) -> str:
    return escaped(value)[:_MAX_NAME] if isinstance(value, str) else ""


def _tokens(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < _MAX_TOKENS else 0
