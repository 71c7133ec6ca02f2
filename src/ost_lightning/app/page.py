"""The app's page: a title, and a tab for each thing to do."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import gradio as gr

from ost_lightning.app.context import Context
from ost_lightning.app.tabs.compare import compare_tab
from ost_lightning.app.tabs.find import find_tab
from ost_lightning.app.tabs.recognize import recognize_tab

TITLE: Final = "What happens in this video?"
_INTRODUCTION: Final = (
    "<h1>What happens in this video?</h1><p>Drop a video, say what it could show, and see which class it is, when, "
    "and why. Everything is computed on the machine that runs this page.</p>"
)
_SWEEP_SECONDS: Final = 300
_KEPT_SECONDS: Final = 6 * 3600
"""Age at which an upload is deleted whose page is still open."""


def build_page(context: Context) -> gr.Blocks:
    """Builds the page.

    Args:
        context: What the tabs share.
    """
    page = gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(_SWEEP_SECONDS, _KEPT_SECONDS), fill_width=False
    )
    with page:
        gr.HTML(_INTRODUCTION)
        with gr.Tabs():
            with gr.Tab("Recognize", id="recognize"):
                recognize_tab(context)
            with gr.Tab("Find", id="find"):
                find_tab(context)
            with gr.Tab("Compare", id="compare"):
                compare_tab(context)

        def leave(request: gr.Request) -> None:
            context.sessions.close(request.session_hash or "")

        page.unload(leave)
    return page


def looks() -> Mapping[str, Any]:
    """Returns theme, styles and script of the page; fonts are those of the reader's machine."""
    static = files("ost_lightning.app") / "static"
    script = (static / "script.js").read_text(encoding="utf-8")
    theme = gr.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    # text has the contrast of WCAG 2.2, level AA
    theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
    )
    return {
        "theme": theme,
        "css": (static / "style.css").read_text(encoding="utf-8"),
        "head": f'<script>{script}</script><link rel="icon" href="data:,">',
    }
