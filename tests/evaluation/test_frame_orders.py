from collections import Counter
from pathlib import Path

import pytest
import torch

from ost_lightning.evaluation import (
    EmbeddedBatch,
    Evaluation,
    EvaluationSet,
    ReversedFrames,
    Scorer,
    ShuffledFrames,
    WeightSets,
    embed,
    probabilities,
)
from ost_lightning.evaluation.frame_orders import FrameOrder, reordered
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver, TransportProblem
from ost_lightning.models import MeanPooling, TemporalTransformer, VideoCLIP
from ost_lightning.text import LabelSpace, SentenceSet
from ost_lightning.video import ClipBatch
from tests.evaluation.test_evaluation import LABELS, OTHER, OWN, Counting, batch, sentences, video_clip  # noqa: F401
from tests.models.encoders.test_x_clip import folder as xclip_folder  # noqa: F401

ORDERS = (ReversedFrames(), ShuffledFrames(0, 0), ShuffledFrames(0, 1))
AWARE = OptimalDescriptorSolver(temporal=TransportProblem(order_sigma=0.1))


def test_shuffles_are_permutations_that_depend_on_seed_draw_and_video_only() -> None:
    ids = [f"{k}.mp4" for k in range(20)]
    found = ShuffledFrames(0, 1).indices(ids, 8)
    assert torch.equal(found.sort(1).values, torch.arange(8).expand(20, -1))
    assert len({tuple(row) for row in found.tolist()}) > 15
    # in any batch, and forever: the first one was computed once and written down
    assert torch.equal(found[[3]], ShuffledFrames(0, 1).indices(["3.mp4"], 8))
    assert found[0].tolist() == [5, 1, 0, 2, 4, 7, 6, 3]
    for other in (ShuffledFrames(0, 2), ShuffledFrames(1, 1)):
        assert not torch.equal(found, other.indices(ids, 8))
    assert ShuffledFrames(0, 0).indices([], 8).shape == (0, 8)
    assert ShuffledFrames(0, 0).indices(["caf\udce9.mp4"], 4).shape == (1, 4)  # a name that isn't UTF-8


def test_every_order_is_equally_likely() -> None:
    counts = Counter(tuple(row) for row in ShuffledFrames(0, 0).indices([str(k) for k in range(6000)], 3).tolist())
    assert len(counts) == 6
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.values())


def test_frames_are_reordered_in_all_views_alike() -> None:
    frames = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    indices = torch.tensor([[3, 2, 1, 0], [1, 0, 3, 2]])
    found = reordered(frames, indices)
    for video in range(2):
        assert torch.equal(found[video], frames[video][:, indices[video]])
    assert torch.equal(reordered(frames, ReversedFrames().indices(["a", "b"], 4)), frames.flip(2))


def evaluation(clip: VideoCLIP, weights: WeightSets | None = None, names: tuple[str, ...] = (OWN,)) -> Evaluation:
    texts = {"own": sentences(AWARE)}
    scorers = {(name, order): Scorer(name, texts, AWARE, False, order) for name in names for order in (None, *ORDERS)}
    return Evaluation(
        clip, [EvaluationSet("own", LABELS, 3)], scorers, weights or WeightSets(clip), torch.device("cpu")
    )


def expected(clip: VideoCLIP, order: FrameOrder | None, decoded: tuple[bool, ...]) -> torch.Tensor:
    clips = batch(decoded)
    frames = clips.frames if order is None else reordered(clips.frames, order.indices(clips.ids, 4))
    texts = clip.encode_sentences(clip.tokenize(sentences(AWARE)))
    return probabilities(clip, AWARE, texts, embed(clip, frames[clips.decoded]))


@pytest.mark.parametrize("decoded", [(False, True, True), (False, False)])
def test_each_order_equals_a_test_of_reordered_videos_without_encoding_them(
    video_clip: Counting,  # noqa: F811
    decoded: tuple[bool, ...],
) -> None:
    weights = WeightSets(video_clip)
    weights.add_mixtures([0.5])
    scored = evaluation(video_clip, weights, (OWN, OTHER)).score(batch(decoded), 0)
    assert video_clip.clips == 2 * 2 * sum(decoded)  # sets of weights and views
    for name in (OWN, OTHER):
        for order in (None, *ORDERS):
            with weights.with_weights(name):
                wanted = expected(video_clip, order, decoded) if any(decoded) else torch.zeros(0, len(LABELS))
            torch.testing.assert_close(scored.probabilities[name, order], wanted)
    if any(decoded):
        assert not torch.allclose(scored.probabilities[OWN, None], scored.probabilities[OWN, ORDERS[0]], atol=1e-4)
    # embeddings from the cache give the same
    again = evaluation(video_clip, weights, (OWN, OTHER)).score(scored.videos, 0)
    for key, found in again.probabilities.items():
        torch.testing.assert_close(found, scored.probabilities[key])


def test_x_clip_encodes_each_order(xclip_folder: Path) -> None:  # noqa: F811
    clip = VideoCLIP(str(xclip_folder)).eval()
    assert clip.relates_frames
    texts = {"own": SentenceSet({"name": (("t1",), ("t2 t3",))})}
    scorers = {order: Scorer(OWN, texts, CategoryName(), False, order) for order in (None, *ORDERS)}
    labels = EvaluationSet("own", LabelSpace(("t1", "t2 t3")), 2)
    running = Evaluation(clip, [labels], scorers, WeightSets(clip), torch.device("cpu"))
    frames = torch.randint(0, 256, (2, 1, 4, 3, 32, 32), dtype=torch.uint8)
    clips = ClipBatch(frames, torch.arange(2), torch.ones(2, dtype=torch.bool), ("a", "b"))
    scored = running.score(clips, 0)
    embedded = embed(clip, reordered(frames, ORDERS[1].indices(("a", "b"), 4)))
    with torch.no_grad():
        wanted = probabilities(clip, CategoryName(), clip.encode_sentences(clip.tokenize(texts["own"])), embedded)
    torch.testing.assert_close(scored.probabilities[ORDERS[1]].detach(), wanted)
    assert not torch.equal(scored.probabilities[ORDERS[1]], scored.probabilities[None])


@pytest.mark.parametrize("head", [TemporalTransformer, MeanPooling])
def test_frames_that_are_related_are_encoded_in_each_order(head: type) -> None:
    torch.manual_seed(0)
    clip = VideoCLIP("tiny", temporal_head=head).eval().requires_grad_(False)
    if head is TemporalTransformer:
        torch.nn.init.normal_(clip.temporal_head.positions.weight)
    assert clip.relates_frames
    texts = {"own": sentences(CategoryName())}
    scorers = {order: Scorer(OWN, texts, CategoryName(), False, order) for order in (None, *ORDERS)}
    running = Evaluation(clip, [EvaluationSet("own", LABELS, 3)], scorers, WeightSets(clip), torch.device("cpu"))
    clips = batch((True, False, True))
    scored = running.score(clips, 0)
    for order in ORDERS:
        frames = reordered(clips.frames, order.indices(clips.ids, 4))[clips.decoded]
        wanted = probabilities(
            clip, CategoryName(), clip.encode_sentences(clip.tokenize(texts["own"])), embed(clip, frames)
        )
        torch.testing.assert_close(scored.probabilities[order], wanted)
        same = torch.allclose(scored.probabilities[order], scored.probabilities[None], atol=1e-5)
        assert same == (head is MeanPooling)
    cached = EmbeddedBatch(scored.videos.embeddings, clips.labels, clips.decoded, clips.ids, clips.failures)
    with pytest.raises(ValueError, match="needs the pixels"):
        running.score(cached, 0)
