"""Learned context vectors before each class name, of its own for every class or shared by all."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import torch
from torch import Tensor, nn

from ost_lightning.characters import escaped
from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.models.checkpoints.class_names import class_names_as_tensor, class_names_in
from ost_lightning.models.encoders.promptable import TowerShape
from ost_lightning.models.prompts.base import TextPrompts
from ost_lightning.text import LabelSpace
from ost_lightning.vocabulary import counted

_STD: Final = 0.02
_CLASSES: Final = "classes"
_PLAIN: Final = "These are scored by sentences without contexts."


class ClassContexts(TextPrompts):
    """Learned vectors before each sentence: start, contexts, sentence, end (CoOp; Zhou et al., IJCV 2022).

    With `class_specific`, each training class has contexts of its own. They belong to the label space, not to names:
    another label space that has a class of the same name doesn't get its contexts. A label space with the same classes
    in another order is the same one. The classes are saved with the weights.

    Args:
        contexts_per_class: Number of vectors before each sentence, M.
        class_specific: Whether each class has its own contexts; otherwise all classes share them, new ones included.
        other_classes: Treatment of a label space other than the trained one: `refuse`, or `plain` for sentences
            without contexts in the pre-trained text tower, which is all that class-specific contexts leave for
            zero-shot recognition.

    Raises:
        UserError: If there is no vector, or no position is left for a sentence.
    """

    def __init__(
        self,
        shape: TowerShape,
        contexts_per_class: int = 16,
        class_specific: bool = True,
        other_classes: Literal["refuse", "plain"] = "refuse",
    ) -> None:
        super().__init__(shape, contexts_per_class)
        self.contexts_per_class, self.class_specific = contexts_per_class, class_specific
        self.other_classes = other_classes
        # drawn now, so that contexts don't depend on what is random between now and the training
        self._seed = int(torch.randint(2**31, ()))
        self.contexts = nn.Parameter(self._new(0 if class_specific else 1, shape.width))
        self.classes: Tensor  # the names as JSON in UTF-8, so that they are saved wherever the weights are
        self.register_buffer(_CLASSES, torch.empty(0, dtype=torch.uint8))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes that the contexts belong to; empty before training, or if all classes share them."""
        return class_names_in(self.classes)

    def forward(self, embedded: Tensor, ends: Tensor, rows: Tensor) -> Tensor:
        """Maps (n, L, W) to (n, M + L, W), with the contexts of the given rows behind the start token."""
        contexts = self.contexts[rows].to(embedded.dtype)
        return torch.cat([embedded[:, :1], contexts, embedded[:, 1:]], dim=1)

    def rows_of(self, labels: LabelSpace | None, number: int) -> list[int] | None:
        """Returns the row of each class's contexts; None for a label space that gets sentences without contexts."""
        if not self.class_specific:
            return super().rows_of(labels, number)
        names, asked = self.names, () if labels is None else labels.names
        if names and sorted(names) == sorted(asked):
            row = {name: index for index, name in enumerate(names)}
            return [row[name] for name in asked]
        if self.other_classes == "plain":
            warnings.warn(f"{_foreign(names, labels)} {_PLAIN}", stacklevel=4)
            return None
        if not names:
            raise UserError(
                "video_clip.text_prompts are contexts of single classes, but no classes have been set: train them with "
                "`ost fit`, or call `video_clip.set_training_classes(labels)` before Trainer.fit."
            )
        raise UserError(
            f"{_foreign(names, labels)} To score them by sentences without contexts, set "
            "video_clip.text_prompts.other_classes to plain."
        )

    def remark_on(self, labels: LabelSpace) -> str | None:
        """Returns a sentence on scores of other classes than the trained ones, if they are scored."""
        if not self.class_specific or sorted(self.names) == sorted(labels.names) or self.other_classes != "plain":
            return None
        return f"{_foreign(self.names, labels)} {_PLAIN}"

    def set_classes(self, labels: LabelSpace) -> None:
        """Makes contexts for the training classes, unless there are some for them already."""
        if not self.class_specific or (self.names and sorted(self.names) == sorted(labels.names)):
            return
        if self.names:
            raise UserError(
                f"{_foreign(self.names, labels)} Contexts can't be trained for other classes: begin without them, or "
                "train on the classes that they are for."
            )
        self._resize(labels.names, self._new(len(labels), self.contexts.shape[-1]))

    def take_classes(self, weights: Mapping[str, Tensor]) -> None:
        """Makes room for the contexts of the classes in weights that are about to be loaded."""
        try:
            found = class_names_in(weights.get(_CLASSES))
        except ValueError as error:
            raise CheckpointError(f"The class names of the learned contexts are damaged ({error}).") from error
        if not self.class_specific or not found or found == self.names:
            return
        if self.names and sorted(self.names) != sorted(found):
            raise CheckpointError(
                f"{_foreign(found, LabelSpace(self.names, origin='of this run'))} Use the classes of the training."
            )
        self._resize(found, self.contexts.detach() if self.names else self._new(len(found), self.contexts.shape[-1]))

    def _new(self, classes: int, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed)
        return _STD * torch.randn(classes, self.contexts_per_class, width, generator=generator)

    def _resize(self, classes: Sequence[str], contexts: Tensor) -> None:
        self.classes = class_names_as_tensor(classes).to(self.contexts.device)
        if len(contexts) != len(self.contexts):
            self.contexts = nn.Parameter(contexts.to(self.contexts.device), requires_grad=self.contexts.requires_grad)


def _foreign(trained: Sequence[str], asked: LabelSpace | None) -> str:
    """Returns a sentence on sentences whose classes are not the trained ones."""
    own = f"The learned contexts belong to {counted(len(trained), 'class', 'classes')}"
    if asked is None:
        return f"{own}, but the sentences are of no label space."
    new = next((name for name in asked.names if name not in set(trained)), None)
    found = f"only {len(asked)} of them" if new is None else f"others, such as '{escaped(new)}'"
    return f"{own}, but the label space {asked.origin} has {found}."
