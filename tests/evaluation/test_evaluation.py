from pathlib import Path

import pytest
import torch
from torch import Tensor

from ost_lightning.evaluation import (
    EmbeddedBatch,
    EmbeddingCache,
    EmbeddingStore,
    Evaluation,
    EvaluationSet,
    KeyedClipBatch,
    ScoredBatch,
    Scorer,
    WeightSets,
    embed,
    predictions,
    probabilities,
)
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.text import LabelSpace, SentenceSet, Templates
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.video import UNLABELED, ClipBatch, ReadFailure

LABELS = label_space(0, "unseen")
OWN, OTHER = "as trained", "ensembled_0.5"


class Counting(VideoCLIP):
    """Counts encoded clips and sentences; its weights clearly differ from the original ones."""

    clips = sentences = 0

    def __init__(self) -> None:
        super().__init__("tiny")
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter += 0.08 * torch.randn(parameter.shape, generator=generator) * parameter.abs().mean()

    def encode_frames(self, frames: Tensor) -> Tensor:
        self.clips += len(frames)
        return super().encode_frames(frames)

    def encode_sentences(self, sentences: object) -> dict[str, Tensor]:
        self.sentences += 1
        return super().encode_sentences(sentences)


@pytest.fixture
def video_clip() -> Counting:
    return Counting().eval().requires_grad_(False)


def sentences(matcher: Matcher, labels: LabelSpace = LABELS) -> SentenceSet:
    return Templates.load("ost").apply(labels, matcher.kinds, 4)


def evaluation(video_clip: VideoCLIP, *scorers: Scorer, **options: object) -> Evaluation:
    named = dict(enumerate(scorers)) if scorers else {OWN: scorer()}
    weights = options.pop("weights", None) or WeightSets(video_clip)
    return Evaluation(video_clip, [EvaluationSet("own", LABELS, 3)], named, weights, torch.device("cpu"), **options)


def scorer(weights: str = OWN, matcher: Matcher | None = None) -> Scorer:
    matcher = matcher or OptimalDescriptorSolver()
    return Scorer(weights, {"own": sentences(matcher)}, matcher)


def batch(decoded: tuple[bool, ...] = (True, True, True), keys: tuple[str, ...] = ()) -> ClipBatch:
    """A batch of videos with two views; unreadable ones are black."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (len(decoded), 2, 4, 3, 48, 48), dtype=torch.uint8, generator=generator)
    frames[~torch.tensor(decoded)] = 0
    ids = tuple(f"{k}.mp4" for k in range(len(decoded)))
    failures = tuple(
        ReadFailure(id_, f"{id_}: broken") for id_, readable in zip(ids, decoded, strict=True) if not readable
    )
    metadata = {"failures": failures, "spans": ((None, None),) * len(ids)}
    clips = ClipBatch(frames, torch.arange(len(ids)), torch.tensor(decoded), ids, **metadata)
    if not keys:
        return clips
    return KeyedClipBatch(frames, clips.labels, clips.decoded, ids, keys=keys, **metadata)


def test_scorers_share_embeddings_and_texts(video_clip: Counting) -> None:
    solver, names = OptimalDescriptorSolver(), CategoryName()
    running = evaluation(video_clip, scorer(matcher=solver), scorer(matcher=names), scorer(matcher=solver))
    scored = [running.score(batch(), 0) for _ in range(2)]
    assert video_clip.clips == 2 * 3 * 2  # three videos in two views, in each of two batches
    assert video_clip.sentences == 2  # one per matcher
    embedded = embed(video_clip, batch().frames)
    assert torch.equal(scored[0].videos.embeddings[OWN], embedded)
    for index, matcher in enumerate((solver, names, solver)):
        texts = video_clip.encode_sentences(video_clip.tokenize(sentences(matcher)))
        for one in scored:
            assert torch.equal(one.probabilities[index], probabilities(video_clip, matcher, texts, embedded))


def test_equal_sentences_of_different_label_spaces_are_not_shared(video_clip: Counting) -> None:
    """Learned prompts may belong to one of them."""
    names = CategoryName()
    own = sentences(names)
    others = (SentenceSet(own.sentences, LabelSpace(LABELS.names[::-1])), SentenceSet(own.sentences))
    scorers = [Scorer(OWN, {"own": found}, names) for found in (own, own, *others)]
    evaluation(video_clip, *scorers).score(batch(), 0)
    assert video_clip.sentences == 3


def test_unreadable_videos_are_not_encoded_and_count_as_wrong(video_clip: Counting) -> None:
    running = evaluation(video_clip)
    partial, none = running.score(batch((True, False, True)), 0), running.score(batch((False, False)), 0)
    assert video_clip.clips == 2 * 2
    complete = running.score(batch(), 0)
    torch.testing.assert_close(partial.probabilities[OWN], complete.probabilities[OWN][[0, 2]])
    assert partial.videos.readable_labels.tolist() == [0, 2]
    assert none.probabilities[OWN].shape == (0, len(LABELS))
    for scored in (partial, none):
        running.count(scored)
    right = int((partial.probabilities[OWN].argmax(1) == torch.tensor([0, 2])).sum())
    found = {key: float(value) for key, value in running.results()["own", OWN].items()}
    assert (found["videos"], found["undecodable"]) == (5, 3)
    assert found["top1"] == pytest.approx(right / 5)


def test_each_set_of_weights_encodes_frames_and_sentences(video_clip: Counting) -> None:
    weights = WeightSets(video_clip)
    weights.add_mixtures([0.5])
    own, mixed = scorer(OWN), scorer(OTHER)
    scored = evaluation(video_clip, own, mixed, weights=weights).score(batch(), 0)
    assert (video_clip.clips, video_clip.sentences) == (2 * 3 * 2, 2)
    assert not torch.allclose(scored.videos.embeddings[OWN], scored.videos.embeddings[OTHER], atol=1e-3)
    with weights.with_weights(OTHER):
        texts = video_clip.encode_sentences(video_clip.tokenize(own.sentences["own"]))
        expected = probabilities(video_clip, own.matcher, texts, embed(video_clip, batch().frames))
    assert torch.equal(scored.probabilities[1], expected)


def test_mixtures_of_equal_weights_are_encoded_once() -> None:
    class Original(Counting):
        def __init__(self) -> None:
            VideoCLIP.__init__(self, "tiny")

    video_clip = Original().eval().requires_grad_(False)
    weights = WeightSets(video_clip)
    weights.add_mixtures([0.5])
    assert weights.untuned
    scored = evaluation(video_clip, scorer(OWN), scorer(OTHER), weights=weights).score(batch(), 0)
    assert video_clip.clips == 3 * 2
    assert torch.equal(scored.probabilities[0], scored.probabilities[1])


def test_computed_embeddings_are_stored(video_clip: Counting, tmp_path: Path) -> None:
    store = EmbeddingStore(EmbeddingCache(tmp_path / "cache", 10**9))
    store.open({OWN: "a" * 32})
    running = evaluation(video_clip, store=store)
    scored = running.score(batch((True, False, True), keys=("1" * 32, "2" * 32, "")), 0)
    assert torch.equal(store.load("1" * 32)[OWN], scored.videos.embeddings[OWN][0])
    assert store.load("2" * 32) is None  # could not be read
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1  # the third has no key
    again = running.score(scored.videos, 0)
    assert torch.equal(again.probabilities[OWN], scored.probabilities[OWN])
    assert video_clip.clips == 2 * 2


def test_a_set_that_a_scorer_omits(video_clip: Counting) -> None:
    nothing = Scorer(OWN, {}, CategoryName())
    running = evaluation(video_clip, scorer(), nothing)
    scored = running.score(batch(), 0)
    running.count(scored)
    assert list(scored.probabilities) == [0]
    assert list(running.results()) == [("own", 0)]


def test_every_set_has_zero_counts_before_its_first_video(video_clip: Counting) -> None:
    assert {key: int(value) for key, value in evaluation(video_clip).results()["own", OWN].items()} == {
        "top1": 0,
        "top5": 0,
        "videos": 0,
        "undecodable": 0,
    }


def test_predictions_keep_the_order_of_the_videos() -> None:
    ids = ("a", "same", "same", "b")
    labels, decoded = torch.tensor([UNLABELED, 1, 2, 0]), torch.tensor([True, False, True, False])
    failures = (ReadFailure("same", "same: broken"), ReadFailure("b", "b: gone"))
    spans = ((None, None), (None, 2.0), (1.0, None), (None, None))
    videos = EmbeddedBatch({OWN: torch.zeros(2, 1, 1, 8)}, labels, decoded, ids, failures, spans)
    classes = LabelSpace(("x", "y", "z"))
    shares = {OWN: torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])}
    found = predictions(ScoredBatch(EvaluationSet("own", classes, 4), videos, shares))
    assert [(video.id, video.start, video.end, video.label) for video in found] == [
        ("a", None, None, ""),
        ("same", None, 2.0, "y"),
        ("same", 1.0, None, "z"),
        ("b", None, None, "x"),
    ]
    assert [video.classes for video in found] == [("y", "z", "x"), (), ("x", "z", "y"), ()]
    assert [video.error for video in found] == ["", "same: broken", "", "b: gone"]
    assert found[0].probabilities == pytest.approx((0.5, 0.3, 0.2))


def test_batches_print_shapes_and_check_them() -> None:
    videos = EmbeddedBatch({OWN: torch.zeros(2, 1, 4, 8)}, torch.arange(2), torch.ones(2, dtype=torch.bool), ("a", "b"))
    assert repr(videos) == "EmbeddedBatch(2 videos, embeddings {'as trained': (2, 1, 4, 8)}, 0 failures)"
    assert repr(batch((True, False))) == ("ClipBatch(2 clips, frames (2, 2, 4, 3, 48, 48) torch.uint8, 1 unreadable)")
    for wrong in (torch.zeros(3, 1, 4, 8), torch.zeros(2, 4, 8)):
        with pytest.raises(ValueError, match="not a batch of embedded videos"):
            EmbeddedBatch({OWN: wrong}, videos.labels, videos.decoded, videos.ids)
