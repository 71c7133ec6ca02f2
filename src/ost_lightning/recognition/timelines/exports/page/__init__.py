"""A timeline as one HTML page that needs no network: player, segments, and the frames and sentences that decided."""

from ost_lightning.recognition.timelines.exports.page.writer import write_page

__all__ = ["write_page"]
