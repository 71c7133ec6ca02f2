"""The tab that recognizes a video: ranking, timeline, evidence, and sentences that can be edited."""

from pathlib import Path
from typing import Any, Final

import gradio as gr

from ost_lightning.app.context import MODEL, QUICK, Context
from ost_lightning.app.describing import has_llm
from ost_lightning.app.state.sentence_table import HEADERS
from ost_lightning.app.state.uploads import readable_size
from ost_lightning.app.tabs.recognition_events import OWN, RecognitionEvents
from ost_lightning.text.label_files import known_names

_LLM: Final = "Have an LLM describe the classes"
_NO_LLM: Final = f"{_LLM} (first set OPENAI_API_KEY or OPENAI_BASE_URL)"


def recognize_tab(context: Context) -> None:
    """Builds the tab.

    Args:
        context: What the tabs share.
    """
    names = context.models.names
    with gr.Row():
        with gr.Column():
            video = gr.Video(label="1. Video", sources=["upload"], elem_id="ost-video", height=300, buttons=[])
            examples = _example_buttons(context)
        with gr.Column():
            space, classes = _class_controls(context)
            weights = gr.Dropdown(names, value=names[0], label="Weights", visible=len(names) > 1)
            with gr.Row():
                ask = gr.Button("Recognize", variant="primary", elem_id="ost-recognize")
                llm = gr.Button(_LLM if has_llm() else _NO_LLM, size="sm", elem_id="ost-describe")
    message = gr.HTML(elem_id="ost-message")
    with gr.Row():
        with gr.Column():
            ranking = gr.HTML(elem_id="ost-ranking")
        with gr.Column():
            minutes = "The video is long: ten minutes of it are looked at, from this minute on"
            part = gr.Slider(0, 1, 0, step=1, label=minutes, visible=False, elem_id="ost-part")
            timeline = gr.HTML(elem_id="ost-timeline")
    with gr.Group(visible=False, elem_id="ost-sentences") as sentences:
        edited, table = _sentence_controls()
    why = gr.HTML(elem_id="ost-why")

    events = RecognitionEvents(context)
    asked: dict[str, Any] = {
        "inputs": [video, classes, weights],
        "outputs": [message, ranking, sentences, edited, table, part],
        **MODEL,
    }

    def finish(event: Any) -> None:
        """Lets what takes longer follow, so that the ranking is there at once."""
        event.then(events.when, [weights, part], timeline, **MODEL).then(events.explain, [weights], why, **MODEL)

    finish(video.change(events.recognize, **asked))
    finish(weights.change(events.recognize, **asked))
    finish(ask.click(events.recognize, **asked))
    finish(llm.click(events.describe, **asked))
    finish(table.input(events.edit, [table, edited, weights], [message, ranking], **QUICK))
    part.release(events.when, [weights, part], timeline, **MODEL)
    edited.input(events.sentences, [edited, weights], table, **QUICK)
    space.input(events.choose, [space], [classes, message], **QUICK)
    for button, file in examples:
        button.click(lambda path=file: str(path), None, video, **QUICK)


def _example_buttons(context: Context) -> list[tuple[gr.Button, Path]]:
    size = readable_size(context.settings.max_upload)
    more = "" if context.examples is None else "<br>No video at hand? These examples were rendered on this machine:"
    gr.HTML(f'<p class="ost-faint">Up to {size}; deleted when you leave.{more}</p>')
    if context.examples is None:
        return []
    with gr.Row(elem_id="ost-examples"):
        videos = context.examples.videos.items()
        return [(gr.Button(title, size="sm", min_width=60, scale=0), file) for title, file in videos]


def _class_controls(context: Context) -> tuple[gr.Dropdown, gr.Textbox]:
    at_start = [] if context.labels is None else [context.labels_title]
    others = [OWN, *(name for name in known_names() if name not in at_start)]
    space = gr.Dropdown(
        [*at_start, *others],
        value=(at_start or [OWN])[0],
        label="2. Classes: a label space, or your own",
        elem_id="ost-space",
    )
    classes = gr.Textbox(
        value="" if context.labels is None else "\n".join(context.labels.names),
        label="Class names, separated by commas or lines",
        placeholder="archery, surfing, juggling balls",
        lines=5,
        max_lines=8,
        elem_id="ost-classes",
    )
    return space, classes


def _sentence_controls() -> tuple[gr.Dropdown, gr.Dataframe]:
    edited = gr.Dropdown(
        [],
        label="3. Sentences of a class: change one, and see the probabilities move",
        elem_id="ost-edited",
        interactive=True,
    )
    table = gr.Dataframe(
        headers=list(HEADERS),
        datatype="str",
        type="array",
        interactive=True,
        wrap=True,
        static_columns=[0],
        column_widths=["30%", "70%"],
        label="Sentences of the class",
        show_label=False,
        max_height=800,
        elem_id="ost-table",
        buttons=[],
    )
    return edited, table
