from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.errors import UserError
from ost_lightning.models import LoRA, VideoCLIP
from ost_lightning.models.encoders.towers.fp8_linear import Fp8Linear, require_fp8, to_fp8, use_fp8_products
from ost_lightning.models.lora import AdaptedVideoCLIP

ROUNDING = 2**-4
"""Largest relative error of a number with three bits of mantissa."""
SMALLEST = 2**-10
"""Half the distance of the smallest numbers of e4m3, whose relative error is larger."""


def layer(width: int = 768, out: int = 384, *, bias: bool = True) -> tuple[nn.Linear, Fp8Linear]:
    exact = nn.Linear(width, out, bias=bias).requires_grad_(False)
    block = nn.Sequential(exact)
    assert use_fp8_products([block]) == 1
    converted = block[0]
    assert isinstance(converted, Fp8Linear)
    return exact, converted


def activations(rows: int = 300, width: int = 768) -> Tensor:
    """Activations like those of a vision transformer: a few channels are a hundred times as large as the others."""
    found = torch.randn(rows, width)
    found[:, ::200] *= 100
    return found


def errors(values: Tensor) -> Tensor:
    """Largest error of each number of a matrix whose rows are rounded."""
    scales = values.abs().amax(-1, keepdim=True) / 448
    return torch.maximum(ROUNDING * values.abs(), SMALLEST * scales)


@pytest.mark.parametrize("bias", [True, False])
def test_no_output_is_further_off_than_rounding_explains(bias: bool) -> None:
    exact, rounded = layer(bias=bias)
    inputs = activations()
    expected, found = exact(inputs), rounded(inputs)
    assert found.dtype == torch.float32
    of_inputs, of_weights = errors(inputs), errors(exact.weight)
    bound = of_inputs @ exact.weight.abs().T + inputs.abs() @ of_weights.T + of_inputs @ of_weights.T
    bound += 2**-7 * (expected.abs() + bound)  # the sum is rounded to bf16, and the bias too
    assert bool(((found - expected).abs() <= bound).all())
    # errors of many products cancel
    assert float((found - expected).norm() / expected.norm()) < 0.04


def test_scales_belong_to_rows() -> None:
    matrix = torch.tensor([[1e-4, -2e-4], [300.0, 3e38], [0.0, 0.0]])
    rounded, scales = to_fp8(matrix)
    assert rounded.dtype == torch.float8_e4m3fn
    assert torch.isfinite(rounded.float()).all()
    torch.testing.assert_close(rounded.float().abs().amax(-1), torch.tensor([448.0, 448.0, 0.0]))
    torch.testing.assert_close((rounded.float() * scales)[0], matrix[0], rtol=ROUNDING, atol=0)
    assert to_fp8(torch.randn(8, 16).T)[0].is_contiguous()  # as GPUs need it


def test_a_row_does_not_depend_on_others() -> None:
    _, rounded = layer()
    inputs = activations(4)
    loud = torch.cat([inputs, 1e6 * inputs])
    torch.testing.assert_close(rounded(loud)[:4], rounded(inputs), atol=0, rtol=0)


def test_shapes_and_precision_are_those_of_the_exact_layer() -> None:
    exact, rounded = layer(32, 16)
    inputs = torch.randn(2, 3, 5, 32)
    assert rounded(inputs).shape == exact(inputs).shape
    assert rounded(inputs[:, :1].mT.mT).shape == (2, 1, 5, 16)  # not contiguous
    assert rounded(inputs.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert rounded(inputs).dtype == torch.bfloat16


def test_the_weights_are_those_that_the_layer_has_at_its_use() -> None:
    exact, rounded = layer(32, 16)
    assert rounded.weight is exact.weight
    inputs = torch.randn(4, 32)
    before = rounded(inputs)
    with torch.no_grad():
        exact.weight.mul_(2)
        exact.bias.mul_(2)
    torch.testing.assert_close(rounded(inputs), 2 * before)  # a power of two changes no mantissa


def test_gradients_are_refused() -> None:
    _, rounded = layer(32, 16)
    with pytest.raises(UserError, match=r"fp8 is for inference.*no gradients"):
        rounded(torch.randn(2, 32, requires_grad=True))
    rounded.weight.requires_grad_(True)
    with pytest.raises(UserError, match="no gradients"):
        rounded(torch.randn(2, 32))
    with torch.inference_mode():
        assert rounded(torch.randn(2, 32)).shape == (2, 16)


def test_what_stays_as_it_is() -> None:
    odd, attention = nn.Linear(24, 32), nn.MultiheadAttention(32, 2)
    block = nn.ModuleDict({"odd": odd, "attention": attention, "even": nn.Linear(32, 48)})
    assert use_fp8_products([block]) == 1
    assert use_fp8_products([block]) == 1  # again
    assert block["odd"] is odd
    # its weight is read, not called
    assert not isinstance(attention.out_proj, Fp8Linear)


@pytest.mark.parametrize("adapted", [False, True])
def test_the_tower_of_a_model(adapted: bool) -> None:
    def model() -> VideoCLIP:
        torch.manual_seed(0)
        return (AdaptedVideoCLIP("tiny", lora=LoRA()) if adapted else VideoCLIP("tiny")).eval()

    exact, rounded = model(), model()
    rounded.encoder.use_fp8([torch.device("cpu")])
    assert rounded.encoder.fp8
    assert not exact.encoder.fp8
    converted = {name for name, part in rounded.named_modules() if isinstance(part, Fp8Linear)}
    assert len(converted) == 3 * 6
    assert all(".vision_model.encoder.layers." in name for name in converted)
    assert rounded.state_dict().keys() == exact.state_dict().keys()
    frames = torch.randint(0, 256, (2, 3, 3, 48, 48), dtype=torch.uint8)
    with torch.inference_mode():
        found, expected = rounded.encode_frames(frames), exact.encode_frames(frames)
        alone = rounded.encode_frames(frames[:1])
    cosines = F.cosine_similarity(found, expected, dim=-1)
    assert 0.99 < float(cosines.min()) < 1
    torch.testing.assert_close(alone, found[:1], atol=2e-3, rtol=0)


def test_the_tower_is_one_graph() -> None:
    model = VideoCLIP("tiny").eval()
    model.encoder.use_fp8([torch.device("cpu")])
    pixels = torch.randn(2, 3, 48, 48)
    tower = torch.compile(model.encoder.tower("vision").backbone, backend="eager", fullgraph=True)
    with torch.inference_mode():
        found = tower(pixels).pooler_output
        torch.testing.assert_close(found, model.encoder.tower("vision").backbone(pixels).pooler_output)


@pytest.mark.parametrize(
    ("device", "capability", "message"),
    [("mps", None, "but the device is mps"), ("cuda:0", (8, 0), "cuda:0 is A100 with 8.0"), ("cuda", (8, 9), "")],
)
def test_hardware_without_fp8_is_refused(
    device: str, capability: tuple[int, int] | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A100")
    if not message:
        require_fp8(torch.device(device))
        return
    with pytest.raises(UserError, match=rf"compute capability 8.9 or later.*{message}"):
        VideoCLIP("tiny").encoder.use_fp8([torch.device(device)])


def test_a_tower_without_such_layers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = VideoCLIP("tiny").encoder
    monkeypatch.setattr(type(encoder), "tower", lambda self, name: SimpleNamespace(layers=[nn.Conv2d(3, 3, 1)]))
    with pytest.raises(UserError, match="no linear layers"):
        encoder.use_fp8([torch.device("cpu")])
