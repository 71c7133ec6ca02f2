import pytest
import torch
from torch import nn

from ost_lightning.models.encoders.towers.pixels import PatchConvolution, PixelNormalization, as_patch_convolution


def test_normalization() -> None:
    pixels = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    found = PixelNormalization((0.5, 0.25, 0.0), (0.5, 0.25, 1.0))(pixels)
    assert found.dtype == torch.float32
    expected = torch.stack([pixels[:, 0] / 127.5 - 1, pixels[:, 1] / 63.75 - 1, pixels[:, 2] / 255], dim=1)
    torch.testing.assert_close(found, expected)
    interleaved = pixels.to(memory_format=torch.channels_last)
    assert PixelNormalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(interleaved).is_contiguous()


def compare_convolutions(shape: tuple[int, ...], bias: bool, device: str) -> None:
    plain = nn.Conv2d(3, 7, (4, 6), (4, 6), bias=bias).to(device)
    patches = as_patch_convolution(plain)
    assert patches.weight is plain.weight
    assert patches.bias is plain.bias
    assert dict(patches.named_parameters()).keys() == dict(plain.named_parameters()).keys()
    pixels = torch.randn(*shape, device=device)
    gradients = []
    for convolve in (plain, patches.as_product, patches):
        plain.zero_grad()
        output = convolve(pixels)
        torch.testing.assert_close(output, plain(pixels), atol=1e-5, rtol=1e-5)
        output.sin().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in plain.parameters()]))
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (1, 3, 4, 6), (3, 3, 11, 20)])
def test_product_is_the_convolution(shape: tuple[int, ...], bias: bool) -> None:
    compare_convolutions(shape, bias, "cpu")


@pytest.mark.gpu
def test_product_is_the_convolution_on_a_gpu() -> None:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        compare_convolutions((3, 3, 16, 30), True, "cuda")
    finally:
        torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("settings", [{"stride": 2}, {"stride": 4, "padding": 1}, {"stride": 4, "dilation": 2}])
def test_other_convolutions_are_rejected(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="patches"):
        as_patch_convolution(nn.Conv2d(3, 8, 4, **settings))


def test_settings_of_a_convolution_are_kept() -> None:
    converted = as_patch_convolution(nn.Conv2d(3, 8, 4, 4))
    assert isinstance(converted, PatchConvolution)
    assert (converted.in_channels, converted.out_channels, converted.kernel_size, converted.stride) == (
        3,
        8,
        (4, 4),
        (4, 4),
    )
