import json
from dataclasses import replace

import pytest

from ost_lightning.analysis.results.published_results import Row
from ost_lightning.analysis.results.results_table import as_markdown, as_records, table
from ost_lightning.analysis.results.run_results import RunResults, Summary
from ost_lightning.analysis.results.run_rows import OURS, run_rows
from ost_lightning.analysis.results.transductive import TransductiveScore
from tests.analysis.example_runs import CLIPS, outcome, run, three_splits, trained


def test_runs_are_listed_next_to_the_paper_and_the_best_known() -> None:
    rows = table([run("zero_shot", trained("kinetics400"), **three_splits(tops=(0.55, 0.56, 0.57)))])
    assert [(row.method, row.measured_by) for row in rows if row.measured_by.startswith(OURS)] == [
        ("ContrastiveRecognition, CategoryName", f"{OURS}, x/version_0")
    ]
    assert (rows[0].top1, rows[0].over, rows[0].scored) == (pytest.approx(0.56), "3 splits", "4,590 / 4,590")
    assert [row.method for row in rows[1:]][-1] == "TACO"  # the best on HMDB51
    assert {"OST", "vanilla CLIP"} <= {row.method for row in rows[1:]}
    assert all(row.benchmark == "hmdb51" for row in rows)


def test_transductive_scores_are_in_no_row() -> None:
    plain = three_splits(tops=(0.55, 0.56, 0.57))
    adapted = TransductiveScore(0.9, 0.99, 1530, 0, {"capacity": 3})
    with_cache = {name: replace(result, transductive={"as trained": adapted}) for name, result in plain.items()}
    tables = [table([run("zero_shot", trained("kinetics400"), **sets)]) for sets in (plain, with_cache)]
    assert tables[0] == tables[1]


def test_few_shot_rows_are_compared_at_the_same_shots_and_start() -> None:
    training = trained("hmdb51", (8, 8), before="kinetics400")
    rows = table([run("few_shot", training, h=outcome("hmdb51-split1", 0.7))])
    assert {row.setting for row in rows} == {"8 shots, from kinetics400"}
    assert [round(100 * row.top1, 1) for row in rows] == [70.0, 69.2, 71.4]


def test_seeds_are_averaged_and_remarks_kept() -> None:
    training = trained("ucf101-base")
    runs = [
        run("base_to_novel", training, seed, b=outcome("ucf101-base", 0.9 + seed / 100), n=outcome("ucf101-novel", 0.6))
        for seed in (1, 2, 3)
    ]
    rows = {row.setting: row for row in run_rows(runs)}
    assert set(rows) == {"base", "novel", "harmonic mean"}
    assert (rows["base"].top1, rows["base"].std, rows["base"].over) == (
        pytest.approx(0.92),
        pytest.approx(0.01),
        "3 runs",
    )
    wrong = run("few_shot", trained("hmdb51"), h=outcome("hmdb51-split2", 0.9, in_training=233))
    printed = as_markdown(table([wrong]))
    assert "16 shots, from CLIP, split 2" in printed
    assert "90.0 [1] [2] |" in printed
    assert "\n[1] h: 233 of 1,530 videos" in printed
    assert "OST" not in printed  # nothing published is comparable
    assert json.dumps(as_records(run_rows(runs)))
    assert isinstance(run_rows(runs)[0], Row)


def tuned(run: RunResults, seed: int, **settings: object) -> RunResults:
    """Returns the run with new weights, trained with these settings."""
    checkpoint = {"training": trained("kinetics400", (250, 1150)), "settings": {"model": settings}}
    return replace(run, run=f"x/version_{seed}", model={**run.model, "weights": f"w{seed}"}, checkpoint=checkpoint)


def test_only_seeds_are_averaged() -> None:
    plain = run("zero_shot", None, **three_splits(tops=(0.4, 0.4, 0.4)))
    slow = [tuned(plain, seed, learning_rate=1e-6, init_from=f"of seed {seed}") for seed in (1, 2)]
    fast = tuned(plain, 3, learning_rate=1e-3)
    rows = run_rows([plain, *slow, fast])
    assert [(row.over, row.measured_by.removeprefix(f"{OURS}, ")) for row in rows] == [
        ("3 splits", "x/version_0"),
        ("2 runs of 3 splits", "x/version_1, x/version_2"),
        ("3 splits", "x/version_3"),
    ]
    differences = [row.method.partition(" (")[2] for row in rows]
    assert differences[0].startswith("trained=False")
    assert "trained=True" in differences[1]
    assert "learning_rate=1e-06" in differences[1]
    assert "learning_rate=0.001" in differences[2]
    assert run_rows([fast])[0].method == "ContrastiveRecognition, CategoryName"


@pytest.mark.parametrize("setting", ["matcher", "clips", "videos"])
def test_runs_under_different_conditions_are_not_averaged(setting: str) -> None:
    one = run("zero_shot", None, **three_splits())
    other = {
        "matcher": replace(one, model={**one.model, "matcher": {"class": "CategoryName", "epsilon": 0.3}}),
        "clips": replace(one, clips={**CLIPS, "resize": "bilinear"}),
        "videos": run("zero_shot", None, **three_splits() | {"hmdb51_1": outcome("hmdb51-split1", digest="e")}),
    }[setting]
    rows = run_rows([one, other])
    assert [row.over for row in rows] == ["3 splits", "3 splits"]
    assert rows[0].method != rows[1].method


def test_a_method_is_named_after_all_that_is_trained_beside_the_encoder() -> None:
    plain = run("zero_shot", None, **three_splits())
    prompts = {"text_prompts": {"class": "ClassContexts"}, "vision_prompts": {"class": "VideoPrompts"}}
    network = {"side_network": {"class": "DiSTNetwork"}, "clip_share": 0.5}
    for parts, named in (
        (prompts, "MeanPooling, ClassContexts, VideoPrompts"),
        (network, "MeanPooling, DiSTNetwork, 0.5 plain CLIP"),
        ({**network, "clip_share": 0.0}, "MeanPooling, DiSTNetwork"),
    ):
        model = {**plain.model, "temporal_head": "MeanPooling", "parts": parts}
        (row,) = run_rows([replace(plain, model=model)])
        assert row.method == f"ContrastiveRecognition, {named}, CategoryName"


def test_the_same_weights_count_once() -> None:
    once = tuned(run("zero_shot", None, **three_splits()), 1)
    (row,) = run_rows([once, replace(once, run="x/ablation")])
    assert (row.over, row.measured_by) == ("3 splits", f"{OURS}, x/ablation")


def test_a_learned_epsilon_may_differ_between_seeds() -> None:
    runs = [tuned(run("zero_shot", None, **three_splits()), seed) for seed in (1, 2)]
    for learned, over in ((True, ["2 runs of 3 splits"]), (False, ["3 splits", "3 splits"])):
        matchers = [
            {"class": "OptimalDescriptorSolver", "epsilon": 0.1 + seed / 100, "learn_epsilon": learned}
            for seed in (1, 2)
        ]
        changed = [
            replace(one, model={**one.model, "matcher": matcher}) for one, matcher in zip(runs, matchers, strict=True)
        ]
        assert [row.over for row in run_rows(changed)] == over


def test_weights_without_a_record_are_named() -> None:
    training = trained("hmdb51", (8, 8)) | {"before": {"weights": "ost_k400"}}
    (row,) = run_rows([run("few_shot", training, h=outcome("hmdb51-split1", 0.7))])
    assert row.setting == "8 shots, from ost_k400"


def test_untrained_weights_differ_in_no_training_setting() -> None:
    plain = run("zero_shot", None, **three_splits(tops=(0.4, 0.4, 0.4)))
    rows = run_rows([plain, tuned(plain, 1, learning_rate=1e-6)])
    assert [row.method for row in rows] == [
        "ContrastiveRecognition, CategoryName (trained=False)",
        "ContrastiveRecognition, CategoryName (trained=True)",
    ]


def test_sets_that_are_not_combined_have_their_own_row_and_a_note() -> None:
    raw = outcome("hmdb51-split1", 0.3, name_form="as published", sentences={"name": "raw"})
    sets = three_splits(tops=(0.5, 0.52, 0.54)) | {"hmdb51-raw": raw}
    rows = run_rows([run("zero_shot", None, **sets)])
    assert [(row.setting, round(row.top1, 4), row.over) for row in rows] == [
        ("", 0.52, "3 splits"),
        ("split 1 only", 0.3, ""),
    ]
    assert [row.scored for row in rows] == ["4,590 / 4,590", "1,530 / 1,530"]
    note = "hmdb51: no mean over sets that differ in form of the class names and sentences, which are: hmdb51_1 and "
    assert f"] {note}" in as_markdown(rows)
    alone = run_rows([run("zero_shot", None, a=outcome("hmdb51-split1", 0.5), b=raw)])
    assert [row.method.partition(" (")[2] for row in alone] == [
        "name_form=words, class_names=n)",
        "name_form=as published, class_names=raw)",
    ]


def test_a_mean_that_an_earlier_version_mixed_is_computed_anew() -> None:
    sets = three_splits(tops=(0.5, 0.52, 0.54)) | {"raw": outcome("hmdb51-split1", 0.3, name_form="as published")}
    earlier = {
        name: replace(result, card=replace(result.card, labels=None, sentences=None, vocabulary=None))
        for name, result in sets.items()
    }
    mixed = replace(
        run("zero_shot", None, **earlier), summaries=[Summary("hmdb51, ...", "hmdb51", "as trained", 0.1, 0.2)]
    )
    rows = run_rows([mixed])
    assert [round(row.top1, 4) for row in rows] == [0.52, 0.3]
    assert all(any("did not record its sentences" in remark for remark in row.remarks) for row in rows)
    # next to a run that did, its sentences are unknown
    again = run_rows([mixed, run("zero_shot", None, **three_splits())])
    assert [row.method.partition(" (")[2] for row in again if row.over] == [
        "labels=unknown, sentences=unknown)",
        "labels=l, class_names=n)",
    ]


def test_a_figure_depends_on_its_own_sets_only() -> None:
    sets = three_splits()
    more = sets | {"own": replace(outcome("hmdb51-split1"), card=replace(sets["hmdb51_1"].card, benchmark=None))}
    rows = run_rows([tuned(run("zero_shot", None, **sets), 1), tuned(run("zero_shot", None, **more), 2)])
    assert [row.over for row in rows] == ["2 runs of 3 splits", ""]


def test_other_lists_of_a_data_set_are_not_compared_with_the_paper() -> None:
    k600 = {f"k{k}": outcome(f"k600-split{k}-validation", 0.8) for k in (1, 2, 3)}
    released = {f"h{k}": outcome(f"hmdb51-released-split{k}", 0.5) for k in (1, 2, 3)}
    rows = table([run("zero_shot", trained("kinetics400", (250, 1150)), **k600, **released, **three_splits())])
    ours = [row for row in rows if row.measured_by.startswith(OURS)]
    assert [(row.benchmark, row.setting, row.over) for row in ours] == [
        ("hmdb51", "", "3 splits"),
        ("hmdb51", "labels as released", "3 splits"),
        ("kinetics600", "validation part", "3 splits"),
    ]
    assert {(row.benchmark, row.setting) for row in rows if row not in ours} == {("hmdb51", "")}
