"""The interface between a task and loss terms beside its own."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, VideoCLIP

REGULARIZER_STATES: Final = "ost_regularizers"
"""Key of a checkpoint that holds what a resumed training needs besides weights."""

_PREFIX: Final = "regularizers."
"""Prefix of the regularizers' weights in a task's `state_dict`."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingStep:
    """What a task computed its loss of one micro-batch from.

    Attributes:
        video_clip: Model that is trained.
        clips: Clips of this process, uint8 (b, T, 3, S, S), in as many parts as are encoded one by one; mixed if the
            task mixes.
        frames: Embeddings of all B clips, (B, T, d), or (B, 1, d) if a head pools.
        texts: Embeddings of the classes that they are compared with, kind -> (K, N, d).
        encode_texts: Function that embeds the same sentences with another model.
        loss: Function that computes the task's own loss again, with the current weights of `video_clip`.
        number: Number of completed optimizer steps.
        part: Index of the micro-batch within its optimizer step.
    """

    video_clip: VideoCLIP
    clips: Sequence[Tensor]
    frames: FrameEmbeddings
    texts: DescriptorEmbeddings
    encode_texts: Callable[[VideoCLIP], DescriptorEmbeddings]
    loss: Callable[[], Tensor]
    number: int = 0
    part: int = 0


class Regularizer(nn.Module, ABC):
    """A loss term beside the own loss of any task.

    Its trained weights are in checkpoints, but in no exported folder and no mixture of weights.

    Attributes:
        name: Name of the term in logs, after `train/`.

    Args:
        weight: Factor of the term in the sum of all losses.
        seed: Seed for random numbers, which also depend on the step, so that a resumed run draws the same ones; None
            follows `seed_everything`.

    Raises:
        UserError: If the weight is negative.
    """

    name: ClassVar[str]

    def __init__(self, weight: float, seed: int | None = None) -> None:
        super().__init__()
        if weight < 0:
            raise UserError(f"The weight of {type(self).__name__} is {weight}: expected at least 0.")
        self.weight, self.seed = weight, seed

    @abstractmethod
    def forward(self, step: TrainingStep) -> Tensor:
        """Returns the term of one micro-batch, a scalar, without its factor."""

    def build(self, video_clip: VideoCLIP) -> None:
        """Creates the term's own weights, for a model whose own weights are not final yet.

        Raises:
            UserError: If the term has no meaning for the model.
        """

    def prepare(self, video_clip: VideoCLIP, whole_steps: bool) -> None:
        """Takes what it needs from the weights that a training starts with.

        Args:
            video_clip: Model that is trained.
            whole_steps: Whether a training step consists of several micro-batches.

        Raises:
            UserError: If the term can't be computed in such a training.
        """

    def release(self) -> None:
        """Frees what only a training needs."""

    def project(self, embedded: Tensor) -> Tensor:
        """Changes embeddings (B, T, d) of a training before they are normalized; evaluations are not affected."""
        return embedded

    def training_state(self) -> dict[str, Any]:
        """Returns what a resumed training needs besides weights."""
        return {}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continues with the state of a checkpoint."""

    def generator(self, *position: int) -> torch.Generator:
        """Returns a generator of the host that depends on the seed and a position, such as rank and step."""
        seed = self.seed if self.seed is not None else int(os.environ.get("PL_GLOBAL_SEED", "0"))
        digest = blake2b(repr((self.name, seed, *position)).encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest) >> 1)


class Regularizers(nn.ModuleList):
    """All loss terms of a task beside its own.

    Args:
        terms: The terms.
        video_clip: Model that is trained.

    Raises:
        UserError: If a term occurs twice, or has no meaning for the model.
    """

    def __init__(self, terms: Iterable[Regularizer], video_clip: VideoCLIP) -> None:
        super().__init__(terms)
        self._number, self._part = -1, 0
        names = [type(term).__name__ for term in self.terms]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"model.regularizers contains {min(twice)} twice: remove one of them.")
        for term in self.terms:
            term.build(video_clip)

    @property
    def terms(self) -> Sequence[Regularizer]:
        """The terms, in order."""
        return [term for term in self if isinstance(term, Regularizer)]

    def project(self, embedded: Tensor) -> Tensor:
        """Changes embeddings (B, T, d) of a training before they are normalized."""
        for term in self.terms:
            embedded = term.project(embedded)
        return embedded

    def values(self, step: TrainingStep, number: int) -> Iterator[tuple[Regularizer, Tensor]]:
        """Yields each term with its value for a micro-batch, a scalar without its factor.

        Args:
            step: What the task computed its loss from.
            number: Number of completed optimizer steps.
        """
        self._part = self._part + 1 if number == self._number else 0
        self._number = number
        for term in self.terms:
            yield term, term(replace(step, number=number, part=self._part))

    def prepare(self, video_clip: VideoCLIP, whole_steps: bool) -> None:
        """Prepares all terms for a training."""
        self._number = -1
        for term in self.terms:
            term.prepare(video_clip, whole_steps)

    def release(self) -> None:
        """Frees what only a training needs."""
        for term in self.terms:
            term.release()

    def save_to(self, checkpoint: dict[str, Any]) -> None:
        """Adds to a checkpoint what a resumed training needs besides weights."""
        if states := {type(term).__name__: state for term in self.terms if (state := term.training_state())}:
            checkpoint[REGULARIZER_STATES] = states

    def load_from(self, checkpoint: Mapping[str, Any]) -> None:
        """Continues a training from a checkpoint.

        Raises:
            CheckpointError: If a term has a state, but the checkpoint has none for it.
        """
        states = checkpoint.get(REGULARIZER_STATES, {})
        for term in self.terms:
            name = type(term).__name__
            if term.training_state() and name not in states:
                raise CheckpointError(
                    f"The checkpoint has no state of {name}, because it was trained without it. Set model.regularizers "
                    "as in that training; or start a new training from its weights: --model.video_clip.init_from FILE "
                    "instead of --ckpt_path."
                )
            if name in states:
                term.load_training_state(states[name])


def without_regularizers(weights: Mapping[str, Tensor], own: Regularizers | None = None) -> dict[str, Tensor]:
    """Returns a task's weights without those of regularizers, or with other ones in their place.

    An evaluation uses none of them, so that it may have other regularizers than the training had.

    Args:
        weights: Name to weight of a checkpoint, under the names of the task's `state_dict`.
        own: Regularizers whose weights replace the checkpoint's; None for none.
    """
    kept = {name: weight for name, weight in weights.items() if not name.startswith(_PREFIX)}
    others = own.state_dict() if own is not None else {}
    return kept | {f"{_PREFIX}{name}": weight for name, weight in others.items()}
