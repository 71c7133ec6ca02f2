"""Removal of what is not part of a final answer: thoughts of reasoning models, chat markers, HTML.

Reasoning models write their thoughts in tags (`<think>`, `<reasoning>`, `[THINK]`), in channels
(`<|channel|>analysis`), or below a heading ("Thinking:"). Tags with unknown names are treated as thoughts, because
a list that is missing is requested again, and a thought that is taken for a descriptor isn't noticed.
"""

import re
from typing import Final

MAX_CHARACTERS: Final = 100_000
"""Longest final answer that is searched for a list; thoughts in tags or channels may be longer."""

_BARS: Final = "|\uff5c"
_MAX_MARKS: Final = 10_000
_MARK: Final = re.compile(
    r"""
      <!--.*?(?:-->|\Z)                       # comment
    | <[|\uff5c]?/?[a-zA-Z][^<>]{0,200}>           # <think>, </think>, <|channel|>, <channel|>
    | \[/?[A-Z_]{3,24}\]                      # [THINK]
    | ◁/?[^◁▷\n]{1,32}▷                       # ◁think▷
    """,
    re.VERBOSE | re.DOTALL,
)
_THOUGHT_WORDS: Final = re.compile(
    r"think|thought|reason|reflect|analy[sz]|scratch|deliberat|monologue|ponder|brainstorm|\bcot\b|draft|inner|internal"
)
_ANSWER_NAMES: Final = re.compile(r"answer|response|final|output|solution|result|descriptors|items|\blist|steps|json")
_ITEM_NAMES: Final = frozenset({"li", "item", "descriptor", "step", "entry", "point", "feature"})
_LIST_NAMES: Final = frozenset({"ol", "ul"})
_BREAKS: Final = frozenset({"br", "p", "div", "tr", "hr"})
_FORMAT: Final = re.compile(
    "abbr|bdi|big|blockquote|body|center|cite|code|dd|dfn|dl|dt|em|figure|font|footer|h[1-6]|header|html|ins|kbd|main"
    "|mark|pre|section|small|span|strong|sub|sup|table|tbody|td|tfoot|th|thead|tt|var|[abiqsu]"
)
_ENDS_OF_TURN: Final = re.compile(r"\b(?:im end|eot id|eot|eos|eom id|end of text|endoftext|end of turn|end|return)\b")
_ROLE: Final = re.compile(r"\s*(?:assistant|model)\b")
_LEAKED_CHANNEL: Final = re.compile(r"\s*analysis(?=[A-Z\W])")
_LEAKED_FINAL: Final = "assistantfinal"

_HEADING: Final = r"^[ \t]*(?P<open>\#{1,6}[ \t]*|[*_]{1,3}|>[ \t]*)?"
_THOUGHT_HEADING: Final = re.compile(
    _HEADING + r"(?:(?:my|the|here(?:'s| is)[ ](?:my|the|a))[ ])?"
    r"(?:thinking(?:[ ]process)?|thoughts?(?:[ ]process)?|reasoning(?:[ ]process)?|analysis|chain[ -]of[ -]thought"
    r"|scratchpad|brainstorm(?:ing)?|internal[ ]monologue|reflection|deliberation|planning|first[ ]draft)"
    r"(?:(?<=process)[ ][^\n:]{1,60})?[*_ \t]*(?::|\.{3}|\u2026|(?(open)$|(?!)))",
    re.MULTILINE | re.IGNORECASE,
)
_ANSWER_HEADING: Final = re.compile(
    _HEADING + r"(?:(?:so|here(?:'s| is)|my|the|this is)[ ]){0,3}(?:(?:final|actual|complete|finished)[ ])?"
    r"(?:answer|response|output|result|list|descriptors|steps)\b[^\n:]{0,40}?(?::[*_]*|[*_]+|$)",
    re.MULTILINE | re.IGNORECASE,
)
_FENCED_THOUGHT: Final = re.compile(
    r"^[ \t]*(```|~~~)[ \t]*(?:think|thought|reason|analysis|scratch)[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def final_answer(text: str) -> str:
    """Returns the final answer in a model's output, without thoughts and markers; list items of HTML become bullets.

    Args:
        text: Text of an answer. Of a final answer above `MAX_CHARACTERS`, only tags and channels are removed.
    """
    text = _without_marks(_without_leaked_channels(text))
    if len(text) > MAX_CHARACTERS:
        return text
    text = _FENCED_THOUGHT.sub("", text)
    if thought := _THOUGHT_HEADING.search(text):
        answers = [match for match in _ANSWER_HEADING.finditer(text, thought.end())]
        text = text[answers[-1].end() :] if answers else text[: thought.start()]
    lines = text.split("\n")
    quoted = [line.lstrip().startswith(">") for line in lines]
    if any(quoted) and not all(flag or not line.strip() for flag, line in zip(quoted, lines, strict=True)):
        # some programs show thoughts as a quotation above the answer
        text = "\n".join(line for flag, line in zip(quoted, lines, strict=True) if not flag)
    return text


def _without_leaked_channels(text: str) -> str:
    """Returns the final channel of an answer whose channel markers were removed: `analysis...assistantfinal...`."""
    if _LEAKED_FINAL in text:
        return text.rpartition(_LEAKED_FINAL)[2]
    return "" if _LEAKED_CHANNEL.match(text) else text


def _without_marks(text: str) -> str:
    walker = _Walker()
    position = 0
    for count, mark in enumerate(_MARK.finditer(text)):
        if count == _MAX_MARKS:
            return ""
        walker.add(text[position : mark.start()])
        if not walker.ended:
            walker.mark(mark.group())
        position = mark.end()
    walker.add(text[position:])
    return "".join(walker.kept)


class _Walker:
    """State of one pass over the marks of a text; the time is linear in the length of the text."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.ended = False
        self._thought = ""  # name of the mark that opened the thought
        self._thoughts = 0  # number of open thoughts
        self._outside = False  # after the end of an answer in tags
        self._in_channel = self._after_role = False
        self._depth = 0

    def add(self, piece: str) -> None:
        """Adds text between marks."""
        if not piece or self.ended or self._thoughts or self._outside:
            return
        if self._in_channel:  # the channel's name, up to the marker of its message
            word = piece.strip().split(maxsplit=1)
            name = word[0].lower() if word else ""
            self._in_channel = False
            if not _ANSWER_NAMES.match(name):
                self._thoughts = 1
            else:
                self.kept = [piece.lstrip()[len(name) :]]
            return
        if self._after_role:
            piece = _ROLE.sub("", piece, count=1) if _ROLE.match(piece) else piece
            self._after_role = False
        self.kept.append(piece)

    def mark(self, mark: str) -> None:
        """Processes one mark."""
        if mark.startswith("<!--"):
            return
        special = mark[1] in _BARS or mark[-2] in _BARS
        inner = mark.strip(f"<>[]◁▷{_BARS} ")
        closing = inner.startswith("/") or (special and mark[1] not in _BARS) or inner.lower().startswith("end")
        name = inner if special else inner.strip("/").partition(" ")[0].partition("\n")[0]
        words = re.sub(r"[▁_\-:/]+", " ", name.lower()).strip()
        if special:
            self._mark_special(words, closing=closing)
        elif not mark.startswith("["):
            self._mark_element(words, closing=closing, empty=inner.endswith("/"))
        elif _THOUGHT_WORDS.search(words):
            self._mark_thought(words, closing=closing)
        else:
            self.kept.append("" if words in ("inst", "tool calls") else mark)

    def _mark_special(self, words: str, *, closing: bool) -> None:
        if "channel" in words:
            self._in_channel, self._thoughts = not closing, 0
        elif _THOUGHT_WORDS.search(words):
            self._mark_thought(words, closing=closing)
        elif self._thoughts:
            return
        elif _ANSWER_NAMES.search(words):
            self._mark_answer(closing=closing)
        elif words == "message":
            self.kept.clear()
        elif _ENDS_OF_TURN.search(words):
            self.ended = bool("".join(self.kept).strip())
        else:
            self._after_role = "start" in words or words == "assistant"

    def _mark_element(self, words: str, *, closing: bool, empty: bool) -> None:
        name = words if _FORMAT.fullmatch(words) else words.rstrip("0123456789 ")  # <descriptor_1>
        if _THOUGHT_WORDS.search(words):
            self._mark_thought(words, closing=closing)
        elif self._thoughts:
            if words == self._thought:
                self._mark_thought(words, closing=closing)
        elif name in _LIST_NAMES:
            self._depth = max(0, self._depth + (-1 if closing else 1))
            self.kept.append("\n")
        elif name in _ITEM_NAMES:
            self.kept.append("\n" if closing else "\n" + "    " * (self._depth - 1) + "- ")
        elif name in _BREAKS:
            self.kept.append("\n")
        elif _FORMAT.fullmatch(name) or words in ("bos", "eos", "pad", "unk", "start of turn"):
            return
        elif words == "end of turn":
            self.ended = bool("".join(self.kept).strip())
        elif _ANSWER_NAMES.search(words):
            self._mark_answer(closing=closing)
        elif not empty:
            self._mark_thought(words, closing=closing)

    def _mark_thought(self, words: str, *, closing: bool) -> None:
        if not closing:
            self._thought = self._thought if self._thoughts else words
            self._thoughts += 1
        elif self._thoughts:
            self._thoughts -= 1
        else:  # the mark that opened the thought is part of the prompt
            self.kept.clear()
        self._outside = False

    def _mark_answer(self, *, closing: bool) -> None:
        self._outside = closing
        if not closing:
            self.kept.clear()
