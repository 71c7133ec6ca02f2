from pathlib import Path

import pytest
import yaml

from ost_lightning.errors import UserError
from ost_lightning.resources import shipped
from ost_lightning.text.generation.prompts import Prompts

GOOD = {"system": "s", "spatio": "{name} {count}", "temporal": "{count} of {name}", "again": "because {problem}"}


@pytest.mark.parametrize("name", sorted(path.stem for path in (shipped("prompts") / "descriptors").glob("*.yaml")))
@pytest.mark.parametrize("kind", ["spatio", "temporal"])
def test_shipped_prompts_contain_name_count_and_format(name: str, kind: str) -> None:
    prompts = Prompts.load(name)
    system, user = prompts.messages(kind, 'playing "harp" {loudly}', 8, as_json=False)
    assert (system["role"], user["role"]) == ("system", "user")
    assert 'the action "playing "harp" {loudly}"' in user["content"]
    assert "8 " in user["content"]
    assert "in total" in user["content"]
    assert "JSON" in prompts.messages(kind, "x", 8, as_json=True)[1]["content"]
    assert "it was empty" in prompts.messages(kind, "x", 8, as_json=True, problem="it was empty")[1]["content"]


def test_the_digest_depends_only_on_the_texts(tmp_path: Path) -> None:
    for name, change in (("a", {}), ("b", {}), ("c", {"system": "t"}), ("d", {"again": "as {problem}"})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(GOOD | change))
    a, b, c, d = (Prompts.load(str(tmp_path / f"{name}.yaml")).digest for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spatio": "{name}"}, r"'spatio' \(.*\) must contain {count} and {name} in braces"),
        ({"temporal": "{name} {count} {place}"}, "'temporal' .* must contain {count} and {name}"),
        ({"system": "{name}"}, "'system' .* must contain nothing in braces"),
        ({"again": "no"}, "'again' .* must contain {problem}"),
        ({"spatio": "{name"}, "'spatio' .* unmatched braces"),
        ({"spatio": 3}, "'spatio' must be a non-empty string"),
        ({"more": "x"}, "exactly the keys system, spatio, temporal, again"),
    ],
)
def test_malformed_prompts_are_rejected(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(UserError, match=message):
        Prompts.load(str(file))


@pytest.mark.parametrize(("name", "digest"), [("ost", "e0339075125db160"), ("ranked", "1595cf218bdf0ba2")])
def test_english_prompts_are_those_of_earlier_journals(name: str, digest: str) -> None:
    prompts = Prompts.load(name)
    assert (prompts.digest, prompts.language) == (digest, "en")
    assert "short English phrases" in prompts.system


def test_rephrased_names_have_a_digest_of_their_own(tmp_path: Path) -> None:
    for name, change in (("a", {}), ("b", {"rephrase": "{count} for {name}"}), ("c", {"rephrase": "{name} {count}"})):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(GOOD | change))
    a, b, c = (Prompts.load(str(tmp_path / f"{name}.yaml")) for name in "abc")
    assert a.digest == b.digest == c.digest
    assert b.rephrase_digest != c.rephrase_digest
    assert b.messages("name", "x", 2, as_json=False)[1]["content"].startswith("2 for x\n")
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(GOOD | {"rephrase": "{count}"}))
    with pytest.raises(UserError, match=r"'rephrase' .* must contain {count} and {name} in braces"):
        Prompts.load(str(tmp_path / "d.yaml"))


@pytest.mark.parametrize(("language", "word"), [("de", "German"), ("zh", "Chinese"), ("Swiss German", "Swiss German")])
def test_descriptors_are_requested_in_other_languages(language: str, word: str) -> None:
    prompts = Prompts.load("ost", language)
    assert f"short {word} phrases" in prompts.messages("spatio", "x", 4, as_json=True)[0]["content"]
    assert prompts.digest != Prompts.load("ost").digest  # its answers are never mixed with English ones


@pytest.mark.parametrize("language", ["xx", "deutsch", "", "G3rman", "de-DE"])
def test_unknown_languages_are_rejected(language: str) -> None:
    with pytest.raises(
        UserError, match=f"no language '{language}'. Expected an English name such as Basque, or .* de,"
    ):
        Prompts.load("ost", language)


def test_own_prompts_without_a_place_for_the_language_are_rejected(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(GOOD))
    assert Prompts.load(str(file)).system == "s"
    with pytest.raises(UserError, match=r"own.yaml: 'system' has no {language}, .* language 'de'"):
        Prompts.load(str(file), "de")


def test_unknown_prompts_and_invalid_yaml_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no prompts 'nonsense'.*one of: ost, ranked"):
        Prompts.load("nonsense")
    (tmp_path / "own.yaml").write_text("a: [\n")
    with pytest.raises(UserError, match=r"own.yaml:2: not valid YAML"):
        Prompts.load(str(tmp_path / "own.yaml"))
