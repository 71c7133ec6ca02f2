"""Refusals and questions of language models, which may be followed by a list of advice or choices."""

import re
from typing import Final

from ost_lightning.text.typography import plain

_REFUSAL: Final = re.compile(
    r"\b(?:I|we)(?:'m| am| are)?\s+(?:unable|not able|not allowed|not permitted|not comfortable|uncomfortable)\b"
    r"|\b(?:I|we) (?:can ?not|can't|won't|will not|could not|couldn't|am not|do not|don't|must decline|refuse)\b"
    r"|\b(?:I'm|I am) (?:so |very |really )?sorry\b(?! for (?:the|my|any|that|this)\b)"
    r"|\bas an? (?:AI|language model|assistant)\b"
    r"|\b(?:can ?not|can't|unable to) (?:help|assist|provide|fulfill|comply)\b"
    r"|tut mir leid|kann ich (?:leider )?nicht|d\u00e9sol\u00e9|ne peux pas|ne puis pas|lo siento|no puedo|desculpe"
    r"|n\u00e3o posso|mi dispiace|non posso"
    # Chinese, Japanese, Korean, Russian
    r"|\u62b1\u6b49|\u5bf9\u4e0d\u8d77|\u5c0d\u4e0d\u8d77|\u65e0\u6cd5|\u7121\u6cd5"
    r"|\u7533\u3057\u8a33|\u3067\u304d\u307e\u305b\u3093|\uc8c4\uc1a1|\u0438\u0437\u0432\u0438\u043d\u0438"
    r"|\u043d\u0435 \u043c\u043e\u0433\u0443",
    re.IGNORECASE,
)
_REFUSAL_AROUND: Final = re.compile(
    _REFUSAL.pattern + r"|\b(?:sorry|apologi[sz]e|apologies|regret)\b(?! for (?:the|my|any|that|this)\b)"
    r"|\bunfortunately\b|\b(?:inappropriate|not appropriate|harmful|unsafe|unethical)\b"
    r"|\bviolat(?:e|es|ing)\b|\b(?:my|our|the|content|safety|usage) (?:guidelines|polic|rules|programming|principles)",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"\b(?:which|what (?:kind|type|sort|form|exactly|do you)|(?:do|did) you mean|specify|clarify)\b[^\n?]{0,200}\?",
    re.IGNORECASE,
)


def asks_back(text: str) -> bool:
    """Returns whether a text asks what is meant, which may be followed by a list of choices."""
    return _QUESTION.search(text) is not None


def is_refusal(text: str, *, item: bool = False) -> bool:
    """Returns whether a text looks like a refusal.

    Args:
        text: Text of an answer.
        item: Whether it is an item of a list, where words such as "unsafe" may also describe an action.
    """
    return (_REFUSAL if item else _REFUSAL_AROUND).search(plain(text)) is not None
