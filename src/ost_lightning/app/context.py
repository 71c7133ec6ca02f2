"""What the tabs of an app share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gradio as gr

from ost_lightning.app.examples import Examples
from ost_lightning.app.settings import AppSettings
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.session import Session
from ost_lightning.app.state.sessions import Sessions
from ost_lightning.app.state.uploads import without_folder
from ost_lightning.app.views import notice
from ost_lightning.errors import UserError
from ost_lightning.library import Library
from ost_lightning.text import LabelSpace

MODEL: Final[Mapping[str, Any]] = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}
"""Arguments of events that compute for a while: one at a time, the others wait in the queue."""
QUICK: Final[Mapping[str, Any]] = {"concurrency_limit": 8, "api_visibility": "private", "show_progress": "hidden"}
"""Arguments of events that answer at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What the tabs of an app share.

    Attributes:
        settings: Settings of the app.
        models: Weights that are offered.
        sessions: State of each person.
        labels: Label space that is there at the start; None for none.
        library: Library that can be asked; None for none.
        served: Folders whose videos may be played.
        examples: Rendered videos; None for none.
    """

    settings: AppSettings
    models: Models
    sessions: Sessions
    labels: LabelSpace | None
    library: Library | None
    served: tuple[Path, ...]
    examples: Examples | None

    @property
    def labels_title(self) -> str:
        """Name of the label space that is there at the start."""
        return self.settings.labels or "rendered world"

    def session(self, request: gr.Request) -> Session:
        """Returns the session of a browser, which begins with the label space of the app."""
        session = self.sessions.of(request.session_hash or "")
        if session.labels is None and self.labels is not None:
            session.choose(self.labels)
        return session


def told(video: Path | None, work: Callable[[], str]) -> str:
    """Returns HTML that some work makes, or a notice of why it can't.

    Args:
        video: Video of the session, whose folder is nobody's business.
        work: Function that returns HTML.
    """
    try:
        return work()
    except UserError as error:
        return problem(error, video)


def problem(error: UserError, video: Path | None = None) -> str:
    """Returns the notice of an error, without the folder in which the app keeps the video."""
    return notice(without_folder(str(error), video), "error")
