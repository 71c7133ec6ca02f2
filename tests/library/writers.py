"""Processes that index, which a test may kill: a process that has imported everything forks one per line it reads.

Usage: `python -m tests.library.writers LIBRARY FOLDER`. Each line starts a writer, whose process number is printed.
"""

import os
import sys
from pathlib import Path

import torch

from ost_lightning.library import IndexSettings, Library, SegmentSettings
from ost_lightning.recognition import load_trained_model

SEGMENTS = SegmentSettings(lengths=(1.0, 2.0), stride=0.5, longest_clip=2.0)
SETTINGS = IndexSettings(commit_seconds=0)


def main(library: str, folder: str) -> None:
    torch.set_num_threads(1)
    model = load_trained_model("tiny")
    videos = sorted(Path(folder).glob("*.mp4"))
    print("ready", flush=True)
    for _ in sys.stdin:
        # nothing of Lance has run yet, whose threads a fork would lose
        if (process := os.fork()) == 0:
            Library.open(library, create=True).index(videos, model, SEGMENTS, SETTINGS)
            os._exit(0)
        print(process, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
