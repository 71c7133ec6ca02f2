"""The weights of an app: loaded once, shared by all sessions, which only read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from ost_lightning.models import CPUPrecision
from ost_lightning.recognition import Recognizer
from ost_lightning.resources import TINY_MODELS
from ost_lightning.text import LabelSpace

_PLACEHOLDER: Final = LabelSpace(("action",), origin="of the app")
"""Classes of recognizers before a person has chosen some."""


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Recognizers by the names of their weights.

    Attributes:
        recognizers: Recognizer for each name, in the order in which they are offered.
        labels: Classes that most sessions begin with; None for none.
    """

    recognizers: dict[str, Recognizer]
    labels: LabelSpace | None = None

    @classmethod
    def load(
        cls,
        weights: Sequence[str],
        device: str | None = None,
        labels: LabelSpace | None = None,
        cpu_precision: CPUPrecision = "fp32",
    ) -> Self:
        """Loads weights.

        Args:
            weights: Weights as for `Recognizer.load`.
            device: Device for computation; None for a GPU if available, otherwise the CPU.
            labels: Classes that most sessions begin with; their sentences are encoded once for all sessions.
            cpu_precision: Precision in which a CPU embeds frames.

        Raises:
            UserError: If weights don't exist or can't be used.
        """
        return cls(
            {name: Recognizer.load(name, _PLACEHOLDER, device, cpu_precision=cpu_precision) for name in weights}, labels
        )

    @property
    def names(self) -> list[str]:
        """Names of the weights."""
        return list(self.recognizers)

    def of(self, name: str) -> Recognizer:
        """Returns the recognizer of some weights; the first one for a name that is not offered."""
        return self.recognizers.get(name) or next(iter(self.recognizers.values()))

    def share(self, name: str, recognizer: Recognizer) -> None:
        """Lets other sessions use a recognizer for the classes that they begin with too."""
        if recognizer.labels is self.labels:
            self.recognizers[name] = recognizer

    def sentences_per_kind(self, name: str) -> int:
        """Returns the number of descriptors of each kind that a model needs."""
        return self.of(name).model.descriptors_per_class

    def knows_rendered_world_only(self, name: str) -> bool:
        """Returns whether answers about other videos mean nothing."""
        return name in TINY_MODELS
