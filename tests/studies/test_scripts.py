import importlib
import runpy
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch.nn.functional import normalize

from ost_lightning.cli import main
from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import ContextualVideoCLIP, TemporalContext, VideoCLIP

TOP = Path(__file__).parents[2]
SCRIPTS = sorted(
    file
    for file in [*TOP.glob("studies/**/*.py"), *TOP.glob("benchmarks/*.py")]
    if not file.with_name("__init__.py").is_file()
)
SHARED = (
    "world",
    "variants",
    "ingredients",
    "spreads",
    "random_clip",
    "film_clips",
    "other_readers",
    "footage",
    "levels",
    "measures",
    "comparison",
    "unknown",
    "large_library",
    "training_cost",
    "own_process",
    "ingredient_cost",
    "growth_classes",
    "growth_measure",
    "growth_processes",
    "growth_shapes",
    "growth_videos",
)


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets scripts import their neighbors by short names, as they do when they are run."""
    for folder in {script.parent for script in SCRIPTS}:
        monkeypatch.syspath_prepend(str(folder))
    yield
    for script in SCRIPTS:
        if script.stem != "__main__":  # that is pytest itself
            sys.modules.pop(script.stem, None)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(TOP)))
def test_scripts_find_what_they_import(script: Path) -> None:
    assert "main" in runpy.run_path(str(script), run_name="imported") or script.stem in SHARED


def test_matchers_of_the_study_match_their_names() -> None:
    variants = SimpleNamespace(**runpy.run_path(str(TOP / "studies/beyond/variants.py")))
    grid, chosen = variants.grid(), variants.chosen(sigma=0.3, rho=0.5, mass=0.9)
    assert grid["ot sigma 0.3"].problems == chosen["ot +order"].problems
    assert grid["eq13 rho 0.5"].problems == chosen["eq13 +relaxed"].problems
    assert grid["eq13 mass 0.9"].terms == chosen["eq13 +partial"].terms
    assert chosen["t-ot"].kinds == ("temporal",)
    assert len({*grid, *chosen, *variants.baselines()}) > 60


def test_controls_only_shuffle() -> None:
    world = SimpleNamespace(**runpy.run_path(str(TOP / "studies/beyond/world.py")))
    frames, temporal = (normalize(torch.randn(shape), dim=-1) for shape in ((6, 8, 16), (5, 4, 16)))
    encoded = world.Encoded(frames, torch.zeros(6, dtype=torch.int64), {"temporal": temporal, "name": temporal[:, :1]})
    for shuffle, before, after in (
        (world.with_steps_shuffled, temporal, lambda result: result.texts["temporal"]),
        (world.with_frames_shuffled, frames, lambda result: result.frames),
    ):
        shuffled = after(shuffle(encoded, 0))
        torch.testing.assert_close(shuffled.sum(1), before.sum(1))
        assert not torch.equal(shuffled, before)
        assert torch.equal(shuffled, after(shuffle(encoded, 0)))
        assert not torch.equal(shuffled, after(shuffle(encoded, 1)))


def test_recipe_of_the_study_is_the_one_that_ships() -> None:
    study = SimpleNamespace(**runpy.run_path(str(TOP / "studies/beyond/ingredients.py")))
    shipped = yaml.safe_load((TOP / "experiments/presets/ost_plus.yaml").read_text())
    matcher = shipped["model"]["init_args"]["matcher"]["init_args"]
    assert study.TermWeights(**matcher["terms"]) == study.INGREDIENTS["OST+"].matcher.terms
    assert study.INGREDIENTS["OST+"].matcher.problems == OptimalDescriptorSolver().problems
    assert (study.INGREDIENTS["OST+"].training, study.INGREDIENTS["OST+"].weights) == ("paper", "tuned")
    assert study.INGREDIENTS["Eq. 13"].matcher.terms == study.TermWeights()


def test_averages_contain_the_original_and_every_epoch(tmp_path: Path) -> None:
    recipe = SimpleNamespace(**runpy.run_path(str(TOP / "studies/beyond/recipe.py")))
    original = dict(recipe.VideoCLIP("tiny").state_dict())
    weights = recipe.weights_of("paper", 0, 0, tmp_path)
    assert recipe.clip_of("averaged", "paper", 0, 0, tmp_path) is None
    recipe.VideoCLIP("tiny").save_pretrained(weights)
    (weights / "study.json").write_text("{}")
    epochs = weights.with_name(f"{weights.name}.epochs")
    epochs.mkdir()
    for k in (1, 2):
        state = {f"video_clip.{name}": value + 3 * k for name, value in original.items()}
        torch.save({"state_dict": state}, epochs / f"epoch{k}.ckpt")
    name = "encoder.model.logit_scale"
    averaged = dict(recipe.clip_of("averaged", "paper", 0, 0, tmp_path).state_dict())
    torch.testing.assert_close(averaged[name], original[name] + 3)


def test_trained_models_are_loaded_as_what_they_were_trained_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = importlib.import_module("train")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["fit", "--config=toyworld", *train.VARIANTS["context"], "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]
    settings = printed["video_clip"]["init_args"]["temporal_context"]["init_args"]
    assert (settings["context_tokens"], settings["merges_per_round"]) == (8, 9)
    assert printed["matcher"]["class_path"].endswith("OptimalDescriptorSolver")
    contextual = ContextualVideoCLIP("tiny", temporal_context=partial(TemporalContext, **settings))
    plain = VideoCLIP("tiny")
    clips = torch.randint(0, 256, (2, 8, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    embedded = []
    for name, clip in (("context", contextual), ("paper", plain)):
        task = SimpleNamespace(video_clip=clip, matcher=OptimalDescriptorSolver())
        monkeypatch.setattr(train, "ExperimentCLI", lambda options, task=task: SimpleNamespace(model=task))
        weights = train.tuned(train.weights_of(name, 0, 0, tmp_path), tmp_path / "runs" / name, ())
        with torch.no_grad():
            embedded.append(train.trained_clip(weights).eval().encode_frames(clips))
            assert torch.equal(embedded[-1], clip.eval().encode_frames(clips))
    assert not torch.allclose(*embedded, atol=1e-3)


def test_report_pairs_within_a_draw(capsys: pytest.CaptureFixture[str]) -> None:
    report = SimpleNamespace(**runpy.run_path(str(TOP / "studies/beyond/spreads.py")))
    values, base = (dict(enumerate(row)) for row in ([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 2.0, 3.0, 7.0]))
    assert report.difference(values, base) == "+0.4 ± 1.3 (4/5)"
    assert report.difference({1: 3.0}, base) == "+2.0 (1/1)"
    assert report.cell(values) == "3.0 ± 1.6"
    assert report.cell({}) == "-"
    report.table(["a", "b"], [["1", "2"]])
    assert capsys.readouterr().out == "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"
