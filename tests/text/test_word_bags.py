import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.text import VideoBag, WordBags
from ost_lightning.text.word_sources import read_class_words, read_video_words

CLASSES = {"archery": ("shoot", "aiming a bow")}
VIDEOS = {"a.mp4": VideoBag("archery", ("draw", "shoot")), "b.mp4": VideoBag("surfing", (), 0.3)}
BAGS = WordBags(VIDEOS, CLASSES)


def test_a_bag_has_words_of_the_class_and_of_the_video_once() -> None:
    assert BAGS.words("a.mp4") == ("shoot", "aiming a bow", "draw")
    assert BAGS.words("b.mp4") == ()
    assert BAGS.empty() == ["b.mp4"]


def test_the_class_name_is_no_word_of_its_bag() -> None:
    """The released code removes it after drawing, which shifts all later bags."""
    bags = WordBags({"a.mp4": VideoBag("archery", ("Archery", "draw"))}, {"archery": ("archery",)})
    assert bags.words("a.mp4") == ("draw",)
    assert bags.draw("a.mp4", 4) == ("draw",) * 4


@given(size=st.integers(1, 20), count=st.integers(1, 20), seed=st.integers(0, 99))
def test_a_draw_repeats_whole_bags_and_draws_the_rest_without_replacement(size: int, count: int, seed: int) -> None:
    words = tuple(f"w{k}" for k in range(size))
    bags = WordBags({"a": VideoBag("archery", words)})
    torch.manual_seed(seed)
    drawn = bags.draw("a", count)
    assert drawn is not None
    found = Counter(drawn)
    assert found.total() == count
    assert {found[word] for word in words} <= {count // size, count // size + 1}
    torch.manual_seed(seed)
    assert bags.draw("a", count) == drawn


def test_every_word_is_drawn_at_some_time() -> None:
    drawn = [BAGS.draw("a.mp4", 1) for _ in range(60)]
    assert {words[0] for words in drawn if words} == set(BAGS.words("a.mp4"))
    assert BAGS.draw("b.mp4", 3) is None


def test_a_file_holds_everything(tmp_path: Path) -> None:
    names = {"a\u2028b.mp4": VideoBag("archery", ('say "x"',), 0.25, False), **VIDEOS}
    bags = WordBags(names, CLASSES, {"match": {"labels": "kinetics400"}})
    bags.save(tmp_path / "bags.jsonl")
    loaded = WordBags.load(tmp_path / "bags.jsonl")
    assert (loaded.videos, loaded.classes, loaded.sources) == (bags.videos, bags.classes, bags.sources)
    assert loaded.digest == bags.digest != BAGS.digest


def test_the_digest_is_of_words_not_of_their_sources() -> None:
    assert WordBags(VIDEOS, CLASSES, {"classes": "an LLM"}).digest == BAGS.digest
    assert WordBags(VIDEOS, {}).digest != BAGS.digest


HEADER = '{"word_bags": 1, "classes": {}, "sources": {}}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"bags\.jsonl:1: expected .*word_bags"),
        ('{"id": "a", "name": "x"}\n', r"bags\.jsonl:1: expected .* as the first line"),
        (HEADER, r"has no videos"),
        (HEADER + "{\n", r"bags\.jsonl:2: not valid JSON"),
        (HEADER + "[1]\n", r"bags\.jsonl:2: expected an object"),
        (HEADER + '{"id": "a"}\n', r"bags\.jsonl:2: expected an `id`, a `name`"),
        (HEADER + '{"id": "a", "name": "x", "word": []}\n', r"bags\.jsonl:2: expected an `id`, a `name`"),
        (HEADER + 2 * '{"id": "a", "name": "x"}\n', r"bags\.jsonl:3: the video a has a bag already"),
        (HEADER + '{"id": "a", "name": "x", "words": ["run", " "]}\n', r"bags\.jsonl:2: .*has an empty word"),
        (HEADER + '{"id": "a", "name": "x", "kept": "no"}\n', r'bags\.jsonl:2: `kept` is "no" and `cosine` is null'),
        (HEADER + '{"id": "a", "name": "x", "cosine": "0.3"}\n', r'bags\.jsonl:2: .*`cosine` is "0.3": expected true'),
        (HEADER.replace("{}}", '"me"}'), r"bags\.jsonl:1: expected .* as the first line"),
        (HEADER + '{"id": "a", "name": "x", "words": "run"}\n', r"bags\.jsonl:2: .*no list of texts"),
    ],
)
def test_damaged_files_are_rejected_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bags.jsonl"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        WordBags.load(file)


def test_bags_have_to_be_those_of_the_training_set() -> None:
    names = ["archery", "surfing"]
    BAGS.check(["a.mp4", "b.mp4"], names)
    with pytest.raises(UserError, match=r"1 training videos without a bag \(first: c\.mp4\)"):
        BAGS.check(["a.mp4", "b.mp4", "c.mp4"], names)
    with pytest.raises(UserError, match=r"1 bags of videos that the training list doesn't have \(first: b\.mp4\)"):
        BAGS.check(["a.mp4"], names)
    with pytest.raises(UserError, match=r"the class 'surfing', but the label space of the training videos does not"):
        BAGS.check(["a.mp4", "b.mp4"], ["archery"])
    dropped = WordBags({**VIDEOS, "b.mp4": VideoBag("surfing", kept=False)}, CLASSES)
    dropped.check(["a.mp4"], names)
    with pytest.raises(UserError, match=r"1 training videos that the filter dropped \(first: b\.mp4\)"):
        dropped.check(["a.mp4", "b.mp4"], names)


def test_words_of_unknown_videos_and_classes_are_rejected() -> None:
    with pytest.raises(UserError, match=r"words\.jsonl has words for 1 video that .* doesn't have \(first: c\.mp4"):
        BAGS.add_video_words({"a.mp4": ["draw"], "c.mp4": ["run"]}, "words.jsonl")
    with pytest.raises(UserError, match=r"verbs has words for 1 class \(first: 'Archery'\), but none of them"):
        BAGS.add_class_words({"Archery": ["shoot"]}, "verbs")


def test_added_words_replace_earlier_ones_of_the_same_kind() -> None:
    bags = BAGS.add_class_words({"surfing": ["ride"], "unused": ["x"]}, "verbs").add_video_words({"b.mp4": ["w"]}, "v")
    assert bags.words("a.mp4") == ()
    assert bags.words("b.mp4") == ("ride", "w")
    assert bags.classes == {"surfing": ("ride",)}
    assert bags.sources == {"classes": "verbs", "videos": "v"}


def test_words_of_classes_are_read_from_three_kinds_of_source(tmp_path: Path) -> None:
    space, texts, file = tmp_path / "space", tmp_path / "texts", tmp_path / "words.json"
    space.mkdir()
    (space / "classes.txt").write_text("archery\n")
    lists = {"archery": {"spatio": ["shoot"], "temporal": ["aim a bow", "shoot"]}}
    (space / "descriptors.json").write_text(json.dumps({"classes": lists}))
    texts.mkdir()
    (texts / "archery.txt").write_text("shoot\n\naim  a bow\n")
    file.write_text('{"archery": ["shoot", "aim a bow"]}')
    for source in (space, texts, file):
        assert read_class_words(source) == {"archery": ("shoot", "aim a bow")}


def test_words_and_captions_of_videos_are_joined_by_id(tmp_path: Path) -> None:
    file = tmp_path / "words.jsonl"
    file.write_text('{"id": "a", "words": ["run", "jump"]}\n\n{"id": "a", "captions": ["a man runs", "run"]}\n')
    assert read_video_words(file) == {"a": ("run", "jump", "a man runs")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"words": ["run"]}', r"w\.jsonl:1: expected an `id`, and either"),
        ('{"id": "a"}', r"w\.jsonl:1: expected an `id`, and either"),
        ('{"id": "a", "words": [], "captions": []}', r"w\.jsonl:1: expected an `id`, and either"),
        ('{"id": "a", "words": [""]}', r"w\.jsonl:1: the video a has an empty word"),
        ("", r"w\.jsonl has no lines"),
    ],
)
def test_damaged_words_of_videos_are_rejected_with_the_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "w.jsonl"
    file.write_text(line)
    with pytest.raises(UserError, match=message):
        read_video_words(file)
