import json
import time

import pytest

from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.answers.reading import read_answer
from tests.text.generation.fake_llm import completion

TEXTS = ["a bow", "an arrow", "a target", "a glove"]
FOUR = ("a wooden bow", "a round target", "an arrow on the string", "a green field")
PLAIN = json.dumps({"descriptors": FOUR})


def body(content: object, **more: str) -> str:
    return json.dumps(completion(content, **more))


def labeled(form: str, labels: str = "1 2 3 4") -> str:
    return "\n".join(form.format(k=label, text=text) for label, text in zip(labels.split(), FOUR, strict=True))


FORMS = {
    "JSON": PLAIN,
    "numbers": labeled("{k}. {text}"),
    "table": "| # | Descriptor |\n|---|---|\n" + labeled("| {k} | {text} |"),
    "table of one column": "| Descriptor |\n|:--|\n" + labeled("| {text} |"),
    "table without outer lines": "# | Descriptor\n---|---\n" + labeled("{k} | {text}"),
    "table with reasons": "| # | Descriptor | Why |\n|-|-|-|\n" + labeled("| {k} | **{text}** | it is seen |"),
    "headings": labeled("### {k}. {text}"),
    "headings with prose": labeled("## {k}. {text}\nIt is often seen.\n"),
    "objects with two keys": json.dumps({"descriptors": [{"id": k, "text": text} for k, text in enumerate(FOUR)]}),
    "objects with reasons": json.dumps([{"descriptor": text, "reason": "it is seen"} for text in FOUR]),
    "objects after another key": json.dumps({"action": "archery", "items": [{"n": 1, "text": text} for text in FOUR]}),
    "object by number": json.dumps({"action": "archery"} | {f"descriptor_{k}": text for k, text in enumerate(FOUR)}),
    "nested objects": json.dumps({"result": {"data": {"descriptors": FOUR}}}),
    "thoughts in JSON": json.dumps({"thoughts": ["a hat", "a cap", "a shoe", "a sock"], "descriptors": FOUR}),
    "trailing comma": '{"descriptors": ["' + '", "'.join(FOUR) + '",]}',
    "Python": "descriptors = " + str(list(FOUR)),
    "typographic quotes": "{\u201cdescriptors\u201d: [" + ", ".join(f"\u201c{text}\u201d" for text in FOUR) + "]}",
    "JSON in a JSON text": json.dumps(PLAIN),
    "JSON in JSON": json.dumps({"answer": PLAIN}),
    "JSON lines": "\n".join(json.dumps({"descriptor": text}) for text in FOUR),
    "JSON of numbered texts": json.dumps([f"{k}. {text}" for k, text in enumerate(FOUR, 1)]),
    "JSON of lettered texts": json.dumps([f"{k}) {text}" for k, text in zip("abcd", FOUR, strict=True)]),
    "letters": labeled("{k}) {text}", "a b c d"),
    "capitals": labeled("{k}. {text}", "A B C D"),
    "letters in brackets": labeled("({k}) {text}", "a b c d"),
    "Roman numbers": labeled("{k}) {text}", "i ii iii iv"),
    "Roman capitals": labeled("{k}. {text}", "I II III IV"),
    "ordinal words": labeled("{k}: {text}", "First Second Third Fourth"),
    "square brackets": labeled("[{k}] {text}"),
    "fractions": labeled("{k}/4: {text}"),
    "number signs": labeled("#{k}: {text}"),
    "No.": labeled("No. {k}: {text}"),
    "named letters": labeled("Descriptor {k}: {text}", "A B C D"),
    "bare numbers": labeled("{k} {text}"),
    "tabs": labeled("{k}\t{text}"),
    "dashes after numbers": labeled("{k} \u2013 {text}"),
    "escaped periods": labeled("{k}\\. {text}"),
    "only ones": labeled("1. {text}"),
    "bold lines": labeled("**{k}. {text}**"),
    "Chinese commas": labeled("{k}\u3001{text}"),
    "Chinese numbers": labeled("{k}\u3001{text}", "\u4e00 \u4e8c \u4e09 \u56db"),
    "Arabic digits": labeled("{k}. {text}", "\u0661 \u0662 \u0663 \u0664"),
    "wide digits": labeled("{k}\uff0e{text}", "\uff11 \uff12 \uff13 \uff14"),
    "circled digits": labeled("{k} {text}", "\u2460 \u2461 \u2462 \u2463"),
    "black circles": labeled("{k}{text}", "\u2776 \u2777 \u2778 \u2779"),
    "keycaps": labeled("{k}\ufe0f\u20e3 {text}"),
    "task list": labeled("- [ ] {text}"),
    "en dashes": labeled("\u2013 {text}"),
    "arrows": labeled("\u2192 {text}"),
    "emoji": labeled("\U0001f3f9 {text}"),
    "quotation": labeled("> {k}. {text}"),
    "details below": labeled("{k}. {text}\n   - more on it"),
    "details at the same indent": labeled("{k}. {text}\n- more on it"),
    "prose below": labeled("{k}. {text}\nThis is often seen.\n"),
    "YAML": "---\ndescriptors:\n" + labeled("  - {text}"),
    "CSV": ",".join(f'"{text}"' for text in FOUR),
    "HTML": "<ol>" + labeled("<li>{text}</li>") + "</ol>",
    "HTML with details": "<ol>" + labeled("<li>{text}<ul><li>more on it</li></ul></li>") + "</ol>",
    "XML": "<descriptors>" + labeled("<descriptor>{text}</descriptor>") + "</descriptors>",
    "an apology": "I apologize for the mistake. Here they are:\n" + labeled("{k}. {text}"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["spatio", "temporal"])
def test_every_form_of_a_list_gives_its_descriptors(form: str, kind: str) -> None:
    reading = read_answer(body(FORMS[form]), kind, 4, 25)
    assert (reading.descriptors, reading.problem) == (FOUR, "")


@pytest.mark.parametrize("label_space", ["hmdb51", "ssv2"])
def test_real_descriptors_are_read_in_every_form(label_space: str) -> None:
    for name, entry in LabelSpace.load(label_space).descriptors.items():
        for texts in (entry.spatio, entry.temporal):
            for content in (
                json.dumps({"descriptors": texts}),
                "\n".join(texts),
                "\n".join(f"{k}. {text}" for k, text in enumerate(texts, 1)),
                "| Descriptor |\n|---|\n" + "\n".join(f"| {text} |" for text in texts),
            ):
                reading = read_answer(body(content), "temporal", len(texts), 40)
                assert reading.descriptors == texts, (name, reading.problem)


ADVICE = "1. Ask a coach\n2. Read a book\n3. Visit a club\n4. Try it"
UNUSABLE = {
    "refusal with advice": f"I'm sorry, I can't describe that.\n{ADVICE}",
    "refusal with alternatives": f"I cannot help with that request. Instead you could:\n{ADVICE}",
    "polite refusal": f"Unfortunately this is beyond me.\n{ADVICE}",
    "refusal after the list": f"{ADVICE}\n\nSorry, but I am unable to describe people.",
    "Chinese refusal": f"\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u63cf\u8ff0\u3002\n{ADVICE}",
    "refusal in JSON": json.dumps({"error": "I can't do that", "suggestions": ["a", "b", "c", "d"]}),
    "refusal as items": json.dumps(["I'm sorry", "I can't help", "ask a coach", "read a book"]),
    "JSON cut off": PLAIN[:-10],
    "pretty JSON cut off": json.dumps({"descriptors": FOUR}, indent=1)[:-8],
    "pretty list cut off": json.dumps(FOUR, indent=1)[:-8],
    "comma missing": '{"descriptors": ["a bow" "an arrow", "a target", "a glove", "a field"]}',
    "comment in JSON": '{"descriptors": ["a bow", // wood\n "an arrow", "a target", "a glove"]}',
    "no quotes": "[a bow, an arrow, a target, a glove]",
    "key twice": '{"descriptors": ["a", "b", "c", "d"], "descriptors": ["e", "f", "g", "h"]}',
    "texts under any keys": json.dumps({"shape": "long", "color": "brown", "place": "field", "tool": "bow"}),
    "class among three": json.dumps({"action": "archery", "1": FOUR[0], "2": FOUR[1], "3": FOUR[2]}),
    "both kinds": json.dumps({"spatio": FOUR, "temporal": TEXTS}),
    "both kinds as lists": "Spatio:\n- a\n- b\n- c\n- d\n\nTemporal:\n- e\n- f\n- g\n- h",
    "groups": "Objects:\n- a bow\n- an arrow\nPlaces:\n- a field\n- a hall",
    "table of two texts": "| Object | Place |\n|---|---|\n" + labeled("| {text} | there |"),
    "table without a rule": labeled("| {k} | {text} |"),
    "bullets without blanks": labeled("-{text}"),
    "headings only": labeled("### {text}"),
    "a remark among lines": "Here you go!\na bow\nan arrow\na target",
    "thoughts as lines": "Okay, the user wants archery\nI need a bow\nThen an arrow\nMaybe a target",
    "thoughts as numbers": "1. Analyze the request\n2. Consider the constraints\n3. Draft a list\n4. Refine the output",
    "thoughts between commas": "Okay, let me see, archery, hmm",
    "section numbers": labeled("1.{k} {text}"),
    "numbers with commas": labeled("{k}, {text}"),
    "numbers with slashes": labeled("{k}/ {text}"),
    "numbers with equal signs": labeled("{k}={text}"),
    "named frames": labeled("Frame {k}: {text}"),
    "number words": labeled("{k}: {text}", "One Two Three Four"),
    "Greek letters": labeled("{k}) {text}", "\u03b1 \u03b2 \u03b3 \u03b4"),
    "Chinese ordinals": labeled("\u7b2c{k}\uff0c{text}", "\u4e00 \u4e8c \u4e09 \u56db"),
    "question with choices": "Which kind of archery do you mean?\n1. Olympic\n2. Field\n3. Horse\n4. Crossbow",
    "tool call": '<tool_call>{"name": "f", "arguments": ' + PLAIN + "}</tool_call>",
    "bidirectional characters": json.dumps(["a \u202ebow", *TEXTS[1:]]),
    "NUL": json.dumps(["a \x00bow", *TEXTS[1:]]),
    "terminal codes": json.dumps(["a \x1b[31mbow", *TEXTS[1:]]),
    "half a surrogate pair": '["a \\ud800 bow", "an arrow", "a target", "a glove"]',
    "numbers": "1. 10\n2. 20\n3. 30\n4. 40",
    "links": labeled("{k}. [{text}](https://example.com)"),
}


@pytest.mark.parametrize("form", UNUSABLE)
@pytest.mark.parametrize("kind", ["spatio", "temporal"])
def test_what_is_no_certain_list_is_a_problem(form: str, kind: str) -> None:
    reading = read_answer(body(UNUSABLE[form]), kind, 4, 25)
    assert reading.descriptors == ()
    assert reading.problem


HOSTILE = {
    "brackets": "[" * 10**6,
    "nested lists": "[1," * 300_000,
    "deep list": "[" * 50_000 + "]" * 50_000,
    "pairs": "[x]" * 33_000,
    "escaped quotes": '"\\"' * 500_000,
    "list of escaped quotes": "[" + '"\\"' * 30_000,
    "single quotes": "[" + "'" * 90_000 + "]",
    "open tags": "<a" * 500_000,
    "thoughts": "<think>" * 140_000,
    "ends of thoughts": "</think>" * 140_000,
    "comments": "<!--" * 250_000,
    "fences": "~~~think\n" * 10_000,
    "one line of blanks": " " * 10**6 + "x",
    "empty lines": "\n" * 99_000 + "x",
    "markers": "1. " * 33_000,
    "lines of markers": "\n".join("1. " * 600 for _ in range(55)),
    "items": "1.\n" * 33_000,
    "commas": "a," * 49_000,
    "table": "|-" * 49_000 + "x",
    "quotations": ">" * 99_000,
    "headings": "\nso so so" * 9_000,
    "digits": "[" + "9" * 90_000 + "]",
    "stars": "**" * 49_000,
}


@pytest.mark.parametrize("form", HOSTILE)
def test_no_answer_keeps_the_parser_busy(form: str) -> None:
    started = time.process_time()
    assert read_answer(body(HOSTILE[form]), "spatio", 4, 25).descriptors == ()
    assert time.process_time() - started < 1


@pytest.mark.parametrize("response", ["[" * 10**6, '{"a":' * 300_000, '{"choices":' + "[" * 10**6])
def test_no_response_keeps_the_parser_busy(response: str) -> None:
    started = time.process_time()
    assert read_answer(response, "spatio", 4, 25).problem == "the response was not a chat completion, or broke off"
    assert time.process_time() - started < 1


def test_responses_have_a_size_limit() -> None:
    longest = body(PLAIN).replace('"id": "x"', f'"id": "{"x" * 1_900_000}"')
    assert read_answer(longest, "spatio", 4, 25).descriptors == FOUR
    for character in ("x", "\u00e9"):
        longer = body(PLAIN).replace('"id": "x"', f'"id": "{character * 2_000_000}"')
        assert read_answer(longer, "spatio", 4, 25).problem == "it was longer than 2 MB"


def test_a_usable_answer() -> None:
    reading = read_answer(body(json.dumps({"descriptors": TEXTS})), "spatio", 4, max_words=5)
    assert reading.descriptors == tuple(TEXTS)
    assert (reading.problem, reading.model) == ("", "fake-llm-1")
    assert (reading.prompt_tokens, reading.completion_tokens) == (100, 40)


def test_ranked_lists_are_truncated_and_sequences_are_not() -> None:
    longer = body("\n".join(f"- {text}" for text in TEXTS))
    assert read_answer(longer, "spatio", 3, max_words=5).descriptors == tuple(TEXTS[:3])
    assert read_answer(longer, "temporal", 3, max_words=5).problem == "it had 4 items instead of 3"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (body("- a bow\n- an arrow"), "it had 2 items instead of 4"),
        (body("- a bow\n- A  bow.\n- an arrow\n- a target"), "an item stood twice"),
        (body("- a\n- b\n- c\n- " + "long " * 9), "an item had 9 words, at most 5 are allowed"),
        (body("I'm sorry, but I cannot do that."), "it was refused"),
        (body("I\u2019m sorry, but I can\u2019t do that."), "it was refused"),
        (body(None, refusal="No."), "it was refused"),
        (body("1. a", finish="content_filter"), "it was refused"),
        (body("1. a\n2. b\n3. c\n4. d", finish="length"), "it broke off at the length limit"),
        (body(""), "it was empty"),
        (body(None), "it was empty"),
        ("", "the response was not a chat completion, or broke off"),
        ('{"choices": [{"mess', "the response was not a chat completion, or broke off"),
        ('{"choices": []}', "the response was not a chat completion, or broke off"),
        ("<html>Bad gateway</html>", "the response was not a chat completion, or broke off"),
    ],
)
def test_each_problem_has_its_message(answer: str, problem: str) -> None:
    reading = read_answer(answer, "temporal", 4, max_words=5)
    assert reading.problem == problem
    assert reading.descriptors == ()


def test_optional_parts_of_a_response_may_be_missing() -> None:
    minimal = json.dumps({"choices": [{"message": {"content": "- a\n- b"}}]})
    reading = read_answer(minimal, "temporal", 2, max_words=5)
    assert reading.descriptors == ("a", "b")
    assert (reading.model, reading.prompt_tokens) == ("", 0)
