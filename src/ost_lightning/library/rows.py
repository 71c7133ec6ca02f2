"""Rows of a table's datasets, as Arrow tables."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ost_lightning.errors import NON_FINITE_HINT, NonFiniteError, UserError
from ost_lightning.files import ESCAPE_BYTES
from ost_lightning.library.segments import Failure, IndexedSource, NewFrames, NewSegment
from ost_lightning.library.settings import TableSettings

if TYPE_CHECKING:
    from pyarrow import Array, Schema, Table


def segment_rows(segments: Sequence[NewSegment], settings: TableSettings, schema: "Schema") -> "Table":
    """Rows of segments; see `segment_schema`.

    Args:
        segments: Segments.
        settings: Settings of the table.
        schema: Schema of the rows.

    Raises:
        UserError: If an embedding has another shape than the table's, or is not finite.
    """
    shape = settings.frames, settings.width
    for one in segments:
        if tuple(one.embeddings.shape) != shape:
            raise UserError(
                f"{one.source.video}: embeddings of shape {tuple(one.embeddings.shape)} don't fit the table "
                f"{settings.digest}, whose segments are {shape}: index them into a table with their own settings."
            )
        if not bool(one.embeddings.isfinite().all()):
            raise NonFiniteError(f"{one.source.video}: its embeddings are not finite. {NON_FINITE_HINT}")
    embedded = torch.stack([one.embeddings for one in segments]).float() if segments else torch.empty(0, *shape)
    unknown = (nan,) * settings.frames
    columns: dict[str, Any] = _identities([one.source for one in segments]) | {
        "place": [one.place for one in segments],
        "start": [one.start for one in segments],
        "end": [one.end for one in segments],
        "duration": [one.duration for one in segments],
        "label": [None if one.source.label is None else _text(one.source.label) for one in segments],
        "frame_times": [one.frame_times or unknown for one in segments],
        "embeddings": _lists(embedded.flatten(1), settings),
        # of what is stored, so that both agree
        "mean": _lists(stored_precision(embedded, settings).mean(1), None),
        "damaged": [one.damaged for one in segments],
    }
    return _table(columns, schema)


def frame_rows(new: NewFrames, settings: TableSettings, schema: "Schema") -> "Table":
    """Rows of the frames of one long video; see `frame_schema`.

    Args:
        new: The frames.
        settings: Settings of the table.
        schema: Schema of the rows.
    """
    embedded = new.embedded
    frames, steps = embedded.rows[embedded.rows >= 0].unique_consecutive(return_counts=True)
    steps_of = (embedded.rows >= 0).nonzero().flatten()
    firsts = steps_of[steps.cumsum(0) - steps]
    count = len(frames)
    gaps = json.dumps([asdict(gap) for gap in embedded.gaps])
    columns: dict[str, Any] = _identities([new.source] * count) | {
        "frame": frames.tolist(),
        "step": firsts.tolist(),
        "steps": steps.tolist(),
        "embedding": _lists(embedded.embeddings, settings),
        "duration": [embedded.duration] * count,
        "rate": [embedded.rate] * count,
        "gaps": [gaps] * count,
    }
    return _table(columns, schema)


def error_rows(failures: Iterable[Failure], schema: "Schema") -> "Table":
    """Rows of videos that could not be read; see `error_schema`."""
    chosen = list(failures)
    now = datetime.now(UTC)
    columns: dict[str, Any] = _identities([one.source for one in chosen]) | {
        "reason": [_text(one.reason) for one in chosen],
        "time": [now] * len(chosen),
    }
    return _table(columns, schema)


def stored_precision(embeddings: Tensor, settings: TableSettings) -> Tensor:
    """Returns embeddings rounded as they are stored, in fp32."""
    return embeddings.half().float() if settings.segments.precision == "float16" else embeddings.float()


def _identities(sources: Sequence[IndexedSource]) -> dict[str, list[str]]:
    return {
        "key": [one.key for one in sources],
        "video": [_text(one.video) for one in sources],
        "video_id": [_text(one.video_id) for one in sources],
        "video_digest": [one.video_digest for one in sources],
    }


def _text(text: str) -> str:
    # Arrow's strings are UTF-8, which the names of some files are not
    return text.encode(errors=ESCAPE_BYTES).decode()


def _lists(rows: Tensor, settings: TableSettings | None) -> "Array":
    """A column of fixed-size lists, in the table's precision, or fp32 without settings."""
    import pyarrow as pa

    half = settings is not None and settings.segments.precision == "float16"
    numbers = rows.contiguous().numpy().astype(np.float16 if half else np.float32, copy=False)
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), rows.shape[1])


def _table(columns: dict[str, Any], schema: "Schema") -> "Table":
    import pyarrow as pa

    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, schema.field(name).type)
        for name, column in columns.items()
    ]
    # in the order of the schema
    return pa.Table.from_arrays([arrays[list(columns).index(name)] for name in schema.names], schema=schema)
