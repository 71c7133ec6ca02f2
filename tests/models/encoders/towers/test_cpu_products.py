"""Linear layers by oneDNN: the same results, and nothing else is touched."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ost_lightning.models.encoders.towers import cpu_products
from ost_lightning.models.encoders.towers.cpu_products import fast_products

CPU = torch.device("cpu")


class Calls:
    """Counter of products by oneDNN."""

    def __init__(self) -> None:
        self.count = 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Counts products by oneDNN on a processor where they are faster, from 1,000 multiplications."""
    counted, product = Calls(), torch.ops.mkldnn._linear_pointwise

    def count(*args: object) -> object:
        counted.count += 1
        return product(*args)

    monkeypatch.setattr(cpu_products, "_onednn_is_faster", lambda: True)
    monkeypatch.setattr(cpu_products, "_LEAST_OPERATIONS", 1000)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", count)
    return counted


@pytest.fixture
def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 24, bias=False)).eval()


@pytest.mark.parametrize("shape", [(40, 48), (3, 17, 48), (1, 21, 48)])
def test_products_are_equal_but_for_rounding(layers: nn.Sequential, calls: Calls, shape: tuple[int, ...]) -> None:
    rows = torch.randn(shape)
    with torch.inference_mode():
        expected = layers(rows)
        with fast_products(CPU):
            torch.testing.assert_close(layers(rows), expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(layers(rows.transpose(0, -2)), layers(rows.transpose(0, -2).contiguous()))
    assert calls.count == 6


def test_weights_that_change_are_read_anew(layers: nn.Sequential, calls: Calls) -> None:
    rows = torch.randn(40, 48)
    others = {name: torch.randn_like(weight) for name, weight in layers.named_parameters()}
    with torch.no_grad(), fast_products(CPU):
        before = layers(rows)
        swapped = functional_call(layers, others, (rows,))
        for name, weight in layers.named_parameters():
            weight.data.copy_(others[name])
        torch.testing.assert_close(layers(rows), swapped)
    assert not torch.allclose(before, swapped)
    assert calls.count == 6


def test_gradients_small_products_and_other_types_stay_with_pytorch(layers: nn.Sequential, calls: Calls) -> None:
    rows = torch.randn(40, 48, requires_grad=True)
    with fast_products(CPU):
        layers(rows).sum().backward()
    assert rows.grad is not None
    with torch.no_grad(), fast_products(CPU):
        F.linear(torch.randn(2, 3), torch.randn(4, 3))
        F.linear(input=torch.randn(40, 48), weight=torch.randn(96, 48))
        layers.double()(torch.randn(40, 48, dtype=torch.float64))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layers.float()(torch.randn(40, 48)).dtype == torch.bfloat16
    assert calls.count == 0


def test_graphs_hold_products_of_pytorch(layers: nn.Sequential, calls: Calls) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, rows: Tensor) -> Tensor:
            with fast_products(rows.device):
                return self.layers(rows)

    with torch.no_grad():
        exported = torch.export.export(Model(), (torch.randn(40, 48),))
    assert "mkldnn" not in str(exported.graph)
    assert calls.count == 0


@pytest.mark.parametrize(("vendor", "faster"), [("AuthenticAMD", True), ("GenuineIntel", False), (None, False)])
def test_the_processor_decides(
    vendor: str | None, faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processors = tmp_path / "cpuinfo"
    if vendor is not None:
        processors.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(cpu_products, "_PROCESSORS", processors)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    cpu_products._onednn_is_faster.cache_clear()
    assert cpu_products._onednn_is_faster() == faster
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    cpu_products._onednn_is_faster.cache_clear()
    assert not cpu_products._onednn_is_faster()
    cpu_products._onednn_is_faster.cache_clear()
