import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.tasks import learning_rate_factor


@pytest.mark.parametrize(
    ("step", "warmup", "peak", "rate"),
    [(4999, 0.5, 8e-6, 7.998e-6), (5000, 0.5, 8e-6, 4.04e-6), (999, 0.1, 5e-6, 4.995e-6), (1000, 0.1, 5e-6, 4.879e-6)],
)
def test_values_of_timm_cosine(step: int, warmup: float, peak: float, rate: float) -> None:
    assert peak * learning_rate_factor("timm_cosine", step, 10_000, warmup) == pytest.approx(rate, rel=2e-4)


@given(total=st.integers(2, 1000), warmup=st.floats(0, 0.8))
def test_cosine_after_warmup_rises_and_falls_without_a_jump(total: int, warmup: float) -> None:
    factors = [learning_rate_factor("cosine_after_warmup", step, total, warmup) for step in range(total + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[-1] == pytest.approx(0.01)
    rising = warmup * total
    steepest = max(1 / max(rising, 1), math.pi / 2 / (total - rising))
    for step, (before, after) in enumerate(pairwise(factors), start=1):
        assert abs(after - before) <= steepest + 1e-9
        assert after >= before if step < rising else after <= before or step - 1 < rising


def test_slowfast_cosine_rises_to_the_cosine_and_ends_at_zero() -> None:
    """DiST's rates: 36 epochs with 6 of warm-up from 8e-7, peak 3.2e-4."""

    def rate(epoch: int) -> float:
        return 3.2e-4 * learning_rate_factor("slowfast_cosine", epoch, 36, 6 / 36, 0.0, 8e-7 / 3.2e-4)

    assert rate(0) == pytest.approx(8e-7)
    assert rate(3) == pytest.approx((8e-7 + rate(6)) / 2)
    assert rate(6) == pytest.approx(2.986e-4, rel=1e-3)
    assert rate(18) == pytest.approx(1.6e-4)
    assert rate(36) == pytest.approx(0, abs=1e-12)


def test_a_constant_rate_follows_the_warm_up() -> None:
    factors = [learning_rate_factor("constant", step, 10, 0.2) for step in range(11)]
    assert factors == [0.0, 0.5, *[1.0] * 9]


@pytest.mark.parametrize("schedule", ["cosine_after_warmup", "timm_cosine", "slowfast_cosine"])
@pytest.mark.parametrize("floor", [0.0, 0.01, 0.3])
def test_cosines_end_at_their_floor(schedule: str, floor: float) -> None:
    assert learning_rate_factor(schedule, 10, 10, 0.2, floor) == pytest.approx(floor)


@pytest.mark.parametrize("schedule", ["cosine_after_warmup", "timm_cosine", "slowfast_cosine", "constant"])
def test_schedules_start_at_zero_with_warmup_and_at_the_peak_without(schedule: str) -> None:
    assert learning_rate_factor(schedule, 0, 100, 0.1) == 0
    assert learning_rate_factor(schedule, 0, 100, 0.0) == 1
