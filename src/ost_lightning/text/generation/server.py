"""Client of OpenAI's server, or of any with the same protocol (OPENAI_BASE_URL: vLLM, Ollama, LM Studio, ...)."""

import json
import os
import re
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import openai

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.text.generation.answers.parsing import DescriptorList
from ost_lightning.text.generation.answers.responses import REDACTED
from ost_lightning.text.generation.http_client import LimitedClient
from ost_lightning.text.generation.settings import Limits, Sampling

RESPONSE_FORMAT: Final[dict[str, Any]] = {
    "type": "json_schema",
    "json_schema": {"name": "descriptors", "strict": True, "schema": DescriptorList.model_json_schema()},
}
_OPENAI: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"
_STRUCTURE_WORDS: Final = ("response_format", "json_schema", "schema", "structured", "guided", "grammar")
_STRUCTURE_STATUS: Final = (400, 404, 415, 422, 500, 501)
_FILTER_CODES: Final = ("content_filter", "content_policy_violation")
_MAX_MESSAGE: Final = 300
_MAX_ERROR: Final = 2000
_SECRET_LENGTH: Final = 16
_SECRET_WORD_LENGTH: Final = 24
"""Lengths from which a key can't be an ordinary word of an answer; longer if it consists of letters only."""


class StructureRefused(Exception):
    """Raised when the server does not support structured output."""


class NoAnswer(Exception):
    """Raised when the server did not answer a request after all retries."""


class Server:
    """Client of the server that the environment specifies.

    The key (OPENAI_API_KEY) stays in this class: it is removed from messages, and from answers unless it is an ordinary
    word, which servers that need no key are often given.

    Args:
        limits: Time-outs and retries.

    Raises:
        UserError: If neither a key nor a server is set, or one of them is invalid.
    """

    def __init__(self, limits: Limits) -> None:
        url = os.environ.get("OPENAI_BASE_URL") or None
        self._key = (os.environ.get("OPENAI_API_KEY") or "").strip()
        if not self._key and url is None:
            raise UserError(
                "No API key found: set OPENAI_API_KEY, or set OPENAI_BASE_URL to a server that needs no key "
                "(e.g. http://localhost:11434/v1)."
            )
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise UserError("OPENAI_API_KEY must be ASCII without spaces and line breaks. Copy the key again.")
        if url is not None and urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"OPENAI_BASE_URL is '{self._message(url)}', expected a URL such as https://host/v1.")
        self.client = openai.AsyncOpenAI(
            api_key=self._key or _NO_KEY,
            base_url=url or _OPENAI,
            timeout=limits.timeout,
            max_retries=limits.retries,
            http_client=LimitedClient(limits.timeout),
        )
        self.host = urlsplit(str(self.client.base_url)).netloc.rpartition("@")[2]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.client.close()

    async def ask(self, request: dict[str, Any]) -> str:
        """Requests a chat completion; the client retries after 429, 5xx and time-outs, and respects Retry-After.

        Errors in responses of status 200 are treated as responses of the error's status.

        Args:
            request: Body of the request, from `request_body`.

        Returns:
            Unparsed response body, without the key unless that is an ordinary word.

        Raises:
            StructureRefused: If the server does not support the response format.
            NoAnswer: If the server did not answer.
            UserError: If the server would reject all other requests as well.
        """
        try:
            response = await self.client.chat.completions.with_raw_response.create(**request)
        except openai.APIError as error:
            # the chained exceptions may contain the key, in the server's message or in a header
            raise self.failure(error, structured="response_format" in request) from None
        return self.hide(response.http_response.content.decode(errors="replace"))

    def failure(self, error: Exception, *, structured: bool = False) -> Exception:
        """Translates an error of the client to StructureRefused, NoAnswer or UserError, without the key."""
        message = self._message(str(error)) or type(error).__name__
        if isinstance(error, openai.APIStatusError):
            if structured and error.status_code in _STRUCTURE_STATUS and concerns_structured_output(message):
                return StructureRefused(message)
            if error.status_code in (401, 403):
                return UserError(f"{self.host} does not accept the key (OPENAI_API_KEY): {message}")
            if error.status_code == 404:
                return UserError(f"{self.host} has no such model or address (model, OPENAI_BASE_URL): {message}")
            if error.code == "insufficient_quota":
                return UserError(f"The account has no credit left: {message}. Answers so far are kept.")
            if error.code in _FILTER_CODES:
                return NoAnswer(message)
            if error.status_code in (400, 422):
                return UserError(
                    f"{self.host} does not accept the request: {message}. If the message names a setting, disable it: "
                    "--temperature null, --seed null, --structured false."
                )
        return NoAnswer(message)

    def hide(self, text: str) -> str:
        """Returns an answer with the key replaced, unchanged if the key is short enough to be an ordinary word."""
        shortest = _SECRET_WORD_LENGTH if self._key.isalpha() else _SECRET_LENGTH
        if len(self._key) < shortest:
            return text
        for written in {self._key, json.dumps(self._key)[1:-1], self._key.replace("/", "\\/")}:
            text = text.replace(written, REDACTED)
        return text

    def _message(self, text: str) -> str:
        """Returns a message in one printable line of at most 300 characters, with any key replaced."""
        line = escaped(" ".join(text[: 2 * _MAX_ERROR].split()))
        if self._key:
            line = re.sub(rf"(?<!\w){re.escape(self._key)}(?!\w)", REDACTED, self.hide(line))
        return line[:_MAX_MESSAGE]


def concerns_structured_output(message: str) -> bool:
    """Returns whether an error message is about structured output."""
    return any(word in message.lower() for word in _STRUCTURE_WORDS)


def request_body(
    sampling: Sampling, messages: list[dict[str, str]], attempt: int, *, structured: bool
) -> dict[str, Any]:
    """Returns the body of a chat completion request.

    Args:
        sampling: Model, temperature and seed; the seed is incremented per attempt.
        messages: Messages of the conversation.
        attempt: Index of the attempt, from 0.
        structured: Whether to request JSON with the schema of `DescriptorList`.
    """
    body: dict[str, Any] = {"model": sampling.model, "messages": messages}
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.seed is not None:
        body["seed"] = sampling.seed + attempt
    if structured:
        body["response_format"] = RESPONSE_FORMAT
    return body
