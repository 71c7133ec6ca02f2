from collections.abc import Sequence

import pytest

from ost_lightning.models import token_count
from ost_lightning.text import Descriptors, Finding, LabelSpace, Templates, TokenCount, lint
from ost_lightning.text.label_files import known_names
from ost_lightning.text.linting import SEVERITY
from tests.operations import counted_names, text_uses


def count_words(sentences: Sequence[str]) -> list[int]:
    return [len(sentence.split()) for sentence in sentences]


TOKENS = TokenCount(count_words, 77, "spaces")


def findings_of(
    spatio: Sequence[str], temporal: Sequence[str] = ("draws", "aims"), name: str = "archery"
) -> list[Finding]:
    other = Descriptors(("a lane", "ten pins"), ("rolls", "waits"))
    labels = LabelSpace((name, "bowling"), {name: Descriptors(tuple(spatio), tuple(temporal)), "bowling": other})
    return lint(labels, Templates.load("ost"), TOKENS)


def test_good_descriptors_have_no_findings() -> None:
    assert findings_of(["a bow", "a round target, 10 m away"]) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1. a bow", "numbering"),
        ("2) a bow", "numbering"),
        ("(3) a bow", "numbering"),
        ("- a bow", "numbering"),
        ("\u2022 a bow", "numbering"),
        ("Step 2: aims", "numbering"),
        ('"a bow"', "quotes"),
        ("\u201ca bow\u201d", "quotes"),
        ("'a bow'", "quotes"),
        ('a bow"', "quotes"),
        ("**a bow**", "markup"),
        ("<b>a bow</b>", "markup"),
        ("a b\u00f6w", "non-ASCII"),
        ("a \u202ebow", "control character"),
        ("a \x00bow", "control character"),
        ("a\u2028bow", "control character"),
        ("a\tbow", "control character"),
        ("a \x1b[31mbow", "control character"),
        ("the Archery range", "class name"),
        ("ten pins.", "shared"),
        ("a " * 80 + "bow", "too long"),
    ],
)
def test_each_mistake_violates_its_rule(text: str, rule: str) -> None:
    assert {finding.rule for finding in findings_of([text, "a round target"])} >= {rule}


@pytest.mark.parametrize(
    "text", ["10 m high wall", "3.5 tonne lorry", "a 'stop' sign", 'a "stop" sign by the road', "dogs' leads", "x-ray"]
)
def test_similar_but_correct_texts_have_no_findings(text: str) -> None:
    assert findings_of([text, "a round target"]) == []


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\u202e", "\u2028", "\u2066"])
def test_control_characters_in_names_are_errors_and_printed_escaped(character: str) -> None:
    found = [finding for finding in findings_of(["a b", "c d"], name=f"arch{character}ery") if "U+" in finding.detail]
    assert [(finding.rule, finding.severity, finding.kind) for finding in found] == [
        ("control character", "error", None)
    ]
    assert str(found[0]).isprintable()
    assert f"U+{ord(character):04X}" in str(found[0])


def test_control_characters_in_published_names_are_errors() -> None:
    labels = LabelSpace(("a",), {"a": Descriptors(("b",), ("c",))}, published=("a\u202e",))
    found = lint(labels, Templates.load("ost"), TOKENS)
    assert [(finding.rule, finding.name) for finding in found] == [("control character", "a\u202e")]


def test_names_that_are_the_same_text_are_warnings() -> None:
    names = ("Archery", "archery", "hug")
    labels = LabelSpace(names, {name: Descriptors((f"{k} b",), (f"{k} c",)) for k, name in enumerate(names)})
    for tokens in (TOKENS, token_count("tiny")):
        found = [finding for finding in lint(labels, Templates.load("ost"), tokens) if finding.rule == "alike"]
        assert [(finding.name, finding.severity) for finding in found] == [("Archery", "warning")]
        assert "is the same text as 'archery'" in found[0].detail


def test_duplicate_descriptors_wrong_counts_and_wrong_classes() -> None:
    labels = LabelSpace(
        ("a", "b", "c", "d"),
        {
            "a": Descriptors(("One thing", "one  thing."), ("p", "q")),
            "b": Descriptors(("x", "y", "z"), ("r", "s")),
            "c": Descriptors(("v", "w"), ()),
            "e": Descriptors(("k", "l"), ("m", "n")),
        },
    )
    rules = [(finding.rule, finding.name, finding.kind) for finding in lint(labels, Templates.load("ost"), TOKENS)]
    assert rules == [
        ("missing", "d", None),
        ("missing", "c", "temporal"),
        ("extra", "e", None),
        ("count", "b", "spatio"),
        ("duplicate", "a", "spatio"),
    ]
    expected = {(f.rule, f.name) for f in lint(labels, Templates.load("ost"), TOKENS, per_class=3) if f.rule == "count"}
    assert ("count", "b") in expected  # its temporal list is too short now
    assert ("count", "a") in expected


def test_rephrased_names_are_checked() -> None:
    texts = [("rolling a ball down a lane", "2. Rolling"), ("a", "a."), ("only one",), ("très vite", "on wheels " * 40)]
    written = {f"class {k}": Descriptors(("x", "y"), ("p", "q"), rephrased) for k, rephrased in enumerate(texts)}
    labels = LabelSpace(tuple(written), written)
    found = lint(labels, Templates.load("ost"), TOKENS)
    rules = [(finding.rule, finding.name) for finding in found if finding.kind == "name"]
    assert rules == [
        ("count", "class 2"),
        ("duplicate", "class 1"),
        ("numbering", "class 0"),
        ("too long", "class 3"),
        ("non-ASCII", "class 3"),
    ]


def test_the_length_limit_applies_to_the_complete_sentence() -> None:
    exact = TokenCount(count_words, 7, "spaces")  # "This is a video about" has five words
    labels = LabelSpace(("run",), {"run": Descriptors(("a road", "one long road"), ("runs", "stops"))})
    findings = lint(labels, Templates.load("ost"), exact)
    assert [(finding.rule, finding.text) for finding in findings] == [("too long", "one long road")]
    assert "8 tokens in its template, limit 7 (spaces)" in findings[0].detail


def test_the_tiny_clip_counts_with_its_tokenizer() -> None:
    counter = token_count("tiny")
    assert counter.limit == 77
    assert counter.tokenizer == "tokenizer of tiny"
    short, long = counter.count(["a video", "a video of a video"])
    assert short == 4  # two words between the start and the end token
    assert long == 7


@pytest.mark.parametrize("name", [name for name in known_names() if name != "imagenet1k"])
def test_shipped_descriptors_have_no_errors(name: str) -> None:
    labels = LabelSpace.load(name)
    findings = lint(labels, Templates.load("condition_both"), token_count("tiny"))
    assert [str(finding) for finding in findings if SEVERITY[finding.rule] == "error"] == []


def test_characters_of_other_languages_are_not_reported() -> None:
    texts = {"run": Descriptors(("eine Straße", "ein Mädchen"), ("läuft", "hält an"))}
    english = LabelSpace(("run",), texts)
    assert {finding.rule for finding in lint(english, Templates.load("ost"), TOKENS)} == {"non-ASCII"}
    assert lint(LabelSpace(("run",), texts, provenance={"language": "de"}), Templates.load("ost"), TOKENS) == []


def test_checking_looks_at_each_class_a_few_times() -> None:
    names = counted_names(500)
    labels = LabelSpace(names, {name: Descriptors(("a bow",), ("draws",)) for name in names})
    assert text_uses(lambda: lint(labels, Templates.load("ost"), TOKENS)) < 50 * len(labels)
