"""From uint8 pixels to patch embeddings, at the speed of a GPU's memory bandwidth."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PixelNormalization(nn.Module):
    """Scales pixels to 0 to 1, subtracts a mean and divides by a standard deviation.

    Args:
        mean: Mean of red, green and blue, 0 to 1.
        std: Standard deviation of red, green and blue, 0 to 1.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self._mean: Tensor
        self._std: Tensor
        self.register_buffer("_mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Maps uint8 (..., 3, H, W) to fp32 of the same shape."""
        # the video reader's memory layout, planar or interleaved, must not influence the choice of later kernels
        scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        return scaled.div_(255).sub_(self._mean).div_(self._std)  # in place, without three more copies


class PatchConvolution(nn.Conv2d):
    """A convolution with non-overlapping windows, computed on a GPU as one matrix product.

    For ViT-B/16 in bf16, cuDNN takes ten times as long, which is a tenth of an evaluation. On a CPU this is the usual
    convolution.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (F, 3, H, W) to (F, D, H / P, W / P)."""
        output: Tensor = self.as_product(input) if input.is_cuda else super().forward(input)
        return output

    def as_product(self, input: Tensor) -> Tensor:
        """Computes the convolution as a product of all patches with all filters."""
        height, width = self.kernel_size
        rows, columns = input.shape[-2] // height, input.shape[-1] // width
        patches = input[..., : rows * height, : columns * width].unflatten(-1, (columns, width))
        patches = patches.unflatten(2, (rows, height)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        embedded = F.linear(patches, self.weight.flatten(1), self.bias)
        output: Tensor = embedded.mT.unflatten(-1, (rows, columns))
        return output


def as_patch_convolution(convolution: nn.Conv2d) -> PatchConvolution:
    """Converts a convolution; the result shares its weights.

    Raises:
        ValueError: If windows overlap, or the convolution has gaps, groups or padding.
    """
    settings = convolution.stride, convolution.padding, convolution.dilation, convolution.groups
    size = convolution.kernel_size
    if settings not in ((size, (0, 0), (1, 1), 1), (size, "valid", (1, 1), 1)):
        raise ValueError(f"{convolution} does not split its input into patches")
    converted = PatchConvolution(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type] # a pair in two dimensions
        convolution.stride,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
        device="meta",
    )
    converted.weight, converted.bias = convolution.weight, convolution.bias
    return converted
