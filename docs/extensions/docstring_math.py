"""Griffe extension: formulas of docstrings (`:math:` and `.. math::`) as MathML, which browsers draw by themselves."""

import re
import textwrap
from typing import Any, Final

import griffe
from latex2mathml.converter import convert

_INLINE: Final = re.compile(r":math:`([^`]+)`")
_BLOCK: Final = re.compile(r"^( *)\.\. math:: *(.*(?:\n\1 +\S.*)*)", re.MULTILINE)


class DocstringMath(griffe.Extension):
    """Converts the formulas of every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Changes one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = with_mathml(obj.docstring.value)


def with_mathml(docstring: str) -> str:
    """A docstring with its formulas in MathML."""
    docstring = _BLOCK.sub(lambda found: textwrap.indent(_mathml(found[2], "block"), found[1]), docstring)
    return _INLINE.sub(lambda found: _mathml(found[1], "inline"), docstring)


def _mathml(latex: str, display: str) -> str:
    """One line of MathML; stars and underscores are escaped, because Markdown would read them as emphasis."""
    mathml = convert(" ".join(latex.split()), display=display)
    if unknown := re.findall(r"\\\w+", mathml):
        raise ValueError(f"latex2mathml cannot convert {unknown} in the formula {latex!r}.")
    return re.sub(r">([^<]*)<", lambda text: f">{text[1].replace('*', '&#42;').replace('_', '&#95;')}<", mathml)
