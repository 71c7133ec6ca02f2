"""Conformal label sets: classes that a video may show, with a promised coverage, and "none of these".

Split conformal prediction (Vovk et al. 2005). If the labeled videos and a new one are exchangeable, the set of a new
video contains its true class with probability 1 - alpha or more, whatever the model. Nothing is promised for a single
class or video, for other cameras or data sets, or if the classes are distributed differently.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.files import write_text_atomically

Nonconformity = Literal["similarity", "probability", "cumulative"]
"""What makes a class not fit a video, see `ConformalCalibrator`."""


@dataclass(frozen=True)
class Calibration:
    """Sorted nonconformity scores of labeled videos, from which label sets follow for every alpha.

    Attributes:
        nonconformity: Score that the sets are based on.
        positives: Nonconformity of the true class of each labeled video, ascending, fp64 (n,).
        negatives: Highest similarity of any class to each video that shows none of them, ascending, fp64 (m,); empty
            without such videos.
        conditions: Digest of what the scores depend on besides the video; see `Recognizer.conditions`.
    """

    nonconformity: Nonconformity
    positives: Tensor
    negatives: Tensor
    conditions: str = ""

    def __repr__(self) -> str:
        return f"Calibration({self.nonconformity!r}, {len(self.positives)} labeled, {len(self.negatives)} of none)"

    @property
    def digest(self) -> str:
        """Digest of the calibration, 16 hexadecimal digits."""
        return blake2b(json.dumps(self._content(), sort_keys=True).encode(), digest_size=8).hexdigest()

    def _content(self) -> dict[str, object]:
        return {**vars(self), "positives": self.positives.tolist(), "negatives": self.negatives.tolist()}

    def save(self, file: Path) -> None:
        """Writes the calibration as a JSON file."""
        write_text_atomically(file, json.dumps(self._content(), indent=2) + "\n")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads a file that `save` wrote.

        Raises:
            UserError: If the file does not exist, or is not a calibration.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            positives, negatives = (torch.tensor(content[k], dtype=torch.float64) for k in ("positives", "negatives"))
            kind = ConformalCalibrator(content["nonconformity"]).nonconformity
            return cls(kind, positives, negatives, str(content["conditions"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{file} is not a calibration ({error}): expected a file that `save` wrote.") from error

    def threshold(self, alpha: float) -> float:
        """Returns the largest nonconformity of a class in the set.

        Args:
            alpha: Risk that a set misses the true class, between 0 and 1.

        Returns:
            The k-th smallest score, k = ceil((n + 1)(1 - alpha)); infinity if there are fewer than k labeled videos,
            so that every set holds all classes.

        Raises:
            UserError: If alpha is not between 0 and 1.
        """
        rank = _rank(len(self.positives), alpha)
        return math.inf if rank > len(self.positives) else float(self.positives[rank - 1])

    def sets(self, scores: Tensor, alpha: float, draws: Tensor | None = None) -> Tensor:
        """Returns the classes in the label set of each video.

        Args:
            scores: Similarities (B, K) for `similarity`, otherwise probabilities (B, K).
            alpha: Risk that a set misses the true class, between 0 and 1.
            draws: Uniform random numbers (B,) for `cumulative`; 1 for each video if missing, which enlarges the sets.

        Returns:
            bool (B, K); rows without any class mean "none of these".

        Raises:
            UserError: If alpha is not between 0 and 1, or a score is not finite.
        """
        return nonconformity(scores, self.nonconformity, draws) <= self.threshold(alpha)

    def p_values(self, scores: Tensor, draws: Tensor | None = None) -> Tensor:
        """Returns the share of labeled videos, and the video itself, that fit their class no better, per class.

        A class is in the set of `alpha` if its p-value is above alpha.

        Args:
            scores: Similarities (B, K) for `similarity`, otherwise probabilities (B, K).
            draws: Uniform random numbers (B,) for `cumulative`; 1 for each video if missing.

        Returns:
            fp64 (B, K), above 0, up to 1.

        Raises:
            UserError: If a score is not finite.
        """
        found = nonconformity(scores, self.nonconformity, draws)
        # a tie counts as fitting no better, hence the first position at which the score could be inserted
        as_bad = len(self.positives) - torch.searchsorted(self.positives, found.contiguous(), right=False)
        return (1 + as_bad).double() / (len(self.positives) + 1)

    def background_p_values(self, similarities: Tensor) -> Tensor:
        """Returns how plausible each video is as one that shows none of the classes.

        "Some class is shown" is claimed wrongly with probability beta or less, for videos like the negative ones, if
        it is claimed only where this value is at most beta.

        Args:
            similarities: Similarities (B, K).

        Returns:
            fp64 (B,), above 0, up to 1.

        Raises:
            UserError: If there are no negative videos, or a similarity is not finite.
        """
        if not len(self.negatives):
            raise UserError("The calibration has no videos that show none of the classes: add some as `none`.")
        best = _finite(similarities).amax(1)
        as_high = len(self.negatives) - torch.searchsorted(self.negatives, best.contiguous(), right=False)
        return (1 + as_high).double() / (len(self.negatives) + 1)

    def of_video(self, probabilities: Tensor, similarities: Tensor) -> tuple[Tensor, float | None]:
        """Returns the p-values of one video.

        Args:
            probabilities: Probabilities (K,).
            similarities: Similarities (K,).

        Returns:
            P-value of each class, fp64 (K,), and of none of them; None in place of that without negative videos.

        Raises:
            UserError: If a score is not finite.
        """
        scores = similarities if self.nonconformity == "similarity" else probabilities
        none = float(self.background_p_values(similarities[None])) if len(self.negatives) else None
        return self.p_values(scores[None])[0], none

    def deviation(self, alpha: float) -> float:
        """Returns the standard deviation of the coverage over draws of as many labeled videos.

        The coverage of one calibration is a draw from a beta distribution (Vovk 2012). With 100 labeled videos and
        alpha 0.1 it deviates by 0.03 from its mean.

        Args:
            alpha: Risk that a set misses the true class, between 0 and 1.

        Raises:
            UserError: If alpha is not between 0 and 1.
        """
        count = len(self.positives)
        missed = count + 1 - _rank(count, alpha)
        if missed < 1:
            return 0.0
        covered = count + 1 - missed
        return math.sqrt(covered * missed / ((count + 1) ** 2 * (count + 2)))


class ConformalCalibrator:
    """Computes calibrations from the scores of labeled videos.

    Args:
        nonconformity: What makes a class not fit a video. `similarity`: a low similarity, independent of the other
            classes; the best one for "none of these". `probability`: a low probability (LAC; Sadinle et al. 2019);
            small sets. `cumulative`: a high total probability of more likely classes (APS; Romano et al. 2020); sets
            adapt to difficult videos.

    Raises:
        UserError: If there is no such score.

    Examples:
        Ten labeled videos of two classes; the set of a new video, with a risk of 10 %.

        >>> similarities = torch.tensor([[0.30, 0.10]] * 10) - 0.01 * torch.arange(10)[:, None]
        >>> calibration = ConformalCalibrator("similarity").fit(similarities, torch.zeros(10, dtype=torch.long))
        >>> calibration.sets(torch.tensor([[0.25, 0.12], [0.11, 0.15]]), alpha=0.1)
        tensor([[ True, False],
                [False, False]])
    """

    def __init__(self, nonconformity: Nonconformity = "similarity") -> None:
        if nonconformity not in get_args(Nonconformity):
            raise UserError(
                f"There is no nonconformity {nonconformity!r}: choose one of {', '.join(get_args(Nonconformity))}."
            )
        self.nonconformity: Nonconformity = nonconformity

    def fit(
        self,
        scores: Tensor,
        labels: Tensor | Sequence[int],
        negatives: Tensor | None = None,
        draws: Tensor | None = None,
    ) -> Calibration:
        """Computes a calibration.

        Args:
            scores: Similarities (n, K) for `similarity`, otherwise probabilities (n, K), of labeled videos that nothing
                else was chosen with.
            labels: Index of the true class of each video, int64 (n,).
            negatives: Similarities (m, K) of videos that show none of the classes.
            draws: Uniform random numbers (n,) for `cumulative`; 1 for each video if missing.

        Raises:
            UserError: If there is no labeled video, a label is outside the classes, or a score is not finite.
        """
        labels = torch.as_tensor(labels, dtype=torch.int64)
        if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
            raise UserError(
                f"Calibration takes one row of scores and one label per video, at least one: found scores of shape "
                f"{tuple(scores.shape)} and labels of shape {tuple(labels.shape)}."
            )
        if int(labels.min()) < 0 or int(labels.max()) >= scores.shape[1]:
            raise UserError(
                f"Calibration labels have to be from 0 to {scores.shape[1] - 1}, but are from {int(labels.min())} to "
                f"{int(labels.max())}."
            )
        found = nonconformity(scores, self.nonconformity, draws)
        positives = found.gather(1, labels[:, None]).flatten().sort().values
        none = torch.empty(0, dtype=torch.float64) if negatives is None else _finite(negatives).amax(1).sort().values
        return Calibration(self.nonconformity, positives, none)


def nonconformity(scores: Tensor, kind: Nonconformity, draws: Tensor | None = None) -> Tensor:
    """Returns how badly each class fits each video; higher fits worse.

    Args:
        scores: Similarities (B, K) for `similarity`, otherwise probabilities (B, K).
        kind: Kind of score.
        draws: Uniform random numbers (B,) for `cumulative`; 1 for each video if missing.

    Returns:
        fp64 (B, K).

    Raises:
        UserError: If a score is not finite.
    """
    exact = _finite(scores)
    if kind != "cumulative":
        return -exact if kind == "similarity" else 1 - exact
    # ties in probability are broken by the order of classes, in calibration and use alike
    ordered, order = exact.sort(dim=1, descending=True, stable=True)
    own = torch.ones(len(exact), dtype=torch.float64) if draws is None else draws.double()
    cumulative = ordered.cumsum(1) - ordered + own[:, None] * ordered
    return torch.empty_like(exact).scatter_(1, order, cumulative)


def smallest_calibration(alpha: float) -> int:
    """Returns the number of labeled videos from which sets can exclude classes at all.

    Args:
        alpha: Risk that a set misses the true class, between 0 and 1.

    Raises:
        UserError: If alpha is not between 0 and 1.
    """
    return math.ceil(1 / _risk(alpha)) - 1


def _risk(alpha: float) -> Fraction:
    if not 0 < alpha < 1:
        raise UserError(f"The risk alpha has to be between 0 and 1, for example 0.1, but is {alpha}.")
    # the decimal that was written, not its nearest binary fraction: 10 x 0.9 is 9
    return Fraction(str(alpha))


def _rank(count: int, alpha: float) -> int:
    return math.ceil((count + 1) * (1 - _risk(alpha)))


def _finite(scores: Tensor) -> Tensor:
    exact = scores.detach().double().cpu()
    if not bool(exact.isfinite().all()):
        raise UserError("Scores for conformal sets have to be finite, but some are not: check the weights for NaN.")
    return exact
