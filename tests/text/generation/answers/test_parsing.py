import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.text.generation.answers.parsing import clean, parse_descriptors

ITEMS = ("a bow", "an arrow, in flight", "round target: 10 rings", "person's arm (bent)")
PLAIN = "\n".join(ITEMS)
NUMBERED = "\n".join(f"{k}. {item}" for k, item in enumerate(ITEMS, 1))

FORMS = {
    "json object": json.dumps({"descriptors": ITEMS}),
    "json array": json.dumps(ITEMS),
    "json under another key": json.dumps({"action": "archery", "items": ITEMS}),
    "json of objects": json.dumps([{"descriptor": item} for item in ITEMS]),
    "json by number": json.dumps({str(k): item for k, item in enumerate(ITEMS)}),
    "json in a fence": f"Here it is:\n```json\n{json.dumps({'descriptors': ITEMS}, indent=2)}\n```\nEnjoy!",
    "json after thoughts": f"<think>Perhaps [1] or\n1. a hat?</think>{json.dumps({'descriptors': ITEMS})}",
    "json after braces": f"For {{archery}}: {json.dumps({'descriptors': ITEMS})}",
    "numbered": NUMBERED,
    "numbered with bracket": "\n".join(f"{k}) {item}" for k, item in enumerate(ITEMS, 1)),
    "numbered in brackets": "\n".join(f"({k}) {item}" for k, item in enumerate(ITEMS, 1)),
    "numbered and bold": "\n".join(f"**{k}.** {item}" for k, item in enumerate(ITEMS, 1)),
    "numbered, all bold": "\n".join(f"{k}. **{item}**" for k, item in enumerate(ITEMS, 1)),
    "steps": "\n".join(f"Step {k}: {item}" for k, item in enumerate(ITEMS, 1)),
    "bold steps": "\n".join(f"**Step {k}:** {item}" for k, item in enumerate(ITEMS, 1)),
    "dashes": "\n".join(f"- {item}" for item in ITEMS),
    "stars": "\n".join(f"* {item}" for item in ITEMS),
    "bullets": "\n".join(f"  \u2022 {item}" for item in ITEMS),
    "quoted": "\n".join(f'{k}. "{item}"' for k, item in enumerate(ITEMS, 1)),
    "typographic quotes": "\n".join(f"- \u201c{item}\u201d" for item in ITEMS),
    "full stops": "\n".join(f"{k}. {item}." for k, item in enumerate(ITEMS, 1)),
    "blank lines": "\n\n".join(f"{k}. {item}" for k, item in enumerate(ITEMS, 1)),
    "prose around": f"Sure, here are 4:\n\n{NUMBERED}\n\nAnything else?",
    "windows": "\r\n".join(f"{k}. {item}" for k, item in enumerate(ITEMS, 1)),
    "broken lines": "1. a bow\n2. an arrow,\n   in flight\n3. round target:\n   10 rings\n4. person's arm\n   (bent)",
    "one line": " ".join(f"{k}. {item}" for k, item in enumerate(ITEMS, 1)),
    "plain lines": PLAIN,
    "plain lines below a heading": f"Descriptors for archery:\n{PLAIN}",
    "plain lines in a fence": f"```\n{PLAIN}\n```",
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_same_list(form: str) -> None:
    assert parse_descriptors(FORMS[form]) == ITEMS


def test_commas_and_semicolons_separate_descriptors() -> None:
    assert parse_descriptors("a bow, an arrow, a target.") == ("a bow", "an arrow", "a target")
    assert parse_descriptors("Descriptors:\na bow; an arrow, in flight; a target") == (
        "a bow",
        "an arrow, in flight",
        "a target",
    )


@pytest.mark.parametrize(
    "answer",
    ["", "   \n", "I'm sorry, but I can't help.", "Archery is a sport. It needs a bow.", "[]", "{}", "```json\n```"],
)
def test_answers_without_a_list_are_empty(answer: str) -> None:
    assert parse_descriptors(answer) == ()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("2.5 m high bar", "2.5 m high bar"),
        ("3 people in a row", "3 people in a row"),
        ("x-ray on a screen", "x-ray on a screen"),
        ("dogs' leads", "dogs' leads"),
        ("a 'stop' sign", "a 'stop' sign"),
        ("tall\u2014very tall\u00a0wall", "tall-very tall wall"),
        ("  caf\u00e9   tables ; ", "caf\u00e9 tables"),
        ("and so on...", "and so on..."),
        ("1. 2. twice numbered", "twice numbered"),
    ],
)
def test_cleaning_keeps_the_phrase(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


# phrases as a model might write them: words with inner commas, apostrophes and hyphens
words = st.from_regex(r"[a-z]{2,8}(?:['-][a-z]{2,5})?", fullmatch=True)
markers_in_words = re.compile(r"(step|descriptor)\b")
phrases = st.lists(words, min_size=1, max_size=6).map(" ".join).filter(lambda text: not markers_in_words.match(text))
lists = st.lists(phrases, min_size=2, max_size=8)
markers = st.sampled_from(["{k}. ", "{k}) ", "({k}) ", "- ", "* ", "\u2022 ", "**{k}.** ", "Step {k}: "])
wrappers = st.sampled_from(["{}", '"{}"', "'{}'", "**{}**", "\u201c{}\u201d", "{}.", "{},", "{};"])
prologues = st.sampled_from(["", "Sure! Here is the list you asked for:\n\n", "Of course.\n", "```\n"])
epilogues = st.sampled_from(["", "\n\nI hope that helps!", "\n```", "\n\nLet me know if you need more. I have many."])


@given(
    items=lists,
    marker=markers,
    wrapper=wrappers,
    prologue=prologues,
    epilogue=epilogues,
    gap=st.sampled_from(["\n", "\n\n"]),
)
def test_marked_lists_are_found_in_any_text(
    items: list[str], marker: str, wrapper: str, prologue: str, epilogue: str, gap: str
) -> None:
    body = gap.join(marker.format(k=k) + wrapper.format(item) for k, item in enumerate(items, 1))
    assert parse_descriptors(prologue + body + epilogue) == tuple(items)


@given(items=lists, prologue=prologues, epilogue=epilogues, indent=st.sampled_from([None, 2]), bare=st.booleans())
def test_json_is_found_in_any_text(
    items: list[str], prologue: str, epilogue: str, indent: int | None, bare: bool
) -> None:
    body = json.dumps(items if bare else {"descriptors": items}, indent=indent)
    assert parse_descriptors(prologue + body + epilogue) == tuple(items)


@given(st.text(max_size=300))
def test_any_text_gives_clean_single_lines(answer: str) -> None:
    for text in parse_descriptors(answer):
        assert text == clean(text) != ""
        assert "\n" not in text


@given(st.text(st.sampled_from('[]{}":,\\1. -*"\n`a'), max_size=200))
def test_invalid_json_and_markers_raise_no_error(answer: str) -> None:
    for text in parse_descriptors(answer):
        assert text == clean(text) != ""
