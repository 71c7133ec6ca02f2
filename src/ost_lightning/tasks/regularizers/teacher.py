"""A copy of a model that teaches it."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor

from ost_lightning.models import VideoCLIP


class Teacher:
    """A copy of the model with the weights that a training starts with, or a moving average of them.

    It is no module of the task, so that no optimizer, strategy or other callback sees its weights.

    Attributes:
        video_clip: The copy, in evaluation mode and without gradients.

    Args:
        student: Model that is trained, with its initial weights.
        momentum: Share of the teacher's weights that it keeps at each step, 0 to 1; 1 for a frozen teacher.
    """

    def __init__(self, student: VideoCLIP, momentum: float) -> None:
        self.momentum = momentum
        self.video_clip = deepcopy(student).requires_grad_(False).eval()

    @property
    def moves(self) -> bool:
        """Whether its weights change."""
        return self.momentum < 1

    @torch.no_grad()
    def follow(self, student: VideoCLIP) -> None:
        r"""Moves all weights towards the student's: :math:`\theta' \leftarrow m \theta' + (1 - m) \theta`."""
        if self.moves:
            own: list[Tensor] = list(self.video_clip.parameters())
            torch._foreach_lerp_(own, list[Tensor](student.parameters()), 1 - self.momentum)

    def weights(self) -> dict[str, Tensor]:
        """Returns its weights by name."""
        return {name: weight.detach() for name, weight in self.video_clip.named_parameters()}

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Replaces its weights."""
        for name, weight in self.video_clip.named_parameters():
            weight.copy_(weights[name])
