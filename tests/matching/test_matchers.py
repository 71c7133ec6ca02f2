import math

import pytest
import torch
from torch.nn.functional import normalize

from ost_lightning.errors import UserError
from ost_lightning.matching import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    PlanMatcher,
    PooledDescriptors,
    SoftmaxMatching,
    TermWeights,
    TransportProblem,
)
from tests.matching.inputs import IN_ORDER, TRANSPORTED, embeddings, inputs

MATCHERS = [
    CategoryName(),
    PooledDescriptors(),
    OptimalDescriptorSolver(),
    OptimalDescriptorSolver(terms=TRANSPORTED, gradient="implicit"),
    OptimalDescriptorSolver(terms=TermWeights(temporal_pooled=0, temporal_transported=0)),
    IN_ORDER,
    MaxSimilarity(),
    MaxSimilarity("descriptors_to_frames"),
    MaxSimilarity(kinds=("temporal",)),
    SoftmaxMatching(),
    SoftmaxMatching(direction="descriptors_to_frames"),
]


@pytest.mark.parametrize("matcher", MATCHERS, ids=repr)
def test_similarities_have_shape_and_range(matcher: Matcher) -> None:
    scores = matcher(*inputs(matcher))
    assert scores.shape == (5, 7)
    assert float(scores.abs().max()) <= 1


@pytest.mark.parametrize("matcher", [matcher for matcher in MATCHERS if matcher is not IN_ORDER], ids=repr)
def test_order_of_frames_classes_and_descriptors_does_not_matter(matcher: Matcher) -> None:
    frames, *texts = inputs(matcher)
    scores = matcher(frames, *texts)
    classes, order = torch.randperm(7), torch.randperm(6)
    shuffled = [text[:, torch.randperm(text.shape[1])] for text in texts]
    torch.testing.assert_close(matcher(frames[:, order], *shuffled), scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(matcher(frames, *(text[classes] for text in texts)), scores[:, classes])


@pytest.mark.parametrize("matcher", MATCHERS, ids=repr)
def test_videos_and_classes_are_scored_independently(matcher: Matcher) -> None:
    frames, *texts = inputs(matcher)
    scores = matcher(frames, *texts)
    for video, label in ((0, 6), (1, 0), (2, 3), (3, 5), (4, 2), (4, 0)):
        alone = matcher(frames[[video]], *(text[[label]] for text in texts))
        torch.testing.assert_close(alone[0, 0], scores[video, label], atol=1e-6, rtol=0)


def test_category_name_is_the_cosine_of_the_mean_frame() -> None:
    frames, names = inputs(CategoryName())
    torch.testing.assert_close(CategoryName()(frames, names), torch.einsum("btd,kd->bk", frames, names[:, 0]) / 6)


def test_several_templates_are_averaged_and_normalized() -> None:
    frames, names = embeddings(5, 6, 16), embeddings(7, 3, 16, seed=1)
    expected = frames.mean(1) @ normalize(names.mean(1), dim=-1).T
    torch.testing.assert_close(CategoryName()(frames, names), expected)


def test_pooled_descriptors_takes_the_mean_over_name_and_descriptors() -> None:
    frames, names, spatio, temporal = inputs(PooledDescriptors())
    sentences = torch.cat([names, spatio, temporal], 1)
    expected = torch.einsum("btd,knd->bktn", frames, sentences).mean((-1, -2))
    torch.testing.assert_close(PooledDescriptors()(frames, names, spatio, temporal), expected)


def test_each_frame_or_each_descriptor_takes_its_best_match() -> None:
    frames = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]])
    spatio = torch.tensor([[[1.0, 0.0], [0.8, 0.6]]])  # cosines: 1, .8 | .6, .96 | 0, .6
    temporal = torch.tensor([[[0.0, 1.0], [0.0, -1.0]]])  # cosines: 0, 0 | .8, -.8 | 1, -1
    by_frames = ((1 + 0.96 + 0.6) / 3 + (0 + 0.8 + 1) / 3) / 2
    by_descriptors = ((1 + 0.96) / 2 + (1 + 0) / 2) / 2
    assert MaxSimilarity()(frames, spatio, temporal).item() == pytest.approx(by_frames)
    from_descriptors = MaxSimilarity("descriptors_to_frames")(frames, spatio, temporal)
    assert from_descriptors.item() == pytest.approx(by_descriptors)


def test_softmax_weights_of_each_direction() -> None:
    frames, spatio, temporal = inputs(SoftmaxMatching())
    for direction, axis in (("frames_to_descriptors", -1), ("descriptors_to_frames", -2)):
        expected = torch.zeros(5, 7)
        for text in (spatio, temporal):
            cosines = torch.einsum("btd,knd->bktn", frames, text)
            weights = (cosines / 0.3).exp()
            expected += (weights / weights.sum(axis, keepdim=True) * cosines).sum((-1, -2)) / cosines.shape[-3 - axis]
        scores = SoftmaxMatching(0.3, direction)(frames, spatio, temporal)
        torch.testing.assert_close(scores, expected / 2)


def test_softmax_is_computed_in_full_precision() -> None:
    frames, spatio, temporal = (tensor.bfloat16() for tensor in inputs(SoftmaxMatching()))
    expected = torch.zeros(5, 7)
    for text in (spatio, temporal):
        cosines = torch.einsum("btd,knd->bktn", frames, text).float()
        expected += ((cosines / 0.02).softmax(-1) * cosines).sum(-1).mean(-1) / 2
    scores = SoftmaxMatching(0.02)(frames, spatio, temporal)
    torch.testing.assert_close(scores, expected, atol=1e-6, rtol=0)


def test_matchers_with_a_plan_are_plan_matchers() -> None:
    assert {type(matcher) for matcher in MATCHERS if isinstance(matcher, PlanMatcher)} == {OptimalDescriptorSolver}


def test_max_similarity_is_the_limit_of_softmax_matching() -> None:
    frames, spatio, temporal = inputs(MaxSimilarity())
    for direction, axis in (("frames_to_descriptors", -1), ("descriptors_to_frames", -2)):
        hard = MaxSimilarity(direction)(frames, spatio, temporal)
        both = [torch.einsum("btd,knd->bktn", frames, text).amax(axis).mean(-1) for text in (spatio, temporal)]
        torch.testing.assert_close(hard, (both[0] + both[1]) / 2)
        torch.testing.assert_close(SoftmaxMatching(1e-5, direction)(frames, spatio, temporal), hard, atol=1e-4, rtol=0)
        flat = SoftmaxMatching(1e5, direction)(frames, spatio, temporal)
        pooled = OptimalDescriptorSolver(terms=TermWeights(spatio_transported=0, temporal_transported=0))
        torch.testing.assert_close(flat, pooled(frames, spatio, temporal), atol=1e-4, rtol=0)


def test_softmax_matching_is_transport_without_the_descriptors_marginal() -> None:
    frames, spatio, temporal = inputs(SoftmaxMatching())
    free = TransportProblem(descriptor_rho=1e-6)
    solver = OptimalDescriptorSolver(terms=TRANSPORTED, spatio=free, temporal=free)
    expected = SoftmaxMatching(0.1)(frames, spatio, temporal)
    torch.testing.assert_close(solver(frames, spatio, temporal), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature_out_of_range_is_rejected(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature must be a positive number"):
        SoftmaxMatching(temperature)


def test_jigsawnet_scores_the_best_step_of_each_frame() -> None:
    """The released code's score: the mean over time steps of the best cosine with an atom of the class."""
    matcher = MaxSimilarity(kinds=("temporal",))
    frames, steps = inputs(matcher)
    expected = torch.tensor(
        [[sum(max(float(a @ f) for a in atoms) for f in video) / len(video) for atoms in steps] for video in frames]
    )
    torch.testing.assert_close(matcher(frames, steps), expected)
    both = MaxSimilarity()
    torch.testing.assert_close(both(frames, steps, steps), matcher(frames, steps))


@pytest.mark.parametrize("kinds", [(), ("temporal", "temporal"), ("name",)])
def test_other_kinds_than_those_of_descriptors_are_rejected(kinds: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"kinds is .* expected one or two of spatio, temporal"):
        MaxSimilarity(kinds=kinds)
