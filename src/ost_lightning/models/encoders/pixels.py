"""From a reader's uint8 pixels to patch embeddings, limited on a GPU by its memory bandwidth alone."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PixelNormalization(nn.Module):
    """Subtracts a mean and divides by a deviation.

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
        """uint8 (..., 3, H, W) to fp32 of the same shape."""
        # the reader's memory layout, planar or not, must not choose the kernels that follow
        return (pixels.to(torch.float32, memory_format=torch.contiguous_format) / 255 - self._mean) / self._std


class PatchConvolution(nn.Conv2d):
    """A convolution whose windows don't overlap, which on a GPU is one matrix product.

    cuDNN takes ten times as long for that of ViT-B/16 in bf16: a tenth of an evaluation. On a CPU it stays what it is.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(F, 3, H, W) to (F, D, H / P, W / P)."""
        output: Tensor = self.as_product(input) if input.is_cuda else super().forward(input)
        return output

    def as_product(self, input: Tensor) -> Tensor:
        """The same as a product of all patches with all filters."""
        height, width = self.kernel_size
        rows, columns = input.shape[-2] // height, input.shape[-1] // width
        patches = input[..., : rows * height, : columns * width].unflatten(-1, (columns, width))
        patches = patches.unflatten(2, (rows, height)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        embedded = F.linear(patches, self.weight.flatten(1), self.bias)
        output: Tensor = embedded.mT.unflatten(-1, (rows, columns))
        return output


def as_patch_convolution(convolution: nn.Conv2d) -> PatchConvolution:
    """The same convolution with the same weights.

    Raises:
        ValueError: If its windows overlap, or there are gaps or padding.
    """
    settings = convolution.stride, convolution.padding, convolution.dilation, convolution.groups
    size = convolution.kernel_size
    if settings not in ((size, (0, 0), (1, 1), 1), (size, "valid", (1, 1), 1)):
        raise ValueError(f"{convolution} does not cut its input into patches")
    converted = PatchConvolution(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type] # a pair, for two dimensions
        convolution.stride,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
        device="meta",
    )
    converted.weight, converted.bias = convolution.weight, convolution.bias
    return converted
