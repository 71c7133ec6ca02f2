import pytest

from ost_lightning.analysis.results.protocols import PROTOCOLS, Protocol, protocol_rules, remarks
from ost_lightning.analysis.results.run_results import SetResult
from tests.analysis.example_runs import outcome, run, three_splits, trained


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
    ("protocol", "training", "sets", "message"),
    [
        (
            "few_shot",
            trained("hmdb51"),
            {"h": outcome("hmdb51-split2")},
            "h is hmdb51, split 2; few-shot scores are those",
        ),
        (
            "few_shot",
            trained("ssv2"),
            {"s": outcome("ssv2-novel")},
            "s is ssv2, novel; expected test split 1 of HMDB51",
        ),
        (
            "few_shot",
            trained("ucf101"),
            {"k": outcome("k600-split1")},
            "k is kinetics600, split 1; expected test",
        ),
        (
            "base_to_novel",
            trained("ssv2-base"),
            {"s": outcome("ssv2-validation")},
            "s is ssv2, validation; expected",
        ),
        (
            "base_to_novel",
            trained("ssv2-base"),
            {"n": outcome("ssv2-novel")},
            "ssv2 was not tested on its base",
        ),
        ("base_to_novel", None, {"b": outcome("ssv2-base")}, "the training data of the checkpoint is unknown"),
        ("base_to_novel", trained("ssv2-novel"), {"b": outcome("ssv2-base")}, "on ssv2-novel, not on base classes"),
        ("supervised", None, {"s": outcome("ssv2-validation")}, "the training data of the checkpoint is unknown"),
        ("few_shot", trained("hmdb51", (2, 16)), {"h": outcome("hmdb51-split1")}, "2 to 16 videos per class"),
        ("few_shot", trained("hmdb51", (5, 5)), {"h": outcome("hmdb51-split1")}, "5 videos per class, not on 2 or 4"),
        ("few_shot", trained("ucf101"), {"h": outcome("hmdb51-split1")}, "trained on ucf101, but h is hmdb51"),
        ("few_shot", None, {"h": outcome("hmdb51-split1")}, "the training data of the checkpoint is unknown"),
        ("zero_shot", trained("ucf101"), three_splits(), "trained on ucf101, not on kinetics400"),
        ("zero_shot", None, {"h": outcome("hmdb51-split1")}, "hmdb51 was tested only on split 1"),
        (
            "few_shot",
            trained("hmdb51"),
            {"h": outcome("hmdb51-released-split1")},
            "h is hmdb51, split 1, labels as released; expected test split 1 of HMDB51",
        ),
        (
            "zero_shot",
            None,
            {"k": outcome("k600-split1-validation")},
            "k is kinetics600, split 1, validation part; expected a test split",
        ),
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
        (None, None, {"h": outcome("hmdb51-split1", found=1500)}, "h: 30 of 1,530 listed videos are missing"),
        (None, None, {"h": outcome("hmdb51-split1", undecodable=3)}, "h: 3 of 1,530 videos could not be read"),
        (None, None, {"h": outcome("hmdb51-split1", scored=16)}, "h: only 16 of 1,530 listed videos were scored"),
        (
            None,
            None,
            {"h": outcome("hmdb51-split2", in_training=233)},
            "h: 233 of 1,530 videos were in the",
        ),
        (None, None, {"k": outcome("k600-split1", listed=13000)}, "copies of k600-split1 have about 14,084"),
        (
            "zero_shot",
            None,
            {"own": outcome("hmdb51-split1", list=None, benchmark=None, part=None, label_space="mine")},
            "own (1,530 videos, label space mine) is not a known list",
        ),
    ],
)
def test_a_difference_from_the_protocol_is_reported(
    protocol: Protocol | None, training: dict[str, object] | None, sets: dict[str, SetResult], message: str
) -> None:
    assert any(message in remark for remark in run(protocol, training, **sets).remarks)


def test_the_rules_of_the_paper() -> None:
    rules = protocol_rules()
    assert tuple(rules) == PROTOCOLS == ("zero_shot", "few_shot", "base_to_novel", "supervised")
    assert {name: rule.shots for name, rule in rules.items() if rule.shots} == {
        "few_shot": (2, 4, 8, 16),
        "base_to_novel": (16,),
    }
    assert {name: rule.trained_on for name, rule in rules.items() if rule.trained_on} == {"zero_shot": "kinetics400"}
    for benchmark in ("hmdb51", "ucf101", "kinetics600"):
        assert rules["zero_shot"].parts_of(benchmark) == ["split 1", "split 2", "split 3"]
    assert [entry.name for entry in rules["few_shot"].lists] == ["hmdb51-split1", "ucf101-split1", "ssv2-validation"]
    for benchmark in ("kinetics400", "hmdb51", "ucf101", "ssv2"):
        assert rules["base_to_novel"].parts_of(benchmark) == ["base", "novel"]
    assert len(rules["base_to_novel"].lists) == 8
    assert {entry.benchmark for entry in rules["supervised"].lists if not entry.is_split} == {
        "kinetics400",
        "ssv2",
        "activitynet",
    }
    assert not any(entry.is_for_training for rule in rules.values() for entry in rule.lists)


def test_lengths_of_lists_whose_copies_differ() -> None:
    for listed, remarked in ((13861, False), (14139, False), (13859, True), (14141, True)):
        found = run(None, None, k=outcome("k600-split2", listed=listed)).remarks
        assert any("copies of k600-split2" in remark for remark in found) == remarked


@pytest.mark.parametrize(("views", "crops", "words"), [(4, 1, "4 x 1"), (1, 3, "1 x 3"), (1, 1, None)])
def test_every_table_of_the_paper_has_one_view(views: int, crops: int, words: str | None) -> None:
    sets = {"h": outcome("hmdb51-split1")}
    found = remarks("few_shot", sets, trained("hmdb51"), {"views": views, "crops": crops})
    sentence = f"Not the protocol few_shot: {words} views of each video are averaged, but the paper scores one."
    assert found == ([sentence] if words else [])
    assert remarks(None, sets, trained("hmdb51"), {"views": views, "crops": crops}) == []
