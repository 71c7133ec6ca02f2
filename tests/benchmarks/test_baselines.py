"""The benchmark of baselines: its rows, what is kept of them, and the table."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ost_lightning.resources import shipped
from ost_lightning.text import WordBags
from ost_lightning.toyworld.vocabulary import STATES, VERBS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "baselines.py"
SYSTEMS = yaml.safe_load(SCRIPT.with_suffix(".yaml").read_text())
SIZES = {"epochs": 1, "train_clips": 1, "test_clips": 1}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def keep(script: SimpleNamespace, folder: Path, name: str, draw: int, **figures: float) -> None:
    file = script.kept(folder, name, draw)
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"figures": figures, "conditions": script.conditions(script.systems()[name], SIZES)}
    file.write_text(json.dumps(content))


def test_every_overlay_has_a_row_or_a_reason() -> None:
    overlays = {overlay for system in SYSTEMS["systems"].values() for overlay in system["overlays"]}
    assert {path.stem for path in (shipped("experiments") / "baselines").glob("*.yaml")} == {
        *overlays,
        *SYSTEMS["without_row"],
    }
    assert not overlays & SYSTEMS["without_row"].keys()
    changed = {name for name, system in SYSTEMS["systems"].items() if "settings" in system}
    assert changed == {name for name, system in SYSTEMS["systems"].items() if "scaled" in system}


def test_a_system_is_trained_and_tested(script: SimpleNamespace, tmp_path: Path) -> None:
    figures = script.measure(script.systems()["A5"], 0, SIZES, tmp_path, groups=("unseen",))
    width, head = 128, 4 * 128**2 + 8 * 128**2 + 13 * 128  # attention and MLP of one block, with biases and norms
    assert figures["parameters"] == (77 + 32) * width + head
    assert figures["unseen"] * 20 == pytest.approx(round(figures["unseen"] * 20))
    assert 0 < figures["step_seconds"] < 60
    assert figures["peak_mib"] >= 0
    assert "unseen, ensembled" not in figures  # both towers are frozen


def test_bags_are_made_of_names_alone(script: SimpleNamespace, tmp_path: Path) -> None:
    bags = WordBags.load(script.bags(0, 1, tmp_path))
    assert len(bags.videos) == 40
    assert bags.classes.keys() == {bag.name for bag in bags.videos.values()}
    for name, words in bags.classes.items():
        verb, noun = name.split()
        assert set(words) == {phrase.format(prop=noun) for phrase in STATES[VERBS[verb]]}


def test_the_table_has_what_was_measured_under_the_same_conditions(script: SimpleNamespace, tmp_path: Path) -> None:
    cost = {"parameters": 1234, "step_seconds": 0.25, "peak_mib": 10.0}
    keep(script, tmp_path, "OST", 0, seen=0.5, unseen=0.75, order=0.1, **cost)
    keep(script, tmp_path, "OST", 3, seen=0.7, unseen=0.75, order=0.1, **cost)
    keep(script, tmp_path, "CLIP", 1, seen=0.125, unseen=0.25, order=0.5, parameters=0)
    table = script.table(tmp_path, SIZES).splitlines()
    assert table[2] == "| CLIP | 0 | - | - | 12.5 | 25.0 | - | 50.0 | 1 |"
    assert table[3] == "| OST | 1,234 | 250 | 10 | 60.0 ± 14.1 | 75.0 ± 0.0 | - | 10.0 ± 0.0 | 2 |"
    assert len(table) == 4
    assert len(script.table(tmp_path, {**SIZES, "epochs": 2}).splitlines()) == 2


def test_figures_of_other_settings_are_not_taken(script: SimpleNamespace, tmp_path: Path) -> None:
    keep(script, tmp_path, "A5", 0, seen=0.5)
    system = script.systems()["A5"]
    file = script.kept(tmp_path, "A5", 0)
    assert script.read(file, script.conditions(system, SIZES)) == {"seen": 0.5}
    changed = {**system, "settings": {"model.optimizer.learning_rate": 0.5}}
    assert script.read(file, script.conditions(changed, SIZES)) is None
    assert script.read(script.kept(tmp_path, "A5", 1), script.conditions(system, SIZES)) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SYSTEMS["systems"] if name != "A5"])
def test_every_system_runs(name: str, script: SimpleNamespace, tmp_path: Path) -> None:
    figures = script.measure(script.systems()[name], 0, SIZES, tmp_path)
    assert figures.keys() >= {"seen", "unseen", "order", "parameters"}
    assert ("step_seconds" in figures) == script.systems()[name].get("trained", True)
