"""Pages: HTML files that need no network. One frame, one set of colors, one player and one security policy for all."""

from ost_lightning.pages.page import data_url, render_page

__all__ = ["data_url", "render_page"]
