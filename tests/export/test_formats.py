"""Files of graphs, from small modules in place of a model."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.export.formats import write_graph


class Resized(nn.Module):
    """Interpolation as of position embeddings, which OpenVINO doesn't have."""

    def forward(self, positions: Tensor) -> Tensor:
        return F.interpolate(positions, (3, 3), mode="bilinear", antialias=True)


class Unknown(nn.Module):
    """An operation that ONNX doesn't have."""

    def forward(self, values: Tensor) -> Tensor:
        return torch.special.bessel_j0(values)


@pytest.mark.parametrize(
    ("module", "name", "operation"),
    [(Resized(), "openvino", r"aten\._upsample_bilinear2d_aa"), (Unknown(), "onnx", r"bessel_j0")],
)
def test_an_operation_that_a_format_does_not_have_is_told(
    module: nn.Module, name: str, operation: str, tmp_path: Path
) -> None:
    pytest.importorskip(name)
    program = torch.export.export(module, (torch.rand(1, 1, 6, 6),), strict=False)
    with pytest.raises(UserError, match=rf"can't be written in the format {name} \(.*{operation}.*choose another"):
        write_graph([program], name, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
