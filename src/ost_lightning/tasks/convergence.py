"""Counts of transport problems that were not solved, in a log and in one warning per stage."""

import warnings

from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.matching import Matcher, TransportWarning


class ConvergenceReport:
    """Counts the unsolved problems of a matcher, those of a validation apart from those of the training around it.

    Args:
        matcher: Mechanism whose problems are counted.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._in_training = 0

    def begin_evaluation(self) -> None:
        """Sets aside the problems of the training that an evaluation interrupts."""
        self._in_training += self._since_last_call() or 0

    def end_evaluation(self, stage: str) -> None:
        """Reports the problems of an evaluation.

        Args:
            stage: Name of the stage for messages, as `validation`.
        """
        _report(stage, self._since_last_call() or 0)

    def end_training_epoch(self) -> int | None:
        """Reports and returns the problems of a training epoch; None if the matcher solves nothing."""
        count = self._since_last_call()
        if count is None:
            return None
        count += self._in_training
        self._in_training = 0
        _report("training", count)
        return count

    def _since_last_call(self) -> int | None:
        count = self._matcher.unconverged()
        return None if count is None else int(count)


def _report(stage: str, count: int) -> None:
    if not count:
        return
    rank_zero_info(f"{stage}: {count} transport problems on this process have not converged")
    # the same words each time, so that Python's filter lets them through once
    warnings.warn(
        f"Transport problems of the {stage} have not converged: raise the matcher's max_iterations, epsilon or "
        "tolerance.",
        TransportWarning,
        stacklevel=3,
    )
