"""The OD Solver, including comparisons with results of the authors' code."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.matching import (
    CategoryName,
    OptimalDescriptorSolver,
    TermWeights,
    TransportProblem,
    solve_transport,
    symmetric_kl,
    transport_plan,
)
from tests.matching.inputs import IN_ORDER, TRANSPORTED, embeddings, inputs

CASES = range(4)
VECTORS = load_file(Path(__file__).with_name("od_solver.safetensors"))
"""Results of the authors' released code for four cases."""


def case(number: int, name: str) -> Tensor:
    return VECTORS[f"case{number}.{name}"].clone()


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize("kind", ["spatio", "temporal"])
def test_transport_scores_agree_with_the_released_code(number: int, kind: str) -> None:
    cosines, plan = OptimalDescriptorSolver().cosines_and_plan(case(number, "frames"), case(number, kind), kind)
    torch.testing.assert_close((plan * cosines).sum((-1, -2)), case(number, f"ot_{kind}"), rtol=1e-4, atol=0)


@pytest.mark.parametrize("number", CASES)
def test_logits_agree_with_the_released_code(number: int) -> None:
    solver = OptimalDescriptorSolver(factor=0.5)
    logits = 100 * solver(case(number, "frames"), case(number, "spatio"), case(number, "temporal"))
    torch.testing.assert_close(logits, case(number, "logits_released_scale100"), rtol=1e-4, atol=0)


@pytest.mark.parametrize("number", CASES)
def test_losses_and_gradients_agree_with_the_released_code(number: int) -> None:
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


def test_solver_computes_equation_13() -> None:
    frames, spatio, temporal = inputs(OptimalDescriptorSolver())
    expected = torch.zeros(5, 7)
    for kind in (spatio, temporal):
        expected += torch.einsum("bd,kd->bk", frames.mean(1), kind.mean(1))
        for video in range(5):
            for label in range(7):
                cosines = frames[video] @ kind[label].T
                expected[video, label] += (transport_plan(cosines) * cosines).sum()
    torch.testing.assert_close(OptimalDescriptorSolver()(frames, spatio, temporal), expected / 4, atol=1e-6, rtol=1e-5)


def test_gradient_treats_the_plan_as_constant() -> None:
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


def test_the_category_name_is_a_fifth_term() -> None:
    name, spatio, temporal = embeddings(7, 3, 16, seed=1), embeddings(7, 4, 16, seed=2), embeddings(7, 4, 16, seed=3)
    frames = embeddings(5, 6, 16)
    four, alone = OptimalDescriptorSolver()(frames, spatio, temporal), CategoryName()(frames, name)
    solver = OptimalDescriptorSolver(terms=TermWeights(name=2.0))
    assert solver.kinds == ("name", "spatio", "temporal")
    assert solver.descriptor_kinds == ("spatio", "temporal")
    torch.testing.assert_close(solver(frames, name, spatio, temporal), (4 * four + 2 * alone) / 6)
    only = OptimalDescriptorSolver(terms=TermWeights(0, 0, 0, 0, 3.0))
    torch.testing.assert_close(only(frames, name), alone)


def test_evidence_for_the_order_of_steps_never_speaks_against_a_class() -> None:
    frames, spatio, temporal = inputs(OptimalDescriptorSolver())
    plain = OptimalDescriptorSolver()(frames, spatio, temporal)
    solver = OptimalDescriptorSolver(max_iterations=1000, terms=TermWeights(order=2.0, order_sigma=0.3))
    cosines = torch.einsum("btd,knd->bktn", frames, temporal)
    ordered, reverse = (
        (transport_plan(each, problem=TransportProblem(order_sigma=0.3), max_iterations=1000) * each).sum((-1, -2))
        for each in (cosines, cosines.flip(-1))
    )
    expected = plain + 2 / 4 * (ordered - reverse).clamp(min=0)
    torch.testing.assert_close(solver(frames, spatio, temporal), expected, atol=1e-5, rtol=0)
    assert bool((ordered < reverse).any())
    still = frames[:, :1].expand(-1, 6, -1)  # has no order
    torch.testing.assert_close(
        solver(still, spatio, temporal), OptimalDescriptorSolver()(still, spatio, temporal), atol=1e-5, rtol=0
    )
    doubled = OptimalDescriptorSolver(factor=0.5, max_iterations=1000, terms=TermWeights(order=2.0, order_sigma=0.3))
    torch.testing.assert_close(doubled(frames, spatio, temporal), 2 * solver(frames, spatio, temporal))


def test_evidence_is_for_steps_in_their_order() -> None:
    steps = embeddings(1, 4, 16)
    frames = torch.cat([steps.repeat_interleave(2, 1), steps.flip(1).repeat_interleave(2, 1)])
    evidence = OptimalDescriptorSolver(terms=TermWeights(0, 0, 0, 1, order=1.0, order_sigma=0.2))(frames, steps)
    plain = OptimalDescriptorSolver(terms=TermWeights(0, 0, 0, 1))(frames, steps)
    gained = (evidence - plain)[:, 0].tolist()
    assert gained[0] > 0.03
    assert gained[1] == pytest.approx(0, abs=1e-6)


def test_evidence_is_trained_where_it_speaks_for_a_class() -> None:
    terms = TermWeights(0, 0, 0, 1, order=2.0, order_sigma=0.3)
    exact = OptimalDescriptorSolver(tolerance=1e-10, max_iterations=2000, terms=terms, gradient="implicit")
    steps = embeddings(2, 3, 8).double()
    frames = torch.cat([steps[:1], steps[:1].flip(1)]).requires_grad_()  # in the first class's order, and in reverse
    assert torch.autograd.gradcheck(lambda each: exact(each, steps), frames, atol=1e-5, rtol=1e-4, fast_mode=True)
    with_evidence, plain = (
        torch.autograd.grad(
            OptimalDescriptorSolver(tolerance=1e-10, max_iterations=2000, terms=one)(frames, steps)[:, 0].sum(), frames
        )[0]
        for one in (terms, TermWeights(0, 0, 0, 1))
    )
    cosines = torch.einsum("btd,knd->bktn", frames.detach(), steps)[0, 0]
    ordered, reverse = (
        solve_transport(each, problem=TransportProblem(order_sigma=0.3), max_iterations=2000, tolerance=1e-10).plan
        for each in (cosines, cosines.flip(-1))
    )
    # plans are constants, as those of the other terms
    expected = 2 * (ordered - reverse.flip(-1)) @ steps[0]
    torch.testing.assert_close(with_evidence[0] - plain[0], expected, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(with_evidence[1], plain[1])


def test_only_kinds_with_weight_are_needed() -> None:
    assert OptimalDescriptorSolver().kinds == ("spatio", "temporal")
    assert OptimalDescriptorSolver(terms=TRANSPORTED).kinds == ("spatio", "temporal")
    spatio = OptimalDescriptorSolver(terms=TermWeights(temporal_pooled=0, temporal_transported=0))
    assert spatio.kinds == ("spatio",)
    assert OptimalDescriptorSolver(terms=TermWeights(0, 0, 0, 1)).kinds == ("temporal",)
    with pytest.raises(ValueError, match="is longer than"):
        spatio(*inputs(OptimalDescriptorSolver()))


def test_each_kind_has_its_own_transport_problem() -> None:
    frames, spatio, temporal = inputs(IN_ORDER)
    transported = OptimalDescriptorSolver(max_iterations=1000, terms=TRANSPORTED, **IN_ORDER.problems)
    expected = torch.zeros(5, 7)
    for text, problem in zip((spatio, temporal), IN_ORDER.problems.values(), strict=True):
        cosines = torch.einsum("btd,knd->bktn", frames, text)
        expected += (
            (transport_plan(cosines, problem=problem, max_iterations=1000) * cosines).sum((-1, -2)) / problem.mass / 2
        )
    torch.testing.assert_close(transported(frames, spatio, temporal), expected)
    reversed_in_time = transported(frames.flip(1), spatio, temporal.flip(1))
    torch.testing.assert_close(reversed_in_time, transported(frames, spatio, temporal), atol=1e-5, rtol=0)
    shuffled = transported(frames, spatio, temporal[:, [2, 0, 3, 1]])
    assert float((shuffled - expected).abs().max()) > 1e-3


def test_plans_follow_the_problem_of_their_kind() -> None:
    frames, spatio, temporal = inputs(IN_ORDER)
    for kind, text in (("spatio", spatio), ("temporal", temporal)):
        cosines, plan = IN_ORDER.cosines_and_plan(frames, text, kind)
        torch.testing.assert_close(cosines, torch.einsum("btd,knd->bktn", frames, text))
        expected = transport_plan(cosines, problem=getattr(IN_ORDER, kind), max_iterations=1000)
        torch.testing.assert_close(plan, expected)


def test_learned_epsilon_has_a_higher_learning_rate() -> None:
    solver = OptimalDescriptorSolver(0.2, gradient="implicit", learn_epsilon=True, epsilon_rate=50.0)
    (parameter,) = solver.parameters()
    assert float(solver.epsilon.detach()) == pytest.approx(0.2)
    with torch.no_grad():
        parameter += 0.01
    assert float(solver.epsilon.detach()) == pytest.approx(0.2 * math.exp(0.5))
    assert OptimalDescriptorSolver(0.2).epsilon == 0.2


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


def test_half_precision_embeddings_are_accepted() -> None:
    solver = OptimalDescriptorSolver()
    exact = solver(*inputs(solver))
    with torch.autocast("cpu", torch.bfloat16):
        scores = solver(*inputs(solver))
    torch.testing.assert_close(scores.float(), exact, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimalDescriptorSolver(epsilon=0.0), "epsilon must be a positive number, not 0.0"),
        (lambda: OptimalDescriptorSolver(max_iterations=0), "max_iterations must be"),
        (lambda: OptimalDescriptorSolver(tolerance=-1.0), "tolerance must be"),
        (lambda: OptimalDescriptorSolver(learn_epsilon=True), "set gradient to implicit"),
        (lambda: TermWeights(0, 0, 0, 0), "not all 0"),
        (lambda: TermWeights(spatio_pooled=-1.0), "0 or more"),
        (lambda: TermWeights(name=math.nan), "0 or more"),
        (lambda: TermWeights(order=-1.0), "0 or more"),
        (lambda: TermWeights(0, 0, 0, 0, order=1.0), "not all 0"),
        (lambda: TermWeights(temporal_pooled=0, temporal_transported=0, order=1.0), "order needs steps"),
        (lambda: TermWeights(order_sigma=0.0), "order_sigma must be a positive number"),
        (lambda: TermWeights(temporal_transported=math.inf), "0 or more"),
    ],
)
def test_settings_out_of_range_are_rejected(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
