"""Questions to a library: numbers of the recognizer, and results that say what they depend on."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.library import IndexedSource, Library, NewSegment
from ost_lightning.library.asking import Query, Searcher, SearchSettings
from ost_lightning.library.asking.query_scorer import query_scorer
from ost_lightning.library.asking.suggestion import plan_entropy, suggest
from ost_lightning.matching import OptimalDescriptorSolver, TermWeights
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.video.annotations import ClassIndex, read_table


def stem(video: str) -> str:
    return Path(video).stem


def test_probabilities_are_those_of_the_recognizer(
    library: Library, videos: Path, space: LabelSpace, recognizer: Recognizer
) -> None:
    found = library.find(space.names[1].upper(), space)
    assert found.ranked_by == "probability"
    assert found.searched == found.scored == len(found) == 6
    scores = [one.score for one in found.segments]
    assert scores == sorted(scores, reverse=True)
    for one in found.segments:
        expected = dict(recognizer(one.segment.video).top(len(space)))
        assert one.score == pytest.approx(expected[space.names[1]], abs=1e-5)
    assert {stem(one.segment.video).partition("_")[0] for one in found.segments[:2]} == {space.names[1]}


def test_similarities_are_those_of_the_matcher(library: Library, space: LabelSpace) -> None:
    searcher = library.searcher()
    found = searcher.find(space.names[0], space, ranked_by="similarity")
    assert found.ranked_by == "similarity"
    model = searcher.model
    sentences = model.templates.apply(space, model.matcher.kinds, model.descriptors_per_class)
    with torch.inference_mode():
        texts = model.video_clip.encode_sentences(model.video_clip.tokenize(sentences))
        for one in found.segments:
            (stored,) = searcher.table.segments([one.segment.row], embeddings=True)
            expected = model.matcher(stored.embeddings[None], *(texts[kind] for kind in model.matcher.kinds))[0, 0]
            assert one.score == pytest.approx(float(expected), abs=1e-6)
            assert one.second in stored.frame_times


def test_a_coarse_stage_scores_only_candidates(library: Library, space: LabelSpace) -> None:
    searcher = library.searcher()
    exact = searcher.find(space.names[0], space, SearchSettings(n=2), ranked_by="similarity")
    coarse = searcher.find(
        space.names[0], space, SearchSettings(n=2, coarse=True, candidates=4), ranked_by="similarity"
    )
    assert coarse.scored == 4
    assert "after a coarse stage" in coarse.summary()
    assert [one.segment.video for one in coarse.segments] == [one.segment.video for one in exact.segments]
    by_probability = searcher.find(space.names[0], space, SearchSettings(n=1, coarse=True, candidates=3))
    best = searcher.find(space.names[0], space, SearchSettings(n=1)).segments[0]
    assert by_probability.segments[0].segment.row == best.segment.row


def test_each_video_is_found_once_if_wanted(library: Library, tmp_path: Path) -> None:
    copy = Library.open(shutil.copytree(library.folder, tmp_path / "lib"))
    table = copy.table()
    first = table.segments([0], embeddings=True)[0]
    assert first.embeddings is not None
    source = IndexedSource("f" * 16, "/long.mp4", "long", "x")
    parts = [NewSegment(source, k, 2.0 * k, 2.0 * k + 4, 9.0, first.frame_times, first.embeddings) for k in range(5)]
    table.append(parts)
    searcher = copy.searcher()
    everything = searcher.similar(first.video, SearchSettings(n=4))
    once = searcher.similar(first.video, SearchSettings(n=4, per_video=True))
    assert len({one.segment.video for one in everything.segments}) < 4
    assert len({one.segment.video for one in once.segments}) == 4
    moved = [one for one in copy.find("anything", n=20).segments if one.moved]
    assert {one.segment.video for one in moved} == {"/long.mp4"}
    assert "(the file is no longer there)" in str(moved[0])


def test_queries_by_hand_use_the_kinds_that_they_have(library: Library) -> None:
    searcher = library.searcher()
    spatio = searcher.find(Query(spatio=("a red hat", "a beach")))
    assert spatio.conditions["matcher"] == "OptimalDescriptorSolver"
    ordered = searcher.find(Query.by_hand("waving", temporal="arms up, then arms down"))
    backwards = searcher.find(Query.by_hand("waving", temporal="arms down, then arms up"))
    assert ordered.conditions["matcher"] == "OrderContrast"
    assert ordered.conditions["digest"] != backwards.conditions["digest"]
    widths = [searcher.find(Query("a", temporal=("b", "c"), order_sigma=sigma)).conditions for sigma in (0.1, 0.2)]
    assert widths[0]["digest"] != widths[1]["digest"]
    plain = [{one.segment.row: one.score for one in each.segments} for each in (ordered, backwards)]
    sums = [sum(each[row] for each in plain) for row in plain[0]]
    alone = searcher.find(Query("waving", temporal=("arms up", "arms down")))
    expected = {one.segment.row: one.score for one in alone.segments}
    assert sums == pytest.approx([2 * expected[row] for row in plain[0]], abs=0.02)  # order cancels


def test_a_term_for_the_name_needs_a_name(library: Library) -> None:
    model = library.searcher().model
    named = replace(model, matcher=OptimalDescriptorSolver(terms=TermWeights(name=2.0)))
    with_name, _ = query_scorer(named, Query("waving", ("a red hat",)))
    assert with_name.matcher.kinds == ("name", "spatio")
    without, _ = query_scorer(named, Query(spatio=("a red hat",)))
    assert without.matcher.kinds == ("spatio",)
    labels = LabelSpace(("waving", "diving"), dict.fromkeys(("waving", "diving"), Descriptors(("a",) * 4, ("b",) * 4)))
    assert len(suggest(library.searcher().table, named, labels, 2)) == 2


@pytest.mark.parametrize("text", ["切菜", "يقفز", "🤸", "x" * 10_000, "a" * 200 + "\n"])
@pytest.mark.filterwarnings("ignore:.*longer than|.*truncated|.*tokens")
def test_queries_in_any_script_get_an_answer(library: Library, text: str) -> None:
    found = library.find(text, n=3)
    assert len(found) == 3
    assert all(len(line) < 400 for line in str(found).splitlines())


def test_a_video_finds_itself_first(library: Library, videos: Path) -> None:
    video = sorted(videos.glob("*_1.mp4"))[0]
    found = library.searcher().similar(video)
    assert found.segments[0].segment.video == str(video)
    assert found.segments[0].score == pytest.approx(1, abs=0.02)
    with pytest.raises(UserError, match=r"broken\.mp4"):
        library.searcher().similar(videos / "broken.mp4")


def test_predictions_are_those_of_the_recognizer(
    library: Library, videos: Path, space: LabelSpace, recognizer: Recognizer, tmp_path: Path
) -> None:
    file = library.classify(space).save(tmp_path / "predictions.csv")
    with file.open(newline="") as handle:
        rows = {stem(row["video"]): row for row in csv.DictReader(handle)}
    assert len(rows) == 7
    assert "not a readable video" in rows["broken"]["error"]
    for video in sorted(videos.glob("*_*.mp4")):
        row, expected = rows[video.stem], recognizer(video)
        assert (row["start"], row["end"], row["error"]) == ("", "", "")
        for rank, (name, share) in enumerate(expected.top(3), start=1):
            assert row[f"class_{rank}"] == name
            assert float(row[f"probability_{rank}"]) == pytest.approx(share, abs=1e-4)


def test_what_contradicts_is_refused(library: Library, space: LabelSpace) -> None:
    searcher = library.searcher()
    refused: list[tuple[Any, dict[str, Any], str]] = [
        ("", {}, "query is empty"),
        ("nothing", {"labels": space}, "has no class 'nothing'"),
        (Query(spatio=("a",)), {"labels": space}, "one or the other"),
        ("a", {"ranked_by": "probability"}, "classes of a label space"),
        ("a", {"order_sigma": 0.3}, "takes no Temporal Descriptors"),
    ]
    for query, settings, message in refused:
        with pytest.raises(UserError, match=message):
            searcher.find(query, **settings)
    for number in ({"n": 0}, {"candidates": 0}):
        with pytest.raises(UserError, match="expected at least 1"):
            SearchSettings(**number)


def test_other_weights_and_empty_libraries_are_refused(library: Library, tmp_path: Path) -> None:
    model = library.searcher().model
    with pytest.raises(UserError, match=r"other weights or clip settings.*--weights"):
        Searcher(library.table(), replace(model, clips=replace(model.clips, frames=4)))
    empty = Library.open(tmp_path / "empty", create=True)
    with pytest.raises(UserError, match="is empty: index videos first"):
        empty.find("archery")
    with pytest.raises(UserError, match="is empty: index videos first"):
        empty.searcher(weights="no such weights")
    empty.create_table(library.table().settings)
    with pytest.raises(UserError, match="has no segments"):
        empty.find("archery")


def test_suggestions_become_a_list_that_is_read_after_labeling(
    library: Library, space: LabelSpace, tmp_path: Path
) -> None:
    found = library.searcher().suggest(space, 4)
    assert len({one.segment.video for one in found.suggestions}) == 4
    for one in found.suggestions:
        assert one.label in space.names
        assert 0 <= one.disagreement <= 1
        assert 0 <= one.plan_entropy <= 1
    text = found.save(tmp_path / "list.csv").read_text()
    lines = text.splitlines()
    assert lines[0] == "path,label,start,end,id"
    filled = [lines[0], *(line.replace(".mp4,,", f".mp4,{space.names[0]},", 1) for line in lines[1:])]
    (tmp_path / "labeled.csv").write_text("\n".join(filled) + "\n")
    records = read_table(tmp_path / "labeled.csv", ClassIndex(space.names))
    assert [str(record.path) for record in records] == [one.segment.video for one in found.suggestions]
    with pytest.raises(UserError, match=r"choose .csv"):
        found.save(tmp_path / "list.txt")
    names_only = LabelSpace(space.names)
    with pytest.raises(UserError, match="classes with descriptors"):
        library.searcher().suggest(names_only)


def test_plan_entropy_is_0_for_assignments_and_1_for_indifference() -> None:
    concentrated = torch.eye(4).repeat_interleave(2, 0) / 8
    found = plan_entropy(torch.stack([concentrated, torch.full((8, 4), 1 / 32)]))
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0]))
    assert float(plan_entropy(torch.full((8, 1), 1 / 8))) == 0
