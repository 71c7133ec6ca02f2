import pytest

from ost_lightning.text.generation.answers.reading import read_answer
from ost_lightning.text.generation.answers.thoughts import final_answer
from tests.text.generation.answers.test_reading import FORMS, FOUR, body

DRAFTS = {
    "prose": "The user wants archery, so perhaps a hat.",
    "lines": "Ideas:\n1. a hat\n2. a cap\n3. a shoe\n4. a sock",
    "JSON": '{"descriptors": ["a hat", "a cap", "a shoe", "a sock"]}',
}
MARKS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ('<analysis type="inner">', "</analysis>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<Reflection>", "</Reflection>"),
    ("<seed:think>", "</seed:think>"),
    ("<ponder>", "</ponder>"),
    ("<details><summary>Reasoning</summary>", "</details>"),
    ("<think>a<think>b</think>", "</think>"),
    ("<think><step>", "</step></think>"),
    ("", "</think>"),
    ("", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<\uff5cbegin\u2581of\u2581thinking\uff5c>", "<\uff5cend\u2581of\u2581thinking\uff5c>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>commentary<|message|>", "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("analysisWe need a list.", "assistantfinal"),
    ("```thinking\n", "\n```"),
    ("<!--", "-->"),
    ("Thinking:\n", "\nAnswer:"),
    ("**Thought process**\n", "\n**Final answer:**"),
    ("### Reasoning\n", "\n### Final list"),
    ("Here's a thinking process that leads to the list:\n", "\nFinal answer:"),
]


@pytest.mark.parametrize("answer", ["JSON", "numbers"])
@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("marks", MARKS, ids=["".join(marks)[:40] for marks in MARKS])
def test_thoughts_before_an_answer_are_ignored(marks: tuple[str, str], draft: str, answer: str) -> None:
    content = f"{marks[0]}{DRAFTS[draft]}{marks[1]}\n\n{FORMS[answer]}"
    assert read_answer(body(content), "spatio", 4, 25).descriptors == FOUR
    assert read_answer(body(content), "temporal", 4, 25).descriptors == FOUR


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("opened", [marks[0] for marks in MARKS if marks[0]])
def test_thoughts_without_an_end_are_no_answer(opened: str, draft: str) -> None:
    reading = read_answer(body(opened + DRAFTS[draft]), "spatio", 4, 25)
    assert reading.descriptors == ()
    assert reading.problem


@pytest.mark.parametrize("draft", ["lines", "JSON"])
def test_thoughts_without_marks_that_contain_a_list_are_asked_again(draft: str) -> None:
    reading = read_answer(body(f"Let me see.\n\n{DRAFTS[draft]}\n\nBetter:\n\n{FORMS['JSON']}"), "spatio", 4, 25)
    assert reading.descriptors == ()
    assert reading.problem == "it had 0 items instead of 4 (it has several lists)"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a <b>bow</b>", "a bow"),
        ("a bow<|im_end|>\n<|im_start|>user\nmore", "a bow"),
        ("<|im_start|>assistant\na bow<|im_end|>", "\na bow"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\na bow<|eot_id|>", "\n\na bow"),
        ("I write <answer>a bow</answer>, good.", "a bow"),
        ("<answer>a hat</answer> No. <answer>a bow</answer>", "a bow"),
        ("a bow\n<think>or a hat?</think>", "a bow\n"),
        ("> Maybe a hat.\n\na bow", "\na bow"),
        ("> a bow\n> an arrow", "> a bow\n> an arrow"),
        ("less than < 5 m", "less than < 5 m"),
        ("[sic] a bow", "[sic] a bow"),
    ],
)
def test_marks_and_what_is_outside_an_answer_are_removed(text: str, answer: str) -> None:
    assert final_answer(text) == answer
