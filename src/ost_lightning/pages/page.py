"""Renders pages from the templates beside this module."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal

from ost_lightning.characters import one_line

if TYPE_CHECKING:
    from jinja2 import Environment

PageKind = Literal["timeline", "found", "explanation", "report"]
"""Kind of page: the name of a folder of templates."""

_TEMPLATES: Final = files(__package__) / "templates"


def render_page(kind: PageKind, title: str, data: Mapping[str, Any], **shown: Any) -> str:
    """Returns a page that needs no network, and whose security policy allows only its own script and styles.

    Every text is escaped, by Jinja2 in HTML and by JSON in the data. Jinja2 also shows control characters as their
    codes, on one line; texts in the data have to pass `one_line` first.

    Args:
        kind: Kind of page.
        title: Title.
        data: Data for the script of the page.
        **shown: Variables of the template `page.html`.
    """
    from markupsafe import Markup  # with Jinja2, which not every command needs

    style = _source("frame.css", f"{kind}/style.css")
    script = _source("elements.js", "player.js", f"{kind}/script.js")
    # the sources are this package's own, and the JSON can't end its element
    return (
        _environment()
        .get_template(f"{kind}/page.html")
        .render(
            title=title,
            style=Markup(style),  # noqa: S704
            style_hash=Markup(_source_hash(style)),  # noqa: S704
            script=Markup(script),  # noqa: S704
            script_hash=Markup(_source_hash(script)),  # noqa: S704
            data=Markup(_script_json(data)),  # noqa: S704
            **shown,
        )
    )


def data_url(content: bytes, mime_type: str = "image/jpeg") -> str:
    """Returns the URL that contains a picture.

    Args:
        content: Content of a file.
        mime_type: Type of the file.
    """
    return f"data:{mime_type};base64,{base64.b64encode(content).decode('ascii')}"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Returns a value as it is shown: text that is no markup on one line, without control characters."""
    return one_line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _source(*names: str) -> str:
    """Returns the text of templates, one after the other."""
    return "".join(_TEMPLATES.joinpath(name).read_text(encoding="utf-8") for name in names)


def _script_json(data: Mapping[str, Any]) -> str:
    """Returns JSON that can't end the script element which it stands in."""
    text = json.dumps(data, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _source_hash(text: str) -> str:
    """Returns the source expression of a Content Security Policy for an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
