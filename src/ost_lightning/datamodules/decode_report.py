"""Report of unreadable videos: warns once per video, and stops the run beyond a limit."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from ost_lightning.characters import escaped
from ost_lightning.errors import UserError
from ost_lightning.escaping import CsvWriter
from ost_lightning.files import open_csv
from ost_lightning.video import ReadFailure
from ost_lightning.vocabulary import counted


class UndecodableVideoWarning(UserWarning):
    """Warning that a video could not be read."""


class DecodeReport:
    """Unreadable videos of a run, each with its reason."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def add(self, failures: Iterable[ReadFailure]) -> None:
        """Records failures, and warns once per video."""
        for failure in failures:
            if failure.id not in self.reasons:
                self.reasons[failure.id] = failure.reason
                warnings.warn(escaped(failure.reason), UndecodableVideoWarning, stacklevel=2)

    def stop_beyond(self, limit: int) -> None:
        """Raises if more than `limit` videos could not be read.

        Raises:
            UserError: If more could not be read; the message names the first few.
        """
        if len(self.reasons) > limit:
            examples = "; ".join(list(self.reasons.values())[:3])
            raise UserError(
                f"{counted(len(self.reasons), 'video')} could not be read, more than the {limit} allowed "
                f"(loading.max_undecodable). First: {examples}. "
                "Check the video folder; repair these files, or remove them from the list."
            )

    def write(self, file: Path) -> None:
        """Writes a CSV file with the columns `id` and `reason`, unless the report is empty."""
        if not self.reasons:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with open_csv(file) as handle:
            rows = CsvWriter(handle)
            rows.writerow(["id", "reason"])
            rows.writerows(self.reasons.items())
