import pytest
import torch
from torch import nn

from ost_lightning.errors import NonFiniteError
from ost_lightning.models import VideoCLIP, require_finite_weights


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_damaged_parameter_is_named(bad: float) -> None:
    model = VideoCLIP("tiny")
    require_finite_weights(model)
    model.encoder.model.text_projection.weight.data[:2, 0] = bad
    with pytest.raises(NonFiniteError, match=r"text_projection\.weight has 2 NaN or infinite of \d+ values\. The"):
        require_finite_weights(model)
    model.encoder.model.logit_scale.data.fill_(bad)
    with pytest.raises(NonFiniteError, match="logit_scale has 1 NaN or infinite of 1 values, and 1 other parameters"):
        require_finite_weights(model)


def test_modules_without_weights_and_in_half_precision() -> None:
    require_finite_weights(nn.Identity())
    layer = nn.Linear(2, 2).to(torch.bfloat16)
    require_finite_weights(layer)
    layer.bias.data[0] = float("inf")
    with pytest.raises(NonFiniteError, match="bias"):
        require_finite_weights(layer)
