import json
from dataclasses import replace
from pathlib import Path

import pytest

from ost_lightning.analysis.protocols import Protocol, remarks
from ost_lightning.analysis.published_lists import identify, published_lists, same_classes
from ost_lightning.analysis.published_results import Row, published_rows
from ost_lightning.analysis.results_table import as_markdown, as_records, table
from ost_lightning.analysis.run_results import DataCard, RunResults, Score, SetResult
from ost_lightning.analysis.run_rows import OURS, run_rows
from ost_lightning.analysis.summaries import summarize
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace

CLIPS = {"frames": 32, "views": 1, "crops": 1}
SIZES = {entry.name: entry for entry in published_lists()}


def outcome(name: str, top1: float = 0.5, *, listed: int | None = None, **changes: object) -> SetResult:
    """Results on a published list, with one set of weights."""
    entry = SIZES[name]
    count = listed or entry.videos or entry.about or 100
    card = DataCard(entry.label_space, 51, "words", "d", name, entry.benchmark, entry.part, count, count, 0)
    score = Score(top1, min(1.0, top1 + 0.2), count, 0)
    card_changes = {key: value for key, value in changes.items() if key in DataCard.__dataclass_fields__}
    score_changes = {key: value for key, value in changes.items() if key in Score.__dataclass_fields__}
    return SetResult(replace(card, **card_changes), {"as trained": replace(score, **score_changes)})


def trained(label_space: str, shots: tuple[int, int] = (16, 16), before: str | None = None) -> dict[str, object]:
    earlier = {"label_space": before} if before else None
    return {"label_space": label_space, "shots": list(shots), "before": earlier}


def run(protocol: Protocol | None, training: dict[str, object] | None, seed: int = 0, **sets: SetResult) -> RunResults:
    return RunResults(
        run=f"x/version_{seed}",
        protocol=protocol,
        seed=seed,
        package="0",
        git=None,
        model={
            "task": "ContrastiveRecognition",
            "backbone": "ViT-B/16",
            "pretrained": "p",
            "matcher": {"class": "CategoryName"},
            "templates": {},
        },
        clips=CLIPS,
        checkpoint={"training": training} if training else None,
        sets=sets,
        summaries=summarize(sets),
        remarks=remarks(protocol, sets, training, CLIPS),
    )


def three_splits(benchmark: str = "hmdb51", tops: tuple[float, ...] = (0.5, 0.6, 0.7)) -> dict[str, SetResult]:
    return {f"{benchmark}_{k}": outcome(f"{benchmark}-split{k}", top) for k, top in enumerate(tops, start=1)}


def test_mean_and_spread_over_splits() -> None:
    (summary,) = summarize(three_splits())
    assert (summary.what, summary.top1) == ("hmdb51, mean of 3 splits", pytest.approx(0.6))
    assert summary.top1_std == pytest.approx(0.1)
    assert summarize({"one": outcome("hmdb51-split1")}) == []


def test_harmonic_mean() -> None:
    (summary,) = summarize({"a": outcome("ucf101-base", 0.9), "b": outcome("ucf101-novel", 0.6)})
    assert summary.top1 == pytest.approx(2 * 0.9 * 0.6 / 1.5)
    assert (summary.what, summary.top1_std) == ("ucf101, harmonic mean of base and novel", None)


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    results = run("zero_shot", trained("kinetics400"), **three_splits())
    results.save(tmp_path / "results.json")
    assert RunResults.load(tmp_path / "results.json") == results
    assert "hmdb51, mean of 3 splits | as trained | 60.0 ± 10.0 |" in results.markdown()
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 99}', '{"format": 1, "sets": {"a": {}}}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=r"results\.json"):
        RunResults.load(tmp_path / "results.json")


def test_the_right_protocol_gives_no_remark() -> None:
    k600 = {f"k{k}": outcome(f"k600-split{k}") for k in (1, 2, 3)}
    full = trained("kinetics400", (250, 1150))
    assert run("zero_shot", full, **three_splits(), **three_splits("ucf101"), **k600).remarks == []
    assert run("zero_shot", None, **three_splits()).remarks == []
    for shots in (2, 4, 8, 16):
        sets = {"h": outcome("hmdb51-split1")}
        assert run("few_shot", trained("hmdb51", (shots, shots)), **sets).remarks == []
    assert run("few_shot", trained("ssv2", before="kinetics400"), s=outcome("ssv2-validation")).remarks == []
    both = {"b": outcome("ucf101-base"), "n": outcome("ucf101-novel")}
    assert run("base_to_novel", trained("ucf101-base"), **both).remarks == []
    supervised = {"a": outcome("activitynet-validation")}
    assert run("supervised", trained("activitynet", (20, 90)), **supervised).remarks == []


@pytest.mark.parametrize(
    ("protocol", "training", "sets", "told"),
    [
        (
            "few_shot",
            trained("hmdb51"),
            {"h": outcome("hmdb51-split2")},
            "h is hmdb51, split 2; few-shot scores are those",
        ),
        ("few_shot", trained("hmdb51", (2, 16)), {"h": outcome("hmdb51-split1")}, "2 to 16 videos per class"),
        ("few_shot", trained("hmdb51", (5, 5)), {"h": outcome("hmdb51-split1")}, "5 videos per class, not on 2 or 4"),
        ("few_shot", trained("ucf101"), {"h": outcome("hmdb51-split1")}, "trained on ucf101, but h is hmdb51"),
        ("few_shot", None, {"h": outcome("hmdb51-split1")}, "not known what the checkpoint was trained on"),
        ("zero_shot", trained("ucf101"), three_splits(), "trained on ucf101, not on kinetics400"),
        ("zero_shot", None, {"h": outcome("hmdb51-split1")}, "hmdb51 was tested on split 1 only"),
        ("zero_shot", None, {"h": outcome("kinetics400-validation")}, "h is kinetics400, validation; expected"),
        ("base_to_novel", trained("ucf101-base"), {"b": outcome("ucf101-base")}, "not tested on its novel classes"),
        ("base_to_novel", trained("ucf101"), {"b": outcome("ucf101-base")}, "not on base classes"),
        (
            "base_to_novel",
            trained("ucf101-base", (8, 8)),
            {"b": outcome("ucf101-base")},
            "8 videos per class, not on 16",
        ),
        (
            "base_to_novel",
            trained("hmdb51-base"),
            {"b": outcome("ucf101-base"), "n": outcome("ucf101-novel")},
            "another data set (hmdb51-base) than n.",
        ),
        ("zero_shot", trained("kinetics400", (1, 1)), three_splits(), "trained on 1 videos per class or fewer"),
        ("supervised", trained("ssv2"), {"s": outcome("ssv2-validation")}, "trained on 16 videos per class or fewer"),
        (None, None, {"k": outcome("k600-split2", listed=200)}, "copies of k600-split2 have about 14,000"),
        ("supervised", trained("ssv2"), {"k": outcome("kinetics400-validation")}, "but k is kinetics400"),
        ("supervised", trained("ssv2"), {"k": outcome("k600-split1")}, "expected the validation set"),
        (None, None, {"h": outcome("hmdb51-split1", found=1500)}, "h: 30 of 1,530 listed videos are not there"),
        (None, None, {"h": outcome("hmdb51-split1", undecodable=3)}, "h: 3 of 1,530 videos could not be read"),
        (None, None, {"h": outcome("hmdb51-split1", scored=16)}, "h: only 16 of 1,530 listed videos were scored"),
        (None, None, {"h": outcome("hmdb51-split2", in_training=233)}, "h: 233 of 1,530 videos are videos that the"),
        (None, None, {"k": outcome("k600-split1", listed=13000)}, "the published list k600-split1 has 14,084"),
        (
            "zero_shot",
            None,
            {"own": outcome("hmdb51-split1", list=None, benchmark=None, part=None, label_space="mine")},
            "own (1,530 videos, label space mine) is not a known list",
        ),
    ],
)
def test_a_wrong_protocol_is_told(
    protocol: Protocol | None, training: dict[str, object] | None, sets: dict[str, SetResult], told: str
) -> None:
    assert any(told in remark for remark in run(protocol, training, **sets).remarks)


def test_published_lists_are_known_by_their_videos_whatever_they_are_called() -> None:
    labels = LabelSpace(("a", "b"))
    digest = SIZES["hmdb51-split2"].digest
    assert digest is not None
    found = identify(digest, labels)
    assert found is not None
    assert found.name == "hmdb51-split2"
    assert identify("0" * 16, labels) is None
    assert same_classes(LabelSpace.load("hmdb51"), "hmdb51")
    assert not same_classes(labels, "hmdb51")
    assert identify("0" * 16, LabelSpace.load("hmdb51")) is None
    kinetics = identify("0" * 16, LabelSpace.load("kinetics400"))
    assert kinetics is not None
    assert kinetics.name == "kinetics400-validation"


def test_the_papers_figures() -> None:
    def figure(protocol: str, benchmark: str, setting: str, method: str = "OST", frames: str | None = None) -> float:
        found = [
            row
            for row in published_rows()
            if (row.protocol, row.benchmark, row.setting, row.method) == (protocol, benchmark, setting, method)
            and row.backbone == "ViT-B/16"
            and frames in (None, row.frames)
        ]
        assert len(found) == 1
        return round(100 * found[0].top1, 1)

    assert figure("zero_shot", "kinetics600", "", frames="32") == 75.1
    assert figure("few_shot", "ucf101", "16 shots, from kinetics400") == 96.2
    assert figure("few_shot", "ssv2", "2 shots, from CLIP") == 7.0
    assert figure("supervised", "activitynet", "", frames="16") == 88.7
    assert figure("base_to_novel", "hmdb51", "harmonic mean", "FROSTER") == 65.1
    # Table 2 has ViFi-CLIP itself tuned on Kinetics-400; its authors' README has their prompted model
    assert figure("few_shot", "hmdb51", "2 shots, from kinetics400", "ViFi-CLIP") == 55.8
    prompted = "ViFi-CLIP with vision-language prompts"
    assert figure("few_shot", "hmdb51", "2 shots, from kinetics400", prompted) == 63.0
    assert figure("few_shot", "ssv2", "16 shots, from kinetics400", "MAXI") == 12.4
    assert figure("few_shot", "ucf101", "4 shots, from CLIP", "A5") == 79.9
    assert {figure("few_shot", "ssv2", f"{shots} shots, from CLIP", "vanilla CLIP") for shots in (2, 4, 8, 16)} == {2.7}
    deviations = {
        (row.method, row.benchmark): round(100 * (row.std or 0), 1)
        for row in published_rows()
        if row.protocol == "zero_shot" and row.measured_by == "OST Table 1" and row.frames != "32"
    }
    assert deviations == {("OST", "hmdb51"): 1.1, ("OST", "ucf101"): 1.3, ("OST", "kinetics600"): 0.8}
    assert all(0 < row.top1 < 1 and row.measured_by for row in published_rows())


def test_own_runs_stand_beside_the_papers_and_the_best_known() -> None:
    rows = table([run("zero_shot", trained("kinetics400"), **three_splits(tops=(0.55, 0.56, 0.57)))])
    assert [(row.method, row.measured_by) for row in rows if row.measured_by.startswith(OURS)] == [
        ("ContrastiveRecognition, CategoryName", f"{OURS}, x/version_0")
    ]
    assert (rows[0].top1, rows[0].over, rows[0].scored) == (pytest.approx(0.56), "3 splits", "4,590 / 4,590")
    assert [row.method for row in rows[1:]][-1] == "SFAR"  # the best on HMDB51
    assert {"OST", "vanilla CLIP"} <= {row.method for row in rows[1:]}
    assert all(row.benchmark == "hmdb51" for row in rows)


def test_few_shot_rows_are_held_against_the_same_shots_and_start() -> None:
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
    """The run with weights of its own, trained with these settings."""
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
    told = [row.method.partition(" (")[2] for row in rows]
    assert told[0].startswith("trained=False")
    assert "trained=True" in told[1]
    assert "learning_rate=1e-06" in told[1]
    assert "learning_rate=0.001" in told[2]
    assert run_rows([fast])[0].method == "ContrastiveRecognition, CategoryName"


@pytest.mark.parametrize("setting", ["matcher", "clips", "videos"])
def test_runs_of_other_conditions_stay_apart(setting: str) -> None:
    one = run("zero_shot", None, **three_splits())
    other = {
        "matcher": replace(one, model={**one.model, "matcher": {"class": "CategoryName", "epsilon": 0.3}}),
        "clips": replace(one, clips={**CLIPS, "resize": "bilinear"}),
        "videos": run("zero_shot", None, **three_splits() | {"hmdb51_1": outcome("hmdb51-split1", digest="e")}),
    }[setting]
    rows = run_rows([one, other])
    assert [row.over for row in rows] == ["3 splits", "3 splits"]
    assert rows[0].method != rows[1].method


def test_the_same_weights_count_once() -> None:
    once = tuned(run("zero_shot", None, **three_splits()), 1)
    (row,) = run_rows([once, replace(once, run="x/ablation")])
    assert (row.over, row.measured_by) == ("3 splits", f"{OURS}, x/ablation")


def test_a_learned_epsilon_differs_from_seed_to_seed() -> None:
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


def test_several_views_are_told() -> None:
    told = remarks("zero_shot", three_splits(), None, {"frames": 32, "views": 4, "crops": 3})
    assert any("4 x 3 views of each video are averaged, the paper scores one" in remark for remark in told)


def test_weights_without_a_record_give_their_name() -> None:
    training = trained("hmdb51", (8, 8)) | {"before": {"weights": "ost_k400"}}
    (row,) = run_rows([run("few_shot", training, h=outcome("hmdb51-split1", 0.7))])
    assert row.setting == "8 shots, from ost_k400"
