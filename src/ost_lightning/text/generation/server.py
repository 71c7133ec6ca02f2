"""The server that answers: OpenAI's, or any that speaks its protocol (OPENAI_BASE_URL: vLLM, Ollama, LM Studio ...)."""

import asyncio
import os
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import openai

from ost_lightning.errors import UserError
from ost_lightning.text.generation.parsing import DescriptorList
from ost_lightning.text.generation.settings import Limits, Sampling

RESPONSE_FORMAT: Final[dict[str, Any]] = {
    "type": "json_schema",
    "json_schema": {"name": "descriptors", "strict": True, "schema": DescriptorList.model_json_schema()},
}
_OPENAI: Final = "https://api.openai.com/v1"
_NO_KEY: Final = "none"
_ABOUT_STRUCTURE: Final = ("response_format", "json_schema", "schema", "structured", "guided", "grammar")
_FILTERED: Final = ("content_filter", "content_policy_violation")
_LONGEST_RETRY_AFTER: Final = 120.0
"""Seconds; a server that asks for more is not waited for."""


class StructureRefused(Exception):
    """The server does not know structured output."""


class NoAnswer(Exception):
    """The server gave no answer to one request, after all retries."""


class Server:
    """A client of the server named by the environment.

    The key (OPENAI_API_KEY) stays in here: `hide` takes it out of whatever the server says.

    Args:
        limits: Time-outs and retries.

    Raises:
        UserError: If neither a key nor a server of one's own is given, or the key can't be one.
    """

    def __init__(self, limits: Limits) -> None:
        url = os.environ.get("OPENAI_BASE_URL") or None
        self._key = (os.environ.get("OPENAI_API_KEY") or "").strip()
        if not self._key and url is None:
            raise UserError(
                "There is no key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own that needs none "
                "(e.g. http://localhost:11434/v1)."
            )
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            raise UserError("OPENAI_API_KEY holds characters that no key has (spaces, line ends, accents).")
        if url is not None and urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"OPENAI_BASE_URL is '{self.hide(url)}', expected http://... or https://... up to /v1.")
        self.client = openai.AsyncOpenAI(
            api_key=self._key or _NO_KEY, base_url=url or _OPENAI, timeout=limits.timeout, max_retries=limits.retries
        )
        self.host = urlsplit(str(self.client.base_url)).netloc.rpartition("@")[2]
        # no server can hold a request longer, also not one that sends a byte now and then
        self._deadline = (limits.retries + 1) * (limits.timeout + _LONGEST_RETRY_AFTER)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.client.close()

    async def ask(self, request: dict[str, Any]) -> str:
        """Sends one chat completion; the client repeats it after 429, 5xx and time-outs, and heeds Retry-After.

        Args:
            request: See `request_body`.

        Returns:
            The response's body, unread.

        Raises:
            StructureRefused: If the server does not know the response format.
            NoAnswer: If it did not answer.
            UserError: If it will refuse every other request as well.
        """
        try:
            async with asyncio.timeout(self._deadline):
                response = await self.client.chat.completions.with_raw_response.create(**request)
        except (openai.APIError, TimeoutError) as error:
            # the chain of causes may repeat the key, in the server's words or in a header
            raise self.failure(error, structured="response_format" in request) from None
        return self.hide(response.http_response.text)

    def failure(self, error: Exception, *, structured: bool = False) -> Exception:
        """What an error of the client means: StructureRefused, NoAnswer or UserError, without the key."""
        told = self.hide(" ".join(str(error).split()))[:300] or type(error).__name__
        if isinstance(error, openai.APIStatusError):
            if structured and error.status_code in (400, 404, 415, 422, 500, 501) and speaks_of_structure(told):
                return StructureRefused(told)
            if error.status_code in (401, 403):
                return UserError(f"{self.host} does not accept the key (OPENAI_API_KEY): {told}")
            if error.status_code == 404:
                return UserError(f"{self.host} knows no such model or address (model, OPENAI_BASE_URL): {told}")
            if error.code == "insufficient_quota":
                return UserError(f"The account has no credit left: {told}. Answers so far are kept.")
            if error.code in _FILTERED:
                return NoAnswer(told)
            if error.status_code in (400, 422):
                return UserError(
                    f"{self.host} does not accept the request: {told}. If it names a setting, switch that off: "
                    "--temperature null, --seed null, --structured false."
                )
        return NoAnswer(told)

    def hide(self, text: str) -> str:
        """The text without the key."""
        return text.replace(self._key, "[key]") if self._key else text


def speaks_of_structure(message: str) -> bool:
    """Whether an error is about structured output."""
    return any(word in message.lower() for word in _ABOUT_STRUCTURE)


def request_body(
    sampling: Sampling, messages: list[dict[str, str]], attempt: int, *, structured: bool
) -> dict[str, Any]:
    """A chat completion request.

    Args:
        sampling: Model, temperature and seed; each attempt has a seed of its own.
        messages: The conversation.
        attempt: From 0.
        structured: Ask for JSON after the schema of `DescriptorList`.
    """
    body: dict[str, Any] = {"model": sampling.model, "messages": messages}
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.seed is not None:
        body["seed"] = sampling.seed + attempt
    if structured:
        body["response_format"] = RESPONSE_FORMAT
    return body
