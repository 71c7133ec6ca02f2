import inspect
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn

from ost_lightning import matching
from ost_lightning.matching import (
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    OrderContrast,
    SoftmaxMatching,
    TransportProblem,
)
from ost_lightning.matching.later_settings import recorded_fields
from ost_lightning.models import constructor_settings

MATCHERS = [
    kind
    for kind in vars(matching).values()
    if inspect.isclass(kind)
    and issubclass(kind, Matcher)
    and not inspect.isabstract(kind)
    and kind is not OrderContrast
]


def recordable(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, bool | int | float | str):
        return value
    return {name: asdict(value)[name] for name in recorded_fields(value)}


@pytest.mark.parametrize("kind", MATCHERS)
def test_every_argument_of_every_matcher_is_recorded(kind: type[Matcher]) -> None:
    recorded = constructor_settings(kind())
    expected = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not parameter.empty
    }
    assert recorded.keys() == expected.keys()
    for name, value in expected.items():
        assert recorded[name] == recordable(value)


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (
            OrderContrast(MaxSimilarity("descriptors_to_frames"), order_sigma=0.2),
            {
                "matcher": {"MaxSimilarity": {"direction": "descriptors_to_frames", "kinds": ["spatio", "temporal"]}},
                "order_sigma": 0.2,
                "weight": 2.0,
                "epsilon": 0.1,
            },
        ),
        (MaxSimilarity("descriptors_to_frames"), {"direction": "descriptors_to_frames"}),
        (
            SoftmaxMatching(0.3, "descriptors_to_frames"),
            {"temperature": 0.3, "direction": "descriptors_to_frames"},
        ),
        (
            OptimalDescriptorSolver(0.2, temporal=TransportProblem(order_sigma=0.1)),
            {"epsilon": 0.2, "temporal": {"order_sigma": 0.1, "descriptor_rho": None, "mass": 1.0}},
        ),
    ],
)
def test_recorded_settings_are_the_constructor_arguments(matcher: Matcher, expected: dict[str, Any]) -> None:
    recorded = constructor_settings(matcher)
    assert {name: recorded[name] for name in expected} == expected


def test_a_learned_value_is_recorded_as_it_is_now() -> None:
    solver = OptimalDescriptorSolver(0.1, gradient="implicit", learn_epsilon=True, epsilon_rate=1.0)
    assert solver.epsilon_shift is not None
    with torch.no_grad():
        solver.epsilon_shift.fill_(1.0)
    recorded = constructor_settings(solver)
    assert recorded["learn_epsilon"] is True
    assert recorded["epsilon"] == pytest.approx(0.1 * torch.e)


def test_an_argument_without_an_attribute_is_unknown() -> None:
    class Layer(nn.Module):
        def __init__(self, width: int = 3, *more: int) -> None:
            super().__init__()
            self._width = width

    assert constructor_settings(Layer()) == {"width": "unknown"}
