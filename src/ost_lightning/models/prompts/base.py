"""Learned vectors that join the tokens of a frozen tower, outside the encoder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from ost_lightning.errors import UserError
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.text import LabelSpace

_NOT_PROMPTS = 3  # start token, end token and at least one token of the sentence


class TextPrompts(nn.Module, ABC):
    """Learned vectors that stand beside the tokens of each sentence.

    Attributes:
        count: Number of vectors per sentence, which take as many of the text tower's positions.

    Args:
        shape: Sizes of the text tower, filled in by `PromptedVideoCLIP`.
        count: Number of vectors per sentence.

    Raises:
        UserError: If there is no vector, or no position is left for a sentence.
    """

    def __init__(self, shape: TowerShape, count: int) -> None:
        super().__init__()
        self.count = count
        if not 1 <= count <= shape.positions - _NOT_PROMPTS:
            raise UserError(
                f"video_clip.text_prompts has {count} vectors per sentence, but the text tower has {shape.positions} "
                f"positions, of which a sentence needs {_NOT_PROMPTS}: choose 1 to {shape.positions - _NOT_PROMPTS}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes that the vectors belong to; empty if they belong to none in particular."""
        return ()

    @abstractmethod
    def forward(self, embedded: Tensor, ends: Tensor, rows: Tensor) -> Tensor:
        """Inserts the vectors into sentences; every end token moves back by `count` positions.

        Args:
            embedded: Token embeddings of the sentences, (n, L, W).
            ends: Position of each sentence's end token, int64 (n,).
            rows: Row of the learned vectors that each sentence gets, int64 (n,); see `rows_of`.

        Returns:
            (n, L + count, W).
        """

    def rows_of(self, labels: LabelSpace | None, number: int) -> list[int] | None:
        """Returns the row of the learned vectors of each class; None for sentences without learned vectors.

        Args:
            labels: Label space that the sentences are of; None if they are of none.
            number: K, number of classes.

        Raises:
            UserError: If the vectors belong to other classes.
        """
        return [0] * number

    def remark_on(self, labels: LabelSpace) -> str | None:
        """Returns a sentence on scores of a label space that gets sentences without learned vectors; else None."""
        return None

    def set_classes(self, labels: LabelSpace) -> None:
        """Makes vectors for the training classes, if each class has its own.

        Raises:
            UserError: If there are vectors for other classes.
        """

    def take_classes(self, weights: Mapping[str, Tensor]) -> None:
        """Makes room for the vectors of the classes in weights that are about to be loaded.

        Args:
            weights: Name to weight of prompts that were saved, under the names of `state_dict`.

        Raises:
            CheckpointError: If these and the current vectors belong to different classes.
        """


class VisionPrompts(nn.Module, ABC):
    """Learned vectors that join the tokens of every layer of the vision tower; a `TokenPrompter`.

    Attributes:
        frames: T, number of frames per clip that the vectors are for.

    Args:
        shape: Sizes of the vision tower, filled in by `PromptedVideoCLIP`.
        frames: T, number of frames per clip.

    Raises:
        UserError: If there is no frame.
    """

    def __init__(self, shape: TowerShape, frames: int) -> None:
        super().__init__()
        self.frames = frames
        if frames < 1:
            raise UserError(f"video_clip.vision_prompts.frames is {frames}: expected at least 1.")

    @abstractmethod
    def check_frames(self, frames: int) -> None:
        """Checks a number of frames per clip.

        Raises:
            UserError: If the architecture does not allow it.
        """

    @abstractmethod
    def place(self, tokens: Tensor, frames: int) -> Tensor:
        """Changes the embedded tokens (B T, L, D) of all frames before the first layer norm."""

    @abstractmethod
    def prompts(self, layer: int, class_tokens: Tensor) -> Tensor:
        """Returns the vectors (B T, n, D) that join the tokens of a layer, from its class tokens (B T, D)."""
