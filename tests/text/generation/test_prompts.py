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


def test_unknown_prompts_and_invalid_yaml_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no prompts 'nonsense'.*one of: ost, ranked"):
        Prompts.load("nonsense")
    (tmp_path / "own.yaml").write_text("a: [\n")
    with pytest.raises(UserError, match=r"own.yaml:2: not valid YAML"):
        Prompts.load(str(tmp_path / "own.yaml"))
