"""A residual projection that is trained and then dropped."""

from torch import Tensor, nn


class ResidualProjection(nn.Module):
    r"""A residual map of frames that takes up what is special to the training classes (TACO).

    .. math:: v + W_2 (W_1 v + b_1) + b_2

    There is no activation, so that the mean of projected frames is the projected mean. W_2 and b_2 start at zero: the
    projection begins as the identity.

    Args:
        width: d, the width of the embeddings.
        hidden: Width between the two maps; twice the width of the embeddings in the released code.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.uniform_(self.inner.weight, -(width**-0.5), width**-0.5)
        nn.init.uniform_(self.inner.bias, -(width**-0.5), width**-0.5)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, embedded: Tensor) -> Tensor:
        """Maps (..., d) to (..., d)."""
        projected: Tensor = embedded + self.outer(self.inner(embedded))
        return projected
