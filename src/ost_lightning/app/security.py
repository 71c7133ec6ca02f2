"""What the app's server answers, and what browsers may do with it."""

from typing import Final
from urllib.parse import unquote

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ost_lightning.app.settings import in_space

_PREFIX: Final = "/gradio_api/"
_FILES: Final = f"{_PREFIX}file="
_REFUSED: Final = (
    f"{_FILES}http:",
    f"{_FILES}https:",
    f"{_PREFIX}proxy=",
    f"{_PREFIX}deep_link",
    f"{_PREFIX}mcp",
    f"{_PREFIX}vibe",
    "/monitoring",
    "/theme.css/http",
)
"""Routes of Gradio that fetch from elsewhere, keep what people typed, or tell others about it."""
# Gradio's page has inline scripts and styles, and compiles templates
_PAGE: Final = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob: data:; font-src 'self' data:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)
_FILE: Final = "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'"
"""Policy of served files: whatever is in them is shown or played, never run."""


class SecurityHeaders:
    """Middleware that allows pages nothing from other hosts, and runs nothing from files.

    Args:
        app: Application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Hugging Face shows a Space inside its own page
        framed_by = "'self' https://huggingface.co" if in_space() else "'none'"
        self._page = f"{_PAGE}{framed_by}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = unquote(scope["path"])
        if path.lower().startswith(_REFUSED):
            await PlainTextResponse("This app doesn't offer that.", 403)(scope, receive, send)
            return
        policy = _FILE if path.startswith(_FILES) else self._page

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_with_headers)
