"""The likeliest classes of a video."""

from typing import Final, NamedTuple

from ost_lightning.evaluation.batches import ScoredBatch
from ost_lightning.video import UNLABELED
from ost_lightning.vocabulary import AS_TRAINED

SHOWN_CLASSES: Final = 5
"""Number of classes that a prediction names, or all where there are fewer."""


class Prediction(NamedTuple):
    """What was recognized in one video or part of a video.

    Attributes:
        id: Id of the video's record.
        set: Name of the evaluation set that the video belongs to.
        start: Start of the part, in seconds from the video's beginning; None for the whole video.
        end: End of the part in seconds; None for the video's end.
        label: Name of the labeled class; empty without a label.
        classes: Names of the likeliest classes, the likeliest first.
        probabilities: Probability of each of these classes.
        error: Reason why the video could not be read; empty if it was read.
    """

    id: str
    set: str
    start: float | None
    end: float | None
    label: str
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    error: str = ""


def predictions(scored: ScoredBatch, scorer: str = AS_TRAINED) -> list[Prediction]:
    """One prediction per video of a batch, in its order.

    Args:
        scored: The batch.
        scorer: Name of the scorer whose probabilities count.
    """
    videos, names = scored.videos, scored.set.labels.names
    shares = scored.probabilities[scorer]
    best = shares.topk(min(SHOWN_CLASSES, shares.shape[1]), dim=1)
    guesses = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    failures = iter(videos.failures)
    found = []
    # matched by their order, since ids may be equal
    for id_, (start, end), label, decoded in zip(
        videos.ids, videos.spans, videos.labels.tolist(), videos.decoded.tolist(), strict=True
    ):
        video = Prediction(id_, scored.set.name, start, end, "" if label == UNLABELED else names[label])
        if decoded:
            values, places = next(guesses)
            found.append(video._replace(classes=tuple(names[k] for k in places), probabilities=tuple(values)))
        else:
            found.append(video._replace(error=next(failures).reason))
    return found
