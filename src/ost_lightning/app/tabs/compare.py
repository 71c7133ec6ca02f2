"""The tab that shows two sets of weights or of descriptors on one video, side by side."""

from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from ost_lightning.app import views
from ost_lightning.app.context import MODEL, Context, problem, told
from ost_lightning.app.state.session import Session
from ost_lightning.errors import UserError
from ost_lightning.recognition import Recognition
from ost_lightning.text import LabelSpace

_EDITED: Final = "Sentences as they are in Recognize"
_LOADED: Final = "Sentences of the label space"
_NAMES: Final = "Class names alone"
SIDES: Final = ("Left", "Right")


def compare_tab(context: Context) -> None:
    """Builds the tab.

    Args:
        context: What the tabs share.
    """
    names = context.models.names
    gr.HTML(
        views.notice("Compares the video and classes of the tab Recognize. Choose what differs, then press Compare.")
    )
    controls: list[Any] = []
    with gr.Row():
        for side, chosen, sentences in zip(SIDES, (names[0], names[-1]), (_EDITED, _NAMES), strict=True):
            with gr.Column():
                weights = gr.Dropdown(names, value=chosen, label=f"{side}: weights", visible=len(names) > 1)
                variant = gr.Radio(
                    [_EDITED, _LOADED, _NAMES],
                    value=sentences if len(names) == 1 else _EDITED,
                    label=f"{side}: compared with",
                )
                controls += [weights, variant]
    ask = gr.Button("Compare", variant="primary", elem_id="ost-compare")
    message = gr.HTML(elem_id="ost-compared")
    outputs = []
    with gr.Row():
        for side in SIDES:
            with gr.Column():
                outputs.append(gr.HTML(elem_id=f"ost-{side.lower()}"))

    def compare(first: str, one: str, second: str, other: str, request: gr.Request) -> tuple[str, str, str]:
        session = context.session(request)
        try:
            session.required_video()
            session.required_labels()
        except UserError as error:
            return problem(error), "", ""
        left, right = _Side(session, SIDES[0], first, one), _Side(session, SIDES[1], second, other)
        shown = told(session.video, left.show), told(session.video, right.show)
        return _difference(left.found, right.found), *shown

    ask.click(compare, controls, [message, *outputs], **MODEL)


@dataclass(slots=True)
class _Side:
    """One of the two answers.

    Attributes:
        session: Session with the video.
        title: Heading.
        weights: Name of the weights.
        variant: What the video is compared with.
        found: The answer; None before it is shown.
    """

    session: Session
    title: str
    weights: str
    variant: str
    found: Recognition | None = None

    def show(self) -> str:
        """Returns the ranking, and what it depends on."""
        labels = _labels(self.session, self.variant)
        self.found = self.session.recognize(self.weights, labels)
        recognizer = self.session.recognizer(self.weights, labels)
        # as the label of the chosen one, which nobody has to look up
        heading = f"{self.title}: {self.weights}, {self.variant[:1].lower()}{self.variant[1:]}"
        return views.ranking(self.found, heading=heading) + views.conditions(recognizer.conditions())


def _labels(session: Session, variant: str) -> LabelSpace:
    labels = session.required_labels()
    if variant == _NAMES:
        return LabelSpace(labels.names, source=labels.source, origin="of the app")
    if variant == _LOADED:
        return session.loaded()
    return labels


def _difference(left: Recognition | None, right: Recognition | None) -> str:
    if left is None or right is None:
        return ""
    if left.label == right.label:
        points = 100 * (right.probability - left.probability)
        moved = f"{abs(points):.1f} points {'higher' if points > 0 else 'lower'} on the right"
        return views.notice(f"Both say {left.label}; its probability is {moved}.")
    return views.notice(f"They differ: {left.label} on the left, {right.label} on the right.")
