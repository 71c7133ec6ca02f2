"""The scores that belong to exported weights."""

import hashlib
from pathlib import Path

from ost_lightning.analysis.results.run_results import RESULTS_FILE, RunResults
from ost_lightning.errors import UserError


def results_of(checkpoint: Path | None, file: Path | None = None) -> RunResults | None:
    """Returns the results of a test of a checkpoint.

    Args:
        checkpoint: Checkpoint; None for weights without one.
        file: File of the results; None for that in the checkpoint's run, which is left out if it is of other weights.

    Returns:
        The results; None if there are none.

    Raises:
        UserError: If the given file is not the results.json of a test, or one of other weights.
    """
    if file is None:
        found = checkpoint.parent.parent / RESULTS_FILE if checkpoint is not None else None
        if found is None or not found.is_file():
            return None
        results = RunResults.load(found)
        return results if _tested(results) == _digest(checkpoint) else None
    results = RunResults.load(file)
    if _tested(results) != _digest(checkpoint):
        raise UserError(
            f"{file} has the scores of other weights: {(results.checkpoint or {}).get('path', 'no checkpoint')}, not "
            f"{checkpoint or 'weights without a checkpoint'}. Test these weights, or leave --results out."
        )
    return results


def _tested(results: RunResults) -> str | None:
    return (results.checkpoint or {}).get("sha256")


def _digest(checkpoint: Path | None) -> str | None:
    if checkpoint is None:
        return None
    with checkpoint.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
