"""The tab that asks a library, and plays what it found at its place."""

from typing import Final

import gradio as gr

from ost_lightning.app import views
from ost_lightning.app.context import MODEL, Context, told
from ost_lightning.app.pictures import hit_pictures
from ost_lightning.errors import UserError
from ost_lightning.library.asking import FoundSegments, Query, SearchSettings

_MAX_LETTERS: Final = 1000
_NONE: Final = "There is no library yet: index videos with `ost index`, and start the app with --library FOLDER."


def find_tab(context: Context) -> None:
    """Builds the tab.

    Args:
        context: What the tabs share.
    """
    if context.library is None:
        gr.HTML(views.notice(_NONE), elem_id="ost-no-library")
        return
    names = () if context.labels is None else context.labels.names
    example = names[0] if names else "archery"
    with gr.Row():
        query = gr.Textbox(
            label="What to look for: an action, in words", placeholder=example, scale=3, elem_id="ost-query"
        )
        count = gr.Slider(1, 50, 10, step=1, label="Results")
    with gr.Accordion("Describe it in sentences (more accurate)", open=False):
        spatio = gr.Textbox(label="What is visible, separated by ;", placeholder="a bow; a target")
        temporal = gr.Textbox(
            label="What happens, separated by ; or by 'then' if the order matters",
            placeholder="draws the bow, then lets go",
        )
    ask = gr.Button("Find", variant="primary", elem_id="ost-find")
    results = gr.HTML(elem_id="ost-hits")

    def find(text: str | None, number: float, seen: str | None, happens: str | None) -> str:
        def work() -> str:
            found = _found(context, text or "", int(number), seen or "", happens or "")
            return views.hits(found, hit_pictures(found), context.served) + views.conditions(found.conditions)

        return told(None, work)

    inputs = [query, count, spatio, temporal]
    ask.click(find, inputs, results, **MODEL)
    query.submit(find, inputs, results, **MODEL)


def _found(context: Context, text: str, number: int, seen: str, happens: str) -> FoundSegments:
    if context.library is None:
        raise UserError(_NONE)
    if max(map(len, (text, seen, happens))) > _MAX_LETTERS:
        raise UserError(f"The question is too long: expected at most {_MAX_LETTERS} characters per field.")
    searcher, settings = context.library.searcher(), SearchSettings(min(max(number, 1), 50))
    if seen.strip() or happens.strip():
        query = Query.by_hand(text, seen if seen.strip() else None, happens if happens.strip() else None)
        return searcher.find(query, None, settings)
    name = " ".join(text.split())
    # a known class has descriptors, and is more accurate among the others
    labels = context.labels
    known = labels is not None and name.casefold() in {one.casefold() for one in labels.names}
    return searcher.find(Query(name).name, labels if known else None, settings)
