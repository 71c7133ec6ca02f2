"""Coarse stage: the mean frames of all segments in one file, which is scanned before transport."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ost_lightning.files import atomic_write
from ost_lightning.library.table import SegmentTable

_ROWS_AT_ONCE: Final = 4096
"""Means that are converted to fp32 together."""


def coarse_scores(table: SegmentTable, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Returns a score of each segment's mean frame, fp32 (n,).

    The means are kept in a file beside the table, in fp16: a sixteenth of the size of 8 frames in fp32. It is written
    when it is first needed, and whenever the table has changed.

    Args:
        table: Table of segments.
        score: Function from mean frames, fp32 (m, d), to scores (m,).
    """
    # means are only read; torch warns of arrays that can't be written
    rows = torch.from_numpy(np.load(means_file(table), mmap_mode="c"))
    return torch.cat([score(part.float()) for part in rows.split(_ROWS_AT_ONCE)])


def means_file(table: SegmentTable) -> Path:
    """Returns the file with the means of a table's present version, fp16 (n, d), after writing it if needed."""
    file = table.folder / f"means-{table.dataset.version}.npy"
    if file.exists():
        return file
    with atomic_write(file) as temporary:
        shape = (len(table), table.settings.width)
        means = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
        for batch in table.means():
            means[batch.first : batch.first + len(batch.means)] = batch.means.numpy()
        means.flush()
    for other in table.folder.glob("means-*.npy"):
        if other != file:
            other.unlink(missing_ok=True)
    return file
