import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ost_lightning.models import ensemble_weights


@given(ratio=st.floats(0, 1), seed=st.integers(0, 99))
def test_share_of_the_original(ratio: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    original, tuned = (
        {"w": torch.randn(3, 4, generator=generator), "b": torch.randn(4, generator=generator)} for _ in range(2)
    )
    mixed = ensemble_weights(original, tuned, ratio)
    for name in original:
        torch.testing.assert_close(mixed[name], ratio * original[name] + (1 - ratio) * tuned[name])


def test_the_extremes_are_exact_and_share_no_memory() -> None:
    original, tuned = {"w": torch.randn(50)}, {"w": torch.randn(50)}
    assert torch.equal(ensemble_weights(original, tuned, 0)["w"], tuned["w"])
    assert torch.equal(ensemble_weights(original, tuned, 1)["w"], original["w"])
    kept = tuned["w"].clone()
    ensemble_weights(original, tuned, 0.2)["w"].zero_()
    assert torch.equal(tuned["w"], kept)


def test_dtype_and_gradient() -> None:
    mixed = ensemble_weights({"w": torch.ones(2).double()}, {"w": torch.zeros(2).requires_grad_()}, 0.25)
    assert mixed["w"].dtype == torch.float32
    assert not mixed["w"].requires_grad
    assert mixed["w"].tolist() == [0.25, 0.25]


def test_invalid_arguments_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"share of the original weights: expected 0 to 1, found 1\.5"):
        ensemble_weights({}, {}, 1.5)
    with pytest.raises(ValueError, match="same weights: a and 1 more"):
        ensemble_weights({"a": torch.ones(1)}, {"b": torch.ones(1)}, 0.5)
    with pytest.raises(ValueError, match=r"w has shape \(1,\) before fine-tuning, but \(2,\) after"):
        ensemble_weights({"w": torch.ones(1)}, {"w": torch.ones(2)}, 0.5)
