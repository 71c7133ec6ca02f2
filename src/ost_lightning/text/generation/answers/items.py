"""Checks that find syntax, prose and broken text among the items of a list."""

import re
from collections.abc import Sequence
from typing import Final

from ost_lightning.characters import has_control_characters
from ost_lightning.text.generation.answers.refusals import is_refusal
from ost_lightning.text.generation.answers.responses import REDACTED
from ost_lightning.text.typography import DOUBLE_QUOTES

_SYNTAX: Final = re.compile(r"[{}\[\]|\\`\ufffd]|\*\*|__|</?[a-zA-Z!]|https?://|:\s*$|^[-+#>*=~]|^[,;:.)\]]|\":")
_LABEL: Final = re.compile(
    r"""
    (?:[^\W\d_]+[ ])?                                     # Frame 1:  Step one:
    (?: (?:[^\W\d_]{0,10}\d{1,3}(?:\.\d{1,3})*|[^\W\d_]{1,2})\s?[)\]:=>/|,.\u3001\uff0c\uff1a]
      | (?:one|two|three|four|five|six|seven|eight|nine|ten|then|next|finally|last|lastly)\s?[)\]:=>/|]
      | \d{1,3}(?:\.\d{1,3})+\s
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W\d_]")
_PROSE: Final = re.compile(
    r"""
    (?:okay|ok|hmm+|sure|well|so|alright|right|yes|no|wait|certainly|of\ course|absolutely|great|now|first|next|then
       |finally|also|etc|and\ so\ on|answer|final\ answer|final|analysis|thoughts?|thinking|reasoning|n/?a|none|null)
       [\s!.,:]*$
    | (?:okay|ok|hmm+|sure|alright|wait|of\ course|certainly|absolutely|got\ it|great)[!.,:]\s
    | (?:here|these|those|below|following)\b.{0,40}\b(?:is|are|list)\b
    | here(?:'s|\ you|\ we)\b
    | I(?:'(?:m|d|ll|ve)|\ (?:need|should|have|must|can|could|will|would|want|think|am|was|hope|cannot|don't|won't))\b
    | we(?:'(?:re|ll|ve)|\ (?:need|should|have\ to|must|want))\b
    | let(?:'s|\ me|\ us)\b
    | (?:the|this|my)\ (?:user|question|prompt|request|assistant)\b
    | (?:thinking|thoughts?|reasoning|analysis|answer|final\ answer|note|output|descriptors?|result)\s*:
    | (?:please|feel\ free|hope|would\ you|do\ you|let\ me\ know|as\ an\ ai)\b
    | (?:analy[sz]e|identify|understand|consider|deconstruct|brainstorm|draft|formulate|finali[sz]e|refine|review)\b
       .*\b(?:request|input|task|prompt|instructions?|constraints?|output|user|question|answer|format|drafts?|list)\b
    | .*\b(?:the\ user|descriptors?\b|as\ an\ ai\b|assistantfinal)
    """,
    re.VERBOSE | re.IGNORECASE,
)


# problems are part of the next prompt: rewording them changes what the LLM reads
def problem_with(items: Sequence[str]) -> str:
    """Returns why a list can't be a list of descriptors; empty if it can.

    Args:
        items: Cleaned items of an answer's list.
    """
    for item in items:
        if has_control_characters(item):
            return "an item had control characters"
        if _SYNTAX.search(item.replace(REDACTED, "key")) or sum(item.count(mark) for mark in DOUBLE_QUOTES) % 2:
            return "an item had markup or code"
        if not _WORD.search(item):
            return "an item had no words"
        if item[-1] in "?!" or _PROSE.match(item):
            return "an item was a remark instead of a descriptor"
        if is_refusal(item, item=True):
            return "it was refused"
    if len(items) > 1 and all(_LABEL.match(item) for item in items):
        return "the items began with numbers or letters"
    return ""
