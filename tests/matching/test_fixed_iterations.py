import pytest
import torch
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.matching import (
    BALANCED,
    CategoryName,
    MaxSimilarity,
    OptimalDescriptorSolver,
    PooledDescriptors,
    SoftmaxMatching,
    TermWeights,
    TransportProblem,
    transport_plan,
)
from ost_lightning.matching.fixed_iterations import ITERATIONS, plan_after, traceable

ORDERED = TransportProblem(order_sigma=0.2)
CONFIDENT = TransportProblem(order_sigma=0.3, frame_temperature=0.5)


@pytest.mark.filterwarnings("ignore::ost_lightning.matching.TransportWarning")
@pytest.mark.parametrize("problem", [BALANCED, ORDERED, CONFIDENT], ids=["balanced", "ordered", "confident"])
@pytest.mark.parametrize("epsilon", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (8, 4), (32, 8), (3, 5)])
def test_plans_are_those_of_the_solver_that_stops(
    problem: TransportProblem, epsilon: float, size: tuple[int, int]
) -> None:
    cosines = torch.rand(5, 7, *size) * 2 - 1
    expected = transport_plan(cosines, problem=problem, epsilon=epsilon, max_iterations=100)
    found = plan_after(100, cosines, problem=problem, epsilon=epsilon)
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=0)


@pytest.mark.filterwarnings("ignore::ost_lightning.matching.TransportWarning")
@pytest.mark.parametrize("iterations", [1, 2, 3, 7])
def test_an_unfinished_plan_is_that_of_as_many_iterations(iterations: int) -> None:
    cosines = torch.rand(6, 8, 4) * 2 - 1
    expected = transport_plan(cosines, max_iterations=iterations, tolerance=1e-6)
    torch.testing.assert_close(plan_after(iterations, cosines, tolerance=1e-6), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "matcher",
    [
        OptimalDescriptorSolver(),
        OptimalDescriptorSolver(epsilon=0.3, factor=0.5, terms=TermWeights(1, 0, 2, 0), spatio=ORDERED),
        OptimalDescriptorSolver(terms=TermWeights(0, 1, 1, 0.5), temporal=ORDERED),
        OptimalDescriptorSolver(terms=TermWeights(name=2)),
        OptimalDescriptorSolver(terms=TermWeights(order=2, order_sigma=0.3)),
        OptimalDescriptorSolver(gradient="implicit", learn_epsilon=True),
        CategoryName(),
        PooledDescriptors(),
        MaxSimilarity(),
        SoftmaxMatching(0.2),
    ],
    ids=lambda matcher: type(matcher).__name__,
)
def test_scores_are_those_of_the_matcher(matcher: OptimalDescriptorSolver) -> None:
    frames, *texts = (F.normalize(torch.randn(size), dim=-1) for size in ((3, 8, 16), *[(5, 4, 16)] * 3))
    if isinstance(matcher, OptimalDescriptorSolver) and matcher.epsilon_shift is not None:
        torch.nn.init.constant_(matcher.epsilon_shift, 0.01)
    chosen = texts[: len(matcher.kinds)]
    torch.testing.assert_close(traceable(matcher)(frames, *chosen), matcher(frames, *chosen), atol=1e-5, rtol=0)


def test_matchers_without_a_graph_are_refused_by_name() -> None:
    class Other(CategoryName):
        pass

    with pytest.raises(UserError, match="The matcher Other can't be written as a graph"):
        traceable(Other())
    for problem, setting in ((TransportProblem(mass=0.5), "mass"), (TransportProblem(descriptor_rho=1), "rho")):
        with pytest.raises(UserError, match=f"{setting} can't be written as a graph"):
            traceable(OptimalDescriptorSolver(temporal=problem))
        # a kind that isn't transported has no problem
        traceable(OptimalDescriptorSolver(terms=TermWeights(1, 1, 1, 0), temporal=problem))


def test_the_number_of_iterations_is_bounded_or_chosen() -> None:
    assert traceable(OptimalDescriptorSolver(max_iterations=7)).max_iterations == 7
    assert traceable(OptimalDescriptorSolver()).max_iterations == ITERATIONS
    assert traceable(OptimalDescriptorSolver(), 90).max_iterations == 90
