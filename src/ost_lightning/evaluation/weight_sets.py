"""Sets of weights that one evaluation scores: the model's own, mixtures with the original weights, and averages."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ost_lightning.models import (
    VideoCLIP,
    ensemble_weights,
    exchanged_weights,
    frame_fingerprint,
    mixture_fingerprint,
)
from ost_lightning.vocabulary import AS_TRAINED


def mixture_name(ratio: float) -> str:
    """Returns the name of a mixture of weights in metrics and results.

    Args:
        ratio: Share of the original weights, 0 to 1.
    """
    return f"ensembled_{ratio:g}"


class WeightSets:
    """Sets of weights of a model by name: `AS_TRAINED` for its own, and the mixtures and averages that were added.

    They remain on the model's device until they are removed.

    Args:
        video_clip: Model with its own weights.
    """

    def __init__(self, video_clip: VideoCLIP) -> None:
        self._video_clip = video_clip
        self._ratios: dict[str, float] = {AS_TRAINED: 0.0}
        self._mixtures: dict[str, Mapping[str, Tensor]] = {}
        self._averages: dict[str, Mapping[str, Tensor]] = {}
        self._untuned = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all sets of weights, the model's own first."""
        return (*self._ratios, *self._averages)

    def add_mixtures(self, ratios: Iterable[float]) -> dict[float, str]:
        """Mixes the current weights with the original ones.

        Args:
            ratios: Shares of the original weights, 0 to 1.

        Returns:
            Name of each mixture, by its ratio.

        Raises:
            ValueError: If a mixture with the same ratio already exists, or a ratio is out of range.
        """
        names = {ratio: mixture_name(ratio) for ratio in ratios}
        for ratio, name in names.items():
            if name in self._ratios:
                raise ValueError(f"a mixture with ratio {ratio:g} of the original weights already exists")
        if not names:
            return names
        tuned, original = dict(self._video_clip.named_parameters()), self._video_clip.original_parameters()
        self._untuned = _equal(tuned, original)
        for ratio, name in names.items():
            self._mixtures[name] = ensemble_weights(original, tuned, ratio)
            self._ratios[name] = ratio
        return names

    def add_average(self, name: str, weights: Mapping[str, Tensor]) -> None:
        """Adds weights that training averaged.

        Args:
            name: Name in metrics and results.
            weights: Name to weight of every parameter of the model, on any device.

        Raises:
            ValueError: If there is a set of that name, or a weight is missing or has another shape.
        """
        if name in self.names:
            raise ValueError(f"a set of weights named {name} already exists")
        current = dict(self._video_clip.named_parameters())
        if wrong := [key for key, own in current.items() if key not in weights or weights[key].shape != own.shape]:
            raise ValueError(
                f"the average is not one of this model's weights: {wrong[0]} is missing or differs in shape"
            )
        self._averages[name] = {key: weights[key].to(own.device, own.dtype) for key, own in current.items()}

    def remove(self, names: Iterable[str]) -> None:
        """Frees mixtures and averages; unknown names are ignored."""
        for name in names:
            self._mixtures.pop(name, None)
            self._averages.pop(name, None)
            if name != AS_TRAINED:
                self._ratios.pop(name, None)

    def equivalent(self, name: str) -> str:
        """Returns a set of weights with the same embeddings: `AS_TRAINED` for a mixture of equal weights."""
        return AS_TRAINED if self._untuned and name in self._mixtures else name

    @property
    def untuned(self) -> bool:
        """Whether the model has its original weights; this is known, and can be true, only once a mixture was added."""
        return self._untuned and bool(self._mixtures)

    def are_original(self) -> bool:
        """Returns whether the model has its original weights, which are read from disk."""
        return _equal(dict(self._video_clip.named_parameters()), self._video_clip.original_parameters())

    @contextmanager
    def with_weights(self, name: str) -> Iterator[None]:
        """Gives the model one set of weights inside a `with` block.

        Args:
            name: Name of the set of weights.
        """
        if name == AS_TRAINED:
            yield
            return
        # autocast caches 16-bit copies of parameters, and doesn't notice that their values were exchanged
        torch.clear_autocast_cache()
        try:
            weights = self._averages[name] if name in self._averages else self._mixtures[name]
            with exchanged_weights(self._video_clip, weights):
                yield
        finally:
            torch.clear_autocast_cache()

    def fingerprints(self, arithmetic: str) -> dict[str, str]:
        """Returns, for each set of weights, the fingerprint of everything that turns pixels into frame embeddings.

        Args:
            arithmetic: Device type and precision of the run.
        """
        tuned = frame_fingerprint(self._video_clip, arithmetic)
        averaged = {}
        for name, weights in self._averages.items():
            with exchanged_weights(self._video_clip, weights):
                averaged[name] = frame_fingerprint(self._video_clip, arithmetic)
        if not any(self._ratios.values()):
            return dict.fromkeys(self._ratios, tuned) | averaged
        types = {name: parameter.dtype for name, parameter in self._video_clip.named_parameters()}
        before = {name: weight.to(types[name]) for name, weight in self._video_clip.original_parameters().items()}
        with exchanged_weights(self._video_clip, before):
            original = frame_fingerprint(self._video_clip, arithmetic)
        mixtures = {name: mixture_fingerprint(original, tuned, ratio) for name, ratio in self._ratios.items()}
        return mixtures | averaged


def _equal(current: Mapping[str, Tensor], original: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(weight.detach().cpu(), original[name]) for name, weight in current.items())
