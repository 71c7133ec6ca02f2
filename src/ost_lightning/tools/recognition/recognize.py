"""`ost recognize`: the actions in videos, from the command line."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.resources import TINY_CLIP
from ost_lightning.tools.options import class_names, output_file, processes


def recognize(
    sources: Sequence[str],
    weights: str = "openai/clip-vit-base-patch16",
    labels: str | None = None,
    classes: str | None = None,
    output: Path | None = None,
    top: int = 5,
    device: str | None = None,
    workers: int | None = None,
    batch_size: int = 8,
) -> None:
    """Recognizes the actions in videos and prints the most likely classes of each.

    Classes come from `labels` or `classes`. Without descriptors, videos are compared with the class names alone, which
    is less accurate. If the command is interrupted, the same command continues an unfinished output file. Unreadable
    videos are named, the others are recognized, and the exit status is 1.

    Args:
        sources: Files, folders (with subfolders), patterns (`clips/*.mp4`), URLs, or `-` for a list on standard input.
        weights: Hub id, `tiny`, folder in HF format, checkpoint (.ckpt), or folder of a run or experiment.
        labels: Name of a label space (`kinetics400`) or folder of one.
        classes: Class names separated by commas, such as `archery, surfing`.
        output: File for the results (.csv, .json, .jsonl or .parquet); if not given, they are only printed.
        top: Number of classes per video.
        device: Device for computation; a GPU if available and otherwise the CPU, if not given.
        workers: Threads that read videos; the number of usable cores if not given.
        batch_size: Largest number of videos that are encoded together.
    """
    chosen = class_names(labels, classes)
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"--{name} is {value}: expected at least 1.")
    threads = processes(workers)
    if output is not None:
        output_file(output)
    from ost_lightning.recognition import Recognizer, ResultFile, Unreadable, check_format, find_videos

    if output is not None:
        check_format(output)
    videos = _checked(find_videos(sources))
    recognizer = Recognizer.load(weights, chosen, device)
    print(recognizer)
    if weights == TINY_CLIP:
        print("This CLIP knows only the rendered world: its answers about other videos mean nothing.")
    if not recognizer.labels.descriptors:
        print("The classes have no descriptors: videos are compared with the class names alone.")
    file = None if output is None else ResultFile(output, recognizer.conditions(), top)
    done = frozenset() if file is None else file.done
    unreadable = 0
    with file or nullcontext():
        remaining = (video for video in videos if without_passwords(video) not in done)
        for result in recognizer.stream(remaining, threads=threads, batch_size=batch_size):
            unreadable += isinstance(result, Unreadable)
            print(result if isinstance(result, Unreadable) else result.summary(top), flush=True)
            if file is not None:
                file.add(result)
    if done:
        print(f"{len(done)} of the videos had been recognized by an interrupted run.")
    if output is not None:
        print(f"Results written to {output}")
    if unreadable:
        raise UserError(f"Videos that could not be read: {unreadable}. They are named above.")


def _checked(videos: Iterator[str]) -> Iterator[str]:
    """Takes the first video, so that a wrong folder is reported before a model is loaded."""
    first = next(videos, None)
    if first is None:
        raise UserError("There are no videos: the list on standard input is empty.")
    return chain([first], videos)
