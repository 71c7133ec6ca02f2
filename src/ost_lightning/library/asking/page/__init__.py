"""Found segments as one HTML page that needs no network: pictures, players and scores."""

from ost_lightning.library.asking.page.writer import write_found_page

__all__ = ["write_found_page"]
