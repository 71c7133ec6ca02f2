"""Starts the app: loads weights, renders examples if wanted, and serves the page until it is stopped."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from starlette.middleware import Middleware

from ost_lightning.app.context import Context
from ost_lightning.app.examples import Examples
from ost_lightning.app.page import build_page, looks
from ost_lightning.app.security import SecurityHeaders
from ost_lightning.app.settings import AppSettings
from ost_lightning.app.state.models import Models
from ost_lightning.app.state.sessions import Sessions
from ost_lightning.library import Library
from ost_lightning.text import LabelSpace

_QUEUE: Final = 50
"""Requests that may wait; further ones are refused."""


@contextmanager
def serving(settings: AppSettings) -> Iterator[str]:
    """Serves the app while the block runs, and deletes all uploads afterwards.

    Args:
        settings: Settings of the app.

    Yields:
        URL of the page.

    Raises:
        UserError: If weights, classes or library don't exist or don't fit.
    """
    labels = None if settings.labels is None else LabelSpace.load(settings.labels)
    library = None if settings.library is None else Library.open(settings.library)
    examples = Examples.render() if settings.examples else None
    if examples is not None and labels is None:
        labels = examples.labels
    models = Models.load(settings.weights, settings.device, labels, settings.cpu_precision)
    served = tuple(folder.resolve() for folder in settings.videos)
    if examples is not None:
        served = (*served, examples.folder.resolve())
        if library is None and (folder := examples.library(models.of(models.names[0]))) is not None:
            library = Library.open(folder)
    if library is not None:
        library.searcher()  # a wrong table is told now, and the first question is as fast as others
    with _upload_folder() as uploads:
        sessions = Sessions(models, settings.max_upload, uploads)
        page = build_page(Context(settings, models, sessions, labels, library, served, examples))
        page.queue(max_size=_QUEUE)
        _, url, _ = page.launch(
            server_name=settings.host,
            server_port=settings.port,
            auth=settings.auth,
            max_file_size=settings.max_upload,
            allowed_paths=[str(folder) for folder in served],
            app_kwargs={"middleware": [Middleware(SecurityHeaders)], "docs_url": None, "redoc_url": None},
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            share=False,
            show_error=False,
            quiet=True,
            prevent_thread_lock=True,
            **looks(),
        )
        try:
            yield url
        finally:
            page.close(verbose=False)


@contextmanager
def _upload_folder() -> Iterator[Path]:
    """A folder of this process for uploads, in which Gradio puts everything that it keeps."""
    with TemporaryDirectory(prefix="ost-app-", ignore_cleanup_errors=True) as folder:
        wanted = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
