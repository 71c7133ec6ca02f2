"""What the controls of the tab Recognize call: each method is one event."""

from pathlib import Path
from typing import Any, Final

import gradio as gr

from ost_lightning.app import views
from ost_lightning.app.context import Context, problem, told
from ost_lightning.app.describing import describe
from ost_lightning.app.pictures import explanation_pictures
from ost_lightning.app.state.session import PART_SECONDS, Session
from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.vocabulary import counted

OWN: Final = "my own classes"
_NAMES_ALONE: Final = (
    "The classes have no sentences, so the video is compared with their names alone. Sentences make it more accurate: "
    "have an LLM describe the classes, choose a label space, or write them in the table."
)
_RENDERED: Final = "This model knows only the rendered world: its answers about other videos mean nothing."


class RecognitionEvents:
    """Events of the tab.

    Args:
        context: What the tabs share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def recognize(self, file: str | None, classes: str | None, weights: str, request: gr.Request) -> tuple[Any, ...]:
        """Returns notice, ranking, whether sentences are shown, their class, the table, and the part of the video."""
        session = self._context.session(request)
        hidden = gr.update(visible=False)
        nothing = ("", hidden, gr.skip(), gr.skip(), hidden)
        video, text = None if file is None else Path(file), (classes or "").strip()
        try:
            if video is not None:
                self._context.sessions.uploaded(request.session_hash or "", video)
            session.open(video)
            if text:
                session.type_classes(text)
            if video is None or not text:
                return (views.notice(f"Next: {'a video' if video is None else 'class names'}."), *nothing)
            found = session.recognize(weights)
        except UserError as error:
            return (problem(error, video), *nothing)
        return (
            self._notes(session, weights),
            views.ranking(found),
            gr.update(visible=True),
            gr.update(choices=list(session.required_labels().names), value=found.label),
            session.rows(found.label, weights),
            gr.update(visible=session.duration > PART_SECONDS, maximum=max(1, int(session.duration // 60)), value=0),
        )

    def when(self, weights: str, minute: float, request: gr.Request, progress: gr.Progress = gr.Progress()) -> str:
        """Returns the timeline."""
        session = self._context.session(request)
        if not _ready(session):
            return ""
        progress(0.1, desc="Looking for what happens when")
        return told(session.video, lambda: views.timeline(session.timeline(weights, 60 * minute)))

    def explain(self, weights: str, request: gr.Request, progress: gr.Progress = gr.Progress()) -> str:
        """Returns why the most likely class was recognized."""
        session = self._context.session(request)
        if not _ready(session):
            return ""
        progress(0.1, desc="Drawing what decided")
        return told(session.video, lambda: _explained(session, weights))

    def edit(self, rows: list[list[Any]], name: str | None, weights: str, request: gr.Request) -> tuple[str, Any]:
        """Returns notice and ranking after a sentence has been edited."""
        session = self._context.session(request)
        try:
            session.edit(name or "", rows, weights)
            shown = "" if session.video is None else views.ranking(session.recognize(weights), session.before)
        except UserError as error:
            return problem(error, session.video), gr.skip()
        return self._notes(session, weights), shown

    def sentences(self, name: str | None, weights: str, request: gr.Request) -> Any:
        """Returns the table of a class."""
        session = self._context.session(request)
        if session.labels is None or name not in session.labels.names:
            return gr.skip()
        return session.rows(name, weights)

    def choose(self, chosen: str, request: gr.Request) -> tuple[Any, str]:
        """Returns the class names of a label space, and a notice."""
        if chosen == OWN:
            return "", views.notice("Next: class names.")
        try:
            known = self._context.labels if chosen == self._context.labels_title else None
            space = known or LabelSpace.load(chosen)
        except UserError as error:
            return gr.skip(), problem(error)
        self._context.session(request).choose(space)
        sentences = "with sentences" if space.descriptors else "without sentences"
        message = f"{counted(len(space), 'class', 'classes')} {sentences}. Next: press Recognize."
        return "\n".join(space.names), views.notice(message)

    def describe(
        self,
        file: str | None,
        classes: str | None,
        weights: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),
    ) -> tuple[Any, ...]:
        """Has the LLM describe the classes, and returns what `recognize` does; the reason alone if it can't."""
        session, llm = self._context.session(request), self._context.settings.llm

        def tell(done: int, every: int) -> None:
            progress((done, every), desc="Lists of sentences", unit="lists")

        try:
            session.type_classes(classes or "")
            names = session.required_labels().names
            session.describe(describe(names, llm, self._context.models.sentences_per_kind(weights), tell))
        except UserError as error:
            return (problem(error, session.video), *[gr.skip()] * 5)
        message, *others = self.recognize(file, classes, weights, request)
        told = views.notice(f"{llm} has described {counted(len(names), 'class', 'classes')}.")
        return (told + message, *others)

    def _notes(self, session: Session, weights: str) -> str:
        """What a reader of the scores has to know."""
        labels = session.required_labels()
        notes = [] if labels.descriptors else [_NAMES_ALONE]
        if 0 < len(missing := session.undescribed()) < len(labels):
            shown = ", ".join(missing[:3])
            notes = [
                f"{counted(len(missing), 'class has', 'classes have')} no sentences ({shown}), so that names alone are "
                "compared: have an LLM describe them, or write some in the table."
            ]
        if self._context.models.knows_rendered_world_only(weights):
            notes.append(_RENDERED)
        return "".join(views.notice(note) for note in [*notes, *session.notes])


def _ready(session: Session) -> bool:
    return session.video is not None and session.labels is not None


def _explained(session: Session, weights: str) -> str:
    recognizer, found = session.explain(weights)
    pictures, missing = explanation_pictures(recognizer, found)
    return views.explanation(found, pictures) + views.notice(missing) + views.conditions(recognizer.conditions())
