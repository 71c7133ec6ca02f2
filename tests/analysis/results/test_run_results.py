import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.analysis.results.results_table import as_markdown
from ost_lightning.analysis.results.run_results import RunResults, Score
from ost_lightning.analysis.results.run_rows import run_rows
from ost_lightning.errors import UserError
from tests.analysis.example_runs import outcome, run, three_splits, trained


def test_saved_results_are_loaded_unchanged(tmp_path: Path) -> None:
    results = run("zero_shot", trained("kinetics400"), **three_splits())
    results.save(tmp_path / "results.json")
    assert RunResults.load(tmp_path / "results.json") == results
    assert "hmdb51, mean of 3 splits | as trained | 60.0 ± 10.0 |" in results.markdown()
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 99}', '{"format": 1, "sets": {"a": {}}}'])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=r"results\.json"):
        RunResults.load(tmp_path / "results.json")


@pytest.mark.parametrize("version", [0, 2])
def test_a_file_of_another_format_is_named(tmp_path: Path, version: int) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"format": version}))
    with pytest.raises(UserError, match=rf"results\.json has format {version}, but this version reads 1: run the test"):
        RunResults.load(tmp_path / "results.json")


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Reads a file of version 0.1.0, which predates the term "published list"."""
    (tmp_path / "results.json").write_text(EARLIER)
    results = RunResults.load(tmp_path / "results.json")
    (result,) = results.sets.values()
    assert (result.card.list, result.card.benchmark, result.card.part) == ("hmdb51-split1", "hmdb51", "split 1")
    assert result.scores["as trained"] == Score(0.5, 0.8, 1530, 30)
    assert [row.setting for row in run_rows([results])] == ["split 1 only"]
    # with the names of today, so that runs before and after the renaming are one row
    assert results.model["matcher"]["gradient"] == "detach"
    assert results.clips == {"frames": 32, "views": 1, "crops": 1, "color_jitter": 0.8, "framing": "crop"}


def test_a_list_that_an_earlier_version_named_wrongly_has_no_name(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for name, listed, known in (("hmdb51-split1", 1530, True), ("kinetics400-validation", 8, False)):
        file.write_text(EARLIER.replace('"list": "hmdb51-split1"', f'"list": "{name}"').replace("1530", str(listed)))
        (result,) = RunResults.load(file).sets.values()
        found = (result.card.list, result.card.benchmark, result.card.part)
        assert found == ((name, "hmdb51", "split 1") if known else (None, None, None))


EARLIER = """{"format": 1, "run": "zeroshot_k400/version_0", "protocol": "zero_shot", "seed": 0, "package": "0.1.0",
"git": null, "model": {"task": "ContrastiveRecognition", "backbone": "ViT-B/16", "pretrained": "tiny", "tuned_from":
null, "temporal_head": null, "init_from": null, "weights": "abc", "pixel_statistics": "clip", "matcher": {"class":
"OptimalDescriptorSolver", "gradient": "envelope"}, "templates": {"name": ["{name}"]}, "descriptors_per_class": 4},
"clips": {"frames": 32, "views": 1,
"crops": 1, "colour_jitter": 0.8}, "checkpoint": null,
"sets": {"hmdb51-split1": {"card": {"label_space": "hmdb51", "classes": 51,
"name_form": "words", "digest": "0b093b32ef1ccd09", "list": "hmdb51-split1", "benchmark": "hmdb51", "part": "split 1",
"listed": 1530, "found": 1530, "in_training": null}, "scores": {"as trained": {"top1": 0.5, "top5": 0.8, "scored": 1530,
"undecodable": 30, "ensembling_ratio": 0.0}}}}, "summaries": [], "remarks": ["Not the protocol zero_shot: ..."]}"""


def test_accuracy_over_the_videos_that_could_be_read() -> None:
    assert Score(0.5, 0.8, 10, 2).top1_of_decoded == 5 / 8
    assert Score(0.0, 0.0, 2, 2).top1_of_decoded is None


@pytest.mark.parametrize("table", [RunResults.markdown, lambda one: as_markdown(run_rows([one]))])
def test_names_cannot_break_or_enter_the_tables(table: Callable[[RunResults], str]) -> None:
    """Names of sets and classes come from other people's folders."""
    hostile = "a|b\n<img src=x onerror=alert(1)>"
    one = run(None, None, **{hostile: outcome("hmdb51-split1", benchmark=None)})
    text = table(replace(one, remarks=[f"{hostile}: one remark"]))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(re.findall(r"\|", rows[0]))}
    assert "a\\|b &lt;img src=x" in text
    assert "<img" not in text


def test_a_method_can_have_a_name_of_its_own(tmp_path: Path) -> None:
    results = replace(run("zero_shot", trained("kinetics400"), **three_splits()), method="ours | *new*")
    results.save(tmp_path / "results.json")
    assert RunResults.load(tmp_path / "results.json").method == "ours | *new*"
    assert {row.method for row in run_rows([results])} == {"ours | *new*"}
    assert "ours | *new*" not in results.markdown() + as_markdown(run_rows([results]))  # escaped


def test_both_kinds_of_descriptors_were_the_only_choice_of_earlier_versions(tmp_path: Path) -> None:
    results = run("zero_shot", trained("kinetics400"), **three_splits())
    results = replace(results, model={**results.model, "matcher": {"class": "MaxSimilarity"}})
    results.save(tmp_path / "results.json")
    loaded = RunResults.load(tmp_path / "results.json")
    assert loaded.model["matcher"]["kinds"] == ["spatio", "temporal"]
