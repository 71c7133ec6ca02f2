import pytest

from ost_lightning.analysis.results.summaries import not_combined, split_titles, summarize
from tests.analysis.example_runs import outcome, three_splits


def test_mean_and_spread_over_splits() -> None:
    (summary,) = summarize(three_splits())
    assert (summary.what, summary.top1) == ("hmdb51, mean of 3 splits", pytest.approx(0.6))
    assert summary.top1_std == pytest.approx(0.1)
    assert summarize({"one": outcome("hmdb51-split1")}) == []


def test_harmonic_mean() -> None:
    (summary,) = summarize({"a": outcome("ucf101-base", 0.9), "b": outcome("ucf101-novel", 0.6)})
    assert summary.top1 == pytest.approx(2 * 0.9 * 0.6 / 1.5)
    assert (summary.what, summary.top1_std) == ("ucf101, harmonic mean of base and novel", None)


RAW = {"name_form": "as published", "sentences": {"name": "raw"}}


@pytest.mark.parametrize(
    ("changes", "title", "difference"),
    [
        (RAW, "hmdb51 (words, n)", "form of the class names and sentences"),
        ({"name_form": "as published"}, "hmdb51 (words)", "form of the class names"),
        ({"sentences": {"name": "rotated"}}, "hmdb51 (n)", "sentences"),
        ({"label_space": "mine"}, "hmdb51 (hmdb51)", "label space"),
        ({"part": "split 1, labels as released"}, "hmdb51", "list"),
    ],
)
def test_a_mean_over_splits_never_mixes(changes: dict[str, object], title: str, difference: str) -> None:
    sets = three_splits(tops=(0.5, 0.52, 0.54)) | {"other": outcome("hmdb51-split1", 0.3, **changes)}
    for order in (sets, dict(reversed(sets.items()))):
        (summary,) = summarize(order)
        assert (summary.top1, summary.top1_std) == (pytest.approx(0.52), pytest.approx(0.02))
        assert (summary.what, set(summary.sets)) == (f"{title}, mean of 3 splits", set(three_splits()))
        (told,) = not_combined(order)
        assert told.startswith(f"hmdb51: no mean over sets that differ in {difference}, which are: ")
        assert all(name in told for name in sets)
    # split 1 of one kind and splits 2 and 3 of another are no mean of three
    del sets["hmdb51_1"]
    assert [summary.what for summary in summarize(sets)] == [f"{title}, mean of 2 splits"]
    assert summarize({"other": sets["other"], "hmdb51_2": sets["hmdb51_2"]}) == []


@pytest.mark.parametrize("changes", [RAW, {"vocabulary": "other"}, {"label_space": "mine"}])
def test_a_harmonic_mean_never_mixes(changes: dict[str, object]) -> None:
    base, novel = outcome("ucf101-base", 0.9), outcome("ucf101-novel", 0.6)
    changed = outcome("ucf101-novel", 0.2, **changes)
    assert summarize({"b": base, "n": changed}) == []
    assert "ucf101: no mean over sets that differ in " in not_combined({"b": base, "n": changed})[0]
    (summary,) = summarize({"b": base, "n": novel, "other": changed})
    assert (summary.top1, summary.sets) == (pytest.approx(0.72), ("b", "n"))
    both = {"b": base, "n": novel, "ob": outcome("ucf101-base", 0.4, **changes), "on": changed}
    means = [summary.top1 for summary in summarize(both)]
    assert means == [pytest.approx(0.72), pytest.approx(2 * 0.4 * 0.2 / 0.6)]
    assert len({summary.what for summary in summarize(both)}) == 2


def test_the_splits_of_kinetics600_have_other_classes_but_one_vocabulary() -> None:
    sets = {f"k{k}": outcome(f"k600-split{k}", 0.5, sentences={"spatio": f"{k}"}) for k in (1, 2, 3)}
    assert [summary.what for summary in summarize(sets)] == ["kinetics600, mean of 3 splits"]
    assert not_combined(sets) == []
    sets["k3"] = outcome("k600-split3", 0.9, sentences={"spatio": "3"}, vocabulary="other")
    assert [summary.sets for summary in summarize(sets)] == [("k1", "k2")]
    assert len(not_combined(sets)) == 1


def test_one_part_given_twice_is_not_two_parts() -> None:
    sets = three_splits() | {"again": outcome("hmdb51-split1", 0.5)}
    (summary,) = summarize(sets)  # the very same videos and sentences: one of them counts
    assert (summary.top1, summary.sets) == (pytest.approx(0.6), ("hmdb51_1", "hmdb51_2", "hmdb51_3"))
    sets["again"] = outcome("hmdb51-split1", 0.9, digest="another copy")
    assert summarize(sets) == []
    assert not_combined(sets) == ["hmdb51: no mean, because hmdb51_1 and again are both its split 1; test one of them."]
    # an earlier version did not record the sentences, so that they may differ
    earlier = {name: outcome(f"hmdb51-split{k}", 0.5, sentences=None) for name, k in (("a", 1), ("b", 2), ("c", 1))}
    assert summarize(earlier) == []
    assert "a and c are both its split 1" in not_combined(earlier)[0]
    del earlier["c"]
    assert [summary.what for summary in summarize(earlier)] == ["hmdb51, mean of 2 splits"]


def test_sets_that_could_not_be_averaged_anyway_are_not_remarked() -> None:
    assert not_combined({"a": outcome("hmdb51-split1"), "b": outcome("hmdb51-split1", **RAW)}) == []
    assert not_combined({"a": outcome("ssv2-validation"), "b": outcome("ssv2-validation", **RAW)}) == []


def test_the_columns_of_an_ablation_do_not_mix_sets() -> None:
    sets = three_splits() | {"raw": outcome("hmdb51-split1", **RAW), "k": outcome("ssv2-validation")}
    titles = split_titles({name: result.card for name, result in sets.items()})
    assert titles == {**{f"hmdb51_{k}": "hmdb51 (words, n)" for k in (1, 2, 3)}, "raw": "hmdb51 (as published, raw)"}
    twice = {"a": outcome("hmdb51-split1"), "b": outcome("hmdb51-split1", digest="e"), "c": outcome("hmdb51-split2")}
    assert split_titles({name: result.card for name, result in twice.items()}) == {}
