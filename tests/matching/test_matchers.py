from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from ost_lightning.errors import UserError
from ost_lightning.matching import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    PooledDescriptors,
    SoftmaxMatching,
    TermWeights,
    TransportProblem,
    symmetric_kl,
    transport_plan,
)

CASES = range(4)
VECTORS = load_file(Path(__file__).with_name("od_solver.safetensors"))
"""Figures of four cases computed with the authors' released code."""

IN_ORDER = OptimalDescriptorSolver(
    max_iterations=1000,
    temporal=TransportProblem(order_sigma=0.2, descriptor_rho=0.5),
    spatio=TransportProblem(mass=0.8),
)
TRANSPORTED = TermWeights(spatio_pooled=0, temporal_pooled=0)
MATCHERS = [
    CategoryName(),
    PooledDescriptors(),
    OptimalDescriptorSolver(),
    OptimalDescriptorSolver(terms=TRANSPORTED, gradient="implicit"),
    OptimalDescriptorSolver(terms=TermWeights(temporal_pooled=0, temporal_transported=0)),
    IN_ORDER,
    MaxSimilarity(),
    MaxSimilarity("descriptors_to_frames"),
    SoftmaxMatching(),
    SoftmaxMatching(direction="descriptors_to_frames"),
]


def case(number: int, name: str) -> Tensor:
    return VECTORS[f"case{number}.{name}"].clone()


def embeddings(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def inputs(matcher: Matcher) -> list[Tensor]:
    texts = {"name": embeddings(7, 1, 16, seed=1), "spatio": embeddings(7, 4, 16, seed=2)}
    texts["temporal"] = embeddings(7, 4, 16, seed=3)
    return [embeddings(5, 6, 16), *(texts[kind] for kind in matcher.kinds)]


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize("kind", ["spatio", "temporal"])
def test_transport_scores_of_the_released_code(number: int, kind: str) -> None:
    cosines, plan = OptimalDescriptorSolver().cosines_and_plan(case(number, "frames"), case(number, kind), kind)
    torch.testing.assert_close((plan * cosines).sum((-1, -2)), case(number, f"ot_{kind}"), rtol=1e-4, atol=0)


@pytest.mark.parametrize("number", CASES)
def test_logits_of_the_released_code(number: int) -> None:
    solver = OptimalDescriptorSolver(factor=0.5)
    logits = 100 * solver(case(number, "frames"), case(number, "spatio"), case(number, "temporal"))
    torch.testing.assert_close(logits, case(number, "logits_released_scale100"), rtol=1e-4, atol=0)


@pytest.mark.parametrize("number", CASES)
def test_losses_and_gradients_of_the_released_code(number: int) -> None:
    frames, spatio, temporal = (case(number, name).requires_grad_() for name in ("frames", "spatio", "temporal"))
    labels = case(number, "labels")
    logits = 100 * OptimalDescriptorSolver(factor=0.5)(frames, spatio[labels], temporal[labels])
    torch.testing.assert_close(logits, case(number, "batch_logits"), rtol=1e-4, atol=0)
    loss = symmetric_kl(logits, labels, factor=1.0)
    expected = case(number, "loss_video_to_text") + case(number, "loss_text_to_video")
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)
    loss.backward()
    for tensor, name in ((frames, "frames"), (spatio, "spatio"), (temporal, "temporal")):
        released = case(number, f"grad_{name}_of_sum")
        assert tensor.grad is not None
        torch.testing.assert_close(tensor.grad, released, rtol=1e-4, atol=1e-4 * float(released.abs().max()))


@pytest.mark.parametrize("matcher", MATCHERS, ids=repr)
def test_similarities_are_similarities(matcher: Matcher) -> None:
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
def test_videos_and_classes_do_not_influence_one_another(matcher: Matcher) -> None:
    frames, *texts = inputs(matcher)
    scores = matcher(frames, *texts)
    for video in range(5):
        for label in range(7):
            alone = matcher(frames[[video]], *(text[[label]] for text in texts))
            torch.testing.assert_close(alone[0, 0], scores[video, label], atol=1e-6, rtol=0)


def test_category_name_is_the_cosine_of_the_mean_frame() -> None:
    frames, names = inputs(CategoryName())
    torch.testing.assert_close(CategoryName()(frames, names), torch.einsum("btd,kd->bk", frames, names[:, 0]) / 6)


def test_several_templates_are_averaged_and_normalized() -> None:
    frames, names = embeddings(5, 6, 16), embeddings(7, 3, 16, seed=1)
    expected = frames.mean(1) @ normalize(names.mean(1), dim=-1).T
    torch.testing.assert_close(CategoryName()(frames, names), expected)


def test_pooled_descriptors_is_the_mean_over_name_and_descriptors() -> None:
    frames, names, spatio, temporal = inputs(PooledDescriptors())
    every = torch.cat([names, spatio, temporal], 1)
    expected = torch.einsum("btd,knd->bktn", frames, every).mean((-1, -2))
    torch.testing.assert_close(PooledDescriptors()(frames, names, spatio, temporal), expected)


def test_solver_is_equation_13() -> None:
    frames, spatio, temporal = inputs(OptimalDescriptorSolver())
    expected = torch.zeros(5, 7)
    for kind in (spatio, temporal):
        expected += torch.einsum("bd,kd->bk", frames.mean(1), kind.mean(1))
        for video in range(5):
            for label in range(7):
                cosines = frames[video] @ kind[label].T
                expected[video, label] += (transport_plan(cosines) * cosines).sum()
    torch.testing.assert_close(OptimalDescriptorSolver()(frames, spatio, temporal), expected / 4, atol=1e-6, rtol=1e-5)


def test_gradient_is_that_of_a_constant_plan() -> None:
    solver = OptimalDescriptorSolver(tolerance=1e-10, max_iterations=10_000)
    frames, spatio, temporal = (tensor.double().requires_grad_() for tensor in inputs(solver))
    weights = torch.randn(5, 7, dtype=torch.float64)
    (solver(frames, spatio, temporal) * weights).sum().backward()
    with torch.no_grad():
        plans = [solver.cosines_and_plan(frames, text, "spatio")[1] for text in (spatio, temporal)]

    def score(moved: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for kind, plan in zip((spatio, temporal), plans, strict=True):
            cosines = torch.einsum("btd,knd->bktn", moved, kind)
            total = total + (weights * (cosines.mean((-1, -2)) + (plan * cosines).sum((-1, -2)))).sum() / 4
        return total

    direction = torch.randn_like(frames)
    with torch.no_grad():
        finite = (score(frames + 1e-5 * direction) - score(frames - 1e-5 * direction)) / 2e-5
    assert frames.grad is not None
    torch.testing.assert_close((frames.grad * direction).sum(), finite, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "terms",
    [
        TRANSPORTED,
        TermWeights(spatio_transported=0, temporal_transported=0),
        TermWeights(1.0, 0.0, 2.0, 0.5),
        TermWeights(temporal_pooled=0, temporal_transported=0),
        TermWeights(spatio_pooled=0, spatio_transported=0),
        TermWeights(0, 0, 0, 3.0),
    ],
)
def test_terms_of_equation_13_are_weighted(terms: TermWeights) -> None:
    solver = OptimalDescriptorSolver(terms=terms)
    texts = dict(zip(("spatio", "temporal"), inputs(OptimalDescriptorSolver())[1:], strict=True))
    frames = embeddings(5, 6, 16)
    expected, total = torch.zeros(5, 7), 0.0
    for kind, text in texts.items():
        cosines, plan = solver.cosines_and_plan(frames, text, kind)
        for name, score in (("pooled", cosines.mean((-1, -2))), ("transported", (plan * cosines).sum((-1, -2)))):
            weight = getattr(terms, f"{kind}_{name}")
            expected, total = expected + weight * score, total + weight
    scores = solver(frames, *(texts[kind] for kind in solver.kinds))
    torch.testing.assert_close(scores, expected / total)
    doubled = OptimalDescriptorSolver(terms=terms, factor=0.5)
    torch.testing.assert_close(doubled(frames, *(texts[kind] for kind in solver.kinds)), 2 * scores)


def test_only_the_kinds_that_count_are_asked_for() -> None:
    assert OptimalDescriptorSolver().kinds == ("spatio", "temporal")
    assert OptimalDescriptorSolver(terms=TRANSPORTED).kinds == ("spatio", "temporal")
    spatio = OptimalDescriptorSolver(terms=TermWeights(temporal_pooled=0, temporal_transported=0))
    assert spatio.kinds == ("spatio",)
    assert OptimalDescriptorSolver(terms=TermWeights(0, 0, 0, 1)).kinds == ("temporal",)
    with pytest.raises(ValueError, match="is longer than"):
        spatio(*inputs(OptimalDescriptorSolver()))


def test_kinds_may_be_matched_differently() -> None:
    frames, spatio, temporal = inputs(IN_ORDER)
    transported = OptimalDescriptorSolver(max_iterations=1000, terms=TRANSPORTED, **IN_ORDER.problems)
    expected = torch.zeros(5, 7)
    for text, problem in zip((spatio, temporal), IN_ORDER.problems.values(), strict=True):
        cosines = torch.einsum("btd,knd->bktn", frames, text)
        expected += (
            (transport_plan(cosines, problem=problem, max_iterations=1000) * cosines).sum((-1, -2)) / problem.mass / 2
        )
    torch.testing.assert_close(transported(frames, spatio, temporal), expected)
    backwards = transported(frames.flip(1), spatio, temporal.flip(1))
    torch.testing.assert_close(backwards, transported(frames, spatio, temporal), atol=1e-5, rtol=0)
    shuffled = transported(frames, spatio, temporal[:, [2, 0, 3, 1]])
    assert float((shuffled - expected).abs().max()) > 1e-3


def test_a_plan_is_that_of_its_kind() -> None:
    frames, spatio, temporal = inputs(IN_ORDER)
    for kind, text in (("spatio", spatio), ("temporal", temporal)):
        cosines, plan = IN_ORDER.cosines_and_plan(frames, text, kind)
        torch.testing.assert_close(cosines, torch.einsum("btd,knd->bktn", frames, text))
        expected = transport_plan(cosines, problem=getattr(IN_ORDER, kind), max_iterations=1000)
        torch.testing.assert_close(plan, expected)


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


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: OptimalDescriptorSolver(epsilon=0.0), "epsilon must be a positive number, not 0.0"),
        (lambda: OptimalDescriptorSolver(max_iterations=0), "max_iterations must be"),
        (lambda: OptimalDescriptorSolver(tolerance=-1.0), "tolerance must be"),
        (lambda: TermWeights(0, 0, 0, 0), "not all 0"),
        (lambda: TermWeights(spatio_pooled=-1.0), "0 or more"),
        (lambda: SoftmaxMatching(temperature=0.0), "temperature must be a positive number"),
    ],
)
def test_settings_out_of_range(make: Callable[[], object], what: str) -> None:
    with pytest.raises(UserError, match=what):
        make()


def test_unconverged_problems_are_counted_once() -> None:
    solver = OptimalDescriptorSolver(max_iterations=1)
    solver(*inputs(solver))
    count = solver.unconverged()
    assert count is not None
    assert int(count) == 2 * 5 * 7
    again = solver.unconverged()
    assert again is not None
    assert int(again) == 0
    assert CategoryName().unconverged() is None


def test_half_precision_embeddings() -> None:
    solver = OptimalDescriptorSolver()
    exact = solver(*inputs(solver))
    with torch.autocast("cpu", torch.bfloat16):
        scores = solver(*inputs(solver))
    torch.testing.assert_close(scores.float(), exact, atol=0.02, rtol=0)
