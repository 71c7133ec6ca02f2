"""HTTP client that limits the time and size of a response as a whole, whatever the server does."""

import asyncio
from typing import Any, Final

import openai

from ost_lightning.text.generation.answers.responses import MAX_BYTES, ServerError, read_response

try:  # the client that openai uses since version 3
    from httpx2 import ReadTimeout, Request, Response, TooManyRedirects
except ImportError:
    from httpx import ReadTimeout, Request, Response, TooManyRedirects  # type: ignore[assignment]

_MAX_REDIRECTS: Final = 5
_ENCODING_HEADERS: Final = ("content-encoding", "content-length", "transfer-encoding")


class LimitedClient(openai.DefaultAsyncHttpxClient):
    """Client whose requests end within their timeout, with at most `MAX_BYTES` + 1 bytes of a body.

    The timeouts of HTTP libraries are limits on the silence between two bytes. This one includes connecting, waiting,
    redirects and the whole body. An error that a server reports in a response of status 200 becomes a response with
    the status of the error, so that it is retried and reported like any other.

    Args:
        timeout: Seconds until a request ends.
    """

    def __init__(self, timeout: float) -> None:
        # without compression, so that a small response can't become a large one
        super().__init__(timeout=timeout, follow_redirects=False, headers={"Accept-Encoding": "identity"})
        self._seconds = timeout

    async def send(self, request: Request, **options: Any) -> Response:
        """Sends a request, follows redirects, and reads the body up to the limit.

        Raises:
            ReadTimeout: If the response isn't complete within the timeout.
        """
        options |= {"stream": True, "follow_redirects": False}
        try:
            async with asyncio.timeout(self._seconds):
                for _ in range(_MAX_REDIRECTS + 1):
                    response = await super().send(request, **options)
                    body = await _read(response)
                    if response.next_request is None:
                        return _complete(response, body)
                    request = response.next_request
        except TimeoutError as error:
            raise ReadTimeout(f"no complete response within {self._seconds:g} seconds", request=request) from error
        raise TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects", request=request)


async def _read(response: Response) -> bytes:
    """Returns the body, cut off one byte after the limit."""
    body = bytearray()
    try:
        async for piece in response.aiter_bytes():
            body += piece[: MAX_BYTES + 1 - len(body)]
            if len(body) > MAX_BYTES:
                break
    finally:
        await response.aclose()
    return bytes(body)


def _complete(response: Response, body: bytes) -> Response:
    """Returns a response with a body that has been read, and with the status of an error that the body reports."""
    status = response.status_code
    if 200 <= status < 300 and isinstance(error := read_response(body.decode(errors="replace")), ServerError):
        status = error.status
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _ENCODING_HEADERS]
    return Response(status, headers=headers, content=body, request=response.request)
