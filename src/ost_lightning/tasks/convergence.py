"""Reports transport problems that did not converge: counts in the log, and one warning per stage."""

import warnings

from lightning.pytorch.utilities import rank_zero_info

from ost_lightning.matching import Matcher, TransportWarning
from ost_lightning.vocabulary import counted


class ConvergenceReport:
    """Counts a matcher's problems that did not converge, separately for validation and the training it interrupts.

    Args:
        matcher: Matcher whose problems are counted.
    """

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._in_training = 0

    def begin_evaluation(self) -> None:
        """Saves the count of the training epoch that this evaluation interrupts."""
        self._in_training += self._since_last_call() or 0

    def end_evaluation(self, stage: str) -> None:
        """Reports the count of an evaluation.

        Args:
            stage: Name of the stage for messages, such as `validation`.
        """
        _report(stage, self._since_last_call() or 0)

    def end_training_epoch(self) -> int | None:
        """Reports and returns the count of a training epoch; None if the matcher solves no problems iteratively."""
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
    rank_zero_info(f"{stage}: {counted(count, 'transport problem')} not converged on this process")
    # identical text each time, so that Python's default filter shows the warning once
    warnings.warn(
        f"Transport problems of the {stage} have not converged: increase the matcher's max_iterations, epsilon or "
        "tolerance.",
        TransportWarning,
        stacklevel=3,
    )
