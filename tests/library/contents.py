"""What a table says, for comparisons."""

from typing import Any

from ost_lightning.library import SegmentTable


def rows(table: SegmentTable) -> list[tuple[Any, ...]]:
    """Returns all rows in an order that doesn't depend on who wrote them."""
    table.refresh()
    return sorted(
        (one.video, one.start, one.end, str(one.label), one.video_digest, tuple(one.embeddings.flatten().tolist()))
        for one in table.segments(range(len(table)), embeddings=True)
        if one.embeddings is not None
    )
