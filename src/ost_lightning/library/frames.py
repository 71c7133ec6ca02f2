"""Frames of a long video, read back from a library."""

import json
from typing import TYPE_CHECKING

import torch

from ost_lightning.files import unescape_bytes
from ost_lightning.library.datasets import vectors, with_keys
from ost_lightning.recognition.timelines import EmbeddedVideo, Gap, steps_in

if TYPE_CHECKING:
    from lance import LanceDataset


def stored_frames(dataset: "LanceDataset", key: str, digest: str) -> EmbeddedVideo:
    """Returns the embedded video that was stored with a key.

    Args:
        dataset: Dataset of frames.
        key: Key of a source that it has.
        digest: Digest of what single frames depend on.
    """
    found = dataset.to_table(filter=with_keys([key])).sort_by("frame")
    about = found.slice(0, 1).to_pylist()[0]
    rows = torch.full((steps_in(about["duration"], about["rate"]),), -1)
    spans = zip(*(found[name].to_pylist() for name in ("frame", "step", "steps")), strict=True)
    for frame, step, steps in spans:
        rows[step : step + steps] = frame
    embeddings = vectors(found["embedding"].combine_chunks()).view(len(found), -1).float().clone()
    gaps = tuple(Gap(**gap) for gap in json.loads(about["gaps"]))
    return EmbeddedVideo(
        unescape_bytes(about["video"]), about["duration"], about["rate"], embeddings, rows, digest, gaps
    )
