"""Text from outside, made harmless where it is written: in CSV, in Markdown, and in whatever shows a URL.

Names of classes and videos come from other people's folders and lists, and descriptors from language models.
"""

import csv
import html
import re
from collections.abc import Iterable
from typing import Final, Protocol

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001  # some spreadsheets take the wide forms too
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_MARKDOWN: Final = re.compile(r"[\\|*`\[]")
_HTML: Final = re.compile(r"<|&(?=#?\w+;)")
_LINE_ENDS: Final = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
# a password may hold @ and / that nobody encoded; digits up to a / or the end are a port
_USER: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s/?#@:'\"]*)(?P<password>:(?!\d*([/?#'\"\s]|$))\S*)?@", re.I
)
_QUERY: Final = re.compile(
    r"(?P<name>[?&;](?:[\w.-]*(?:token|secret|password|passwd|signature|credential)|pwd|sig|(?:api|access)[_-]?key|key)=)"
    r"[^&;#\s'\"]+",
    re.I,
)
_HIDDEN: Final = "***"


class _Writable(Protocol):
    def write(self, text: str, /) -> object: ...


class CsvWriter:
    """Writer of CSV files that a spreadsheet can open without running anything.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; `csv_text` removes it. Numbers stay
    as they are. Passwords in URLs are hidden.

    Args:
        file: Text file, opened with `newline=""`.
        lineterminator: End of each line.
        keep_passwords: Whether passwords are written, as in a list whose URLs are opened again.
    """

    def __init__(self, file: _Writable, lineterminator: str = "\r\n", *, keep_passwords: bool = False) -> None:
        self._rows = csv.writer(file, lineterminator=lineterminator)
        self._shown = str if keep_passwords else without_passwords

    def writerow(self, cells: Iterable[object]) -> None:
        """Writes one row."""
        self._rows.writerow([csv_cell(self._shown(cell)) if isinstance(cell, str) else cell for cell in cells])

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Writes several rows."""
        for row in rows:
            self.writerow(row)


def csv_cell(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula.

    Examples:
        >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("juggling")
        ("'=1+1", '-0.5', 'juggling')
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(cell: str) -> str:
    """Returns the text that `csv_cell` was given.

    Examples:
        >>> csv_text("'=1+1"), csv_text("'quoted'")
        ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def markdown_text(text: str) -> str:
    r"""Returns a name for a cell of a Markdown table, which shows it as it is: no markup, no HTML, one line.

    Examples:
        >>> print(markdown_text("a|b <img>"))
        a\|b &lt;img>
    """
    return _MARKDOWN.sub(r"\\\g<0>", markdown_line(text))


def markdown_line(text: str) -> str:
    """Returns a sentence with names in it for Markdown: no HTML, one line; code between backticks stays code.

    Examples:
        >>> print(markdown_line("`own`: <img> is a class"))
        `own`: &lt;img> is a class
    """
    # an entity, because not every dialect of Markdown knows a backslash before <
    return _HTML.sub(lambda found: html.escape(found[0]), _LINE_ENDS.sub(" ", without_passwords(text)))


def without_passwords(text: str) -> str:
    """Returns a text in which the passwords of URLs are hidden: those before the host, and tokens in the query.

    Examples:
        >>> without_passwords("https://me:secret@host/a.mp4?X-Amz-Signature=1f")
        'https://me:***@host/a.mp4?X-Amz-Signature=***'
    """
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\g<name>{_HIDDEN}", _USER.sub(_hidden_user, text))


def _hidden_user(found: re.Match[str]) -> str:
    if found["password"] is not None:
        return f"{found['scheme']}{found['user']}:{_HIDDEN}@"
    # a name alone is a token in URLs of the web, and a user's name for ssh and the like
    return f"{found['scheme']}{_HIDDEN if found['scheme'].lower().startswith('http') else found['user']}@"
