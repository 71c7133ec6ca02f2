"""Predictions: the most likely classes of each video."""

from dataclasses import dataclass
from math import isfinite
from typing import Final, NamedTuple, Self

from torch import Tensor

from ost_lightning.errors import NON_FINITE_HINT, NonFiniteError
from ost_lightning.evaluation.batches import ScoredBatch
from ost_lightning.evaluation.sets import EvaluationSet
from ost_lightning.video import UNLABELED, ReadFailure
from ost_lightning.video.annotations import Span
from ost_lightning.vocabulary import AS_TRAINED

SHOWN_CLASSES: Final = 5
"""Largest number of classes in a prediction."""


class Prediction(NamedTuple):
    """The most likely classes of one video, or of one part of a video.

    Attributes:
        id: Id of the video's record.
        set: Name of the evaluation set that the video belongs to.
        start: Start of the part, in seconds from the video's beginning; None for the whole video.
        end: End of the part in seconds; None for the video's end.
        label: Name of the labeled class; empty without a label.
        classes: Names of the most likely classes, in decreasing order of probability.
        probabilities: Probability of each of these classes.
        error: Reason for which the video could not be read; empty if it was read.
        label_probability: Probability of the labeled class; None without a label, or if the video could not be read.
        path: Absolute path or URL of the video; empty if unknown.
    """

    id: str
    set: str
    start: float | None
    end: float | None
    label: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""
    label_probability: float | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PendingPredictions:
    """Predictions of one batch that are still on the device, so that collecting them doesn't wait for it.

    Attributes:
        set: Evaluation set of the videos.
        ids: Ids of the B videos.
        spans: Start and end of each video.
        labels: Labels, int64 (B,).
        decoded: Whether each video could be read, bool (B,), in host memory.
        failures: Failures of the unreadable videos, in order.
        probabilities: Highest probabilities of the B' readable videos, (B', k), in decreasing order.
        classes: Indices of their classes, int64 (B', k).
        label_probabilities: Probabilities of the labeled classes, (B',); meaningless for videos without a label.
    """

    set: EvaluationSet
    ids: tuple[str, ...]
    spans: tuple[Span, ...]
    labels: Tensor
    decoded: Tensor
    failures: tuple[ReadFailure, ...]
    probabilities: Tensor
    classes: Tensor
    label_probabilities: Tensor

    @classmethod
    def of(cls, scored: ScoredBatch, scorer: str = AS_TRAINED) -> Self:
        """Selects the most likely classes of a scored batch.

        Args:
            scored: Scored batch.
            scorer: Name of the scorer whose probabilities are used.
        """
        videos, probabilities = scored.videos, scored.probabilities[scorer]
        best = probabilities.topk(min(SHOWN_CLASSES, probabilities.shape[1]), dim=1)
        return cls(
            scored.set,
            videos.ids,
            videos.spans,
            videos.labels,
            videos.decoded,
            videos.failures,
            best.values,
            best.indices,
            probabilities_of(videos.readable_labels, probabilities),
        )

    def read(self) -> list[Prediction]:
        """Returns one prediction per video, in the same order; waits for the device.

        Raises:
            NonFiniteError: If the probabilities of a video are NaN.
        """
        names = self.set.labels.names
        top_classes = zip(
            self.probabilities.tolist(), self.classes.tolist(), self.label_probabilities.tolist(), strict=True
        )
        failures = iter(self.failures)
        found = []
        # matched by order, because ids may repeat
        for id_, (start, end), label, decoded in zip(
            self.ids, self.spans, self.labels.tolist(), self.decoded.tolist(), strict=True
        ):
            video = Prediction(id_, self.set.name, start, end, "" if label == UNLABELED else names[label])
            if decoded:
                values, indices, of_label = next(top_classes)
                if not all(map(isfinite, values)):  # NaN ranks first
                    raise NonFiniteError(
                        f"{id_}: its probabilities are not finite (NaN or infinity), so nothing is predicted. "
                        f"{NON_FINITE_HINT}"
                    )
                known = None if label == UNLABELED else of_label
                classes = tuple(names[k] for k in indices)
                found.append(video._replace(classes=classes, probabilities=tuple(values), label_probability=known))
            else:
                found.append(video._replace(error=next(failures).reason))
        return found


def predictions(scored: ScoredBatch, scorer: str = AS_TRAINED) -> list[Prediction]:
    """Returns one prediction per video of a batch, in the same order.

    Args:
        scored: Scored batch.
        scorer: Name of the scorer whose probabilities are used.

    Raises:
        NonFiniteError: If the probabilities of a video are NaN.
    """
    return PendingPredictions.of(scored, scorer).read()


def probabilities_of(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Returns the probability of each video's labeled class, (B,); that of the first class without a label.

    Args:
        labels: Labels, int64 (B,).
        probabilities: Probabilities of all classes, (B, K).
    """
    return probabilities.gather(1, labels.clamp(min=0)[:, None])[:, 0]


def prediction_columns() -> list[str]:
    """Returns the columns of `predictions.csv`."""
    likeliest = [column for k in range(1, SHOWN_CLASSES + 1) for column in (f"class_{k}", f"probability_{k}")]
    return ["video", "set", "start", "end", "label", "error", *likeliest, "label_probability", "path"]


def prediction_row(prediction: Prediction) -> list[str]:
    """Returns the fields of a prediction, one per column; unknown ones are empty."""
    start, end = ("" if time is None else f"{time}" for time in (prediction.start, prediction.end))
    guesses = zip(prediction.classes, prediction.probabilities, strict=True)
    likeliest = [field for name, share in guesses for field in (name, f"{share:.4f}")]
    missing = 2 * SHOWN_CLASSES - len(likeliest)
    about = [prediction.id, prediction.set, start, end, prediction.label, prediction.error]
    of_label = "" if prediction.label_probability is None else f"{prediction.label_probability:.4f}"
    return [*about, *likeliest, *[""] * missing, of_label, prediction.path]
