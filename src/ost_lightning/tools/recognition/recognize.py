"""`ost recognize`: the actions in videos, from the command line."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ost_lightning.errors import UserError
from ost_lightning.escaping import without_passwords
from ost_lightning.resources import TINY_MODELS
from ost_lightning.text import LabelSpace
from ost_lightning.tools.options import class_names, output_file, processes
from ost_lightning.tools.recognition.watch import live_source, watch_source
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.models import CPUPrecision, Scores
    from ost_lightning.recognition import Recognizer


def recognize(
    sources: Sequence[str],
    weights: str = "openai/clip-vit-base-patch16",
    labels: str | None = None,
    classes: str | None = None,
    describe: bool = False,
    llm: str = "gpt-3.5-turbo",
    fall_back: bool = False,
    calibration: Path | None = None,
    alpha: float = 0.1,
    output: Path | None = None,
    top: int = 5,
    device: str | None = None,
    scores: Literal["softmax", "sigmoid"] | None = None,
    none_below: float | None = None,
    fp8: bool = False,
    cpu_precision: Literal["fp32", "bf16", "auto"] = "fp32",
    workers: int | None = None,
    batch_size: int = 8,
    live: bool = False,
    window: float = 4.0,
    stride: float = 2.0,
    timeout: float = 10.0,
    reconnects: int = 10,
    duration: float | None = None,
) -> None:
    """Recognizes the actions in videos, a camera or a stream, and prints the most likely classes and what decided.

    Classes come from `labels` or `classes`. Without descriptors, videos are compared with the class names alone, which
    is less accurate; `describe` has an LLM write descriptors. If the command is interrupted, the same command continues
    an unfinished output file. Unreadable videos are named, the others are recognized, and the exit status is 1. A
    camera or stream is recognized while it runs, until Ctrl-C.

    Args:
        sources: Files, folders (with subfolders), patterns (`clips/*.mp4`), URLs, or `-` for a list on standard input;
            or one camera (`0`, `/dev/video0`) or stream (`rtsp://...`, `udp://...`, `https://host/live.m3u8`).
        weights: Hub id, `tiny`, `tiny_siglip`, folder in HF format, checkpoint (.ckpt), or folder of a run or
            experiment.
        labels: Name of a label space (`kinetics400`) or folder of one.
        classes: Class names separated by commas, such as `archery, surfing`.
        describe: Whether an LLM first writes descriptors for `classes` (OPENAI_API_KEY, OPENAI_BASE_URL). They are kept
            in the cache.
        llm: Name of that LLM as the server knows it.
        fall_back: Whether to compare with the class names alone if the LLM can't describe all classes.
        calibration: File that `Calibration.save` wrote, for label sets and "none of these".
        alpha: Risk that a label set misses the true class, between 0 and 1.
        output: File for the results (.csv, .json, .jsonl or .parquet; .csv or .jsonl of a stream); if not given, they
            are only printed.
        top: Number of classes per video.
        device: Device for computation, or several (`cuda:0,cuda:1`); a GPU if available and otherwise the CPU, if not
            given.
        scores: Probabilities of classes: softmax distributes 1 over all of them, sigmoid gives each its own, for
            encoders with a logit bias such as SigLIP; as in training, if not given.
        none_below: Probability between 0 and 1: a video whose classes are all below it shows none of these. It needs
            sigmoid scores, and no labeled videos; the right level depends on weights, matcher and sentences.
        fp8: Whether the linear layers of the vision tower compute in 8-bit floating point: faster on GPUs that have it
            (Ada, Hopper, Blackwell), with slightly different probabilities. Results name it.
        cpu_precision: Precision in which a CPU embeds frames: fp32, bf16, or auto for bf16 where a measurement of half
            a second finds it faster. Results name it.
        workers: Threads that read videos; the number of usable cores if not given.
        batch_size: Largest number of videos that are encoded together.
        live: Whether the source is live although it doesn't look so: a stream by HTTP, or a file to play like one.
        window: Length of what is recognized at a time in a stream, in seconds.
        stride: Time between two results of a stream, in seconds.
        timeout: Seconds after which a silent stream counts as lost.
        reconnects: Attempts to connect to a lost stream again, in a row.
        duration: Seconds after which to stop watching a stream; no limit if not given.
    """
    chosen = class_names(labels, classes)
    if describe and isinstance(chosen, str):
        raise UserError("--describe is for class names (--classes): label spaces have descriptors of their own.")
    if fall_back and not describe:
        raise UserError("--fall_back is for --describe: without it, class names are compared as they are.")
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"--{name} is {value}: expected at least 1.")
    if not 0 < alpha < 1:
        raise UserError(f"--alpha is {alpha}: expected a risk between 0 and 1, such as 0.1.")
    threads = processes(workers)
    if output is not None:
        output_file(output)
    from ost_lightning.recognition import (
        Calibration,
        Recognizer,
        ResultFile,
        Unreadable,
        check_format,
        find_videos,
        require_a_source,
    )
    from ost_lightning.recognition.live import LiveFile, LiveSource, WatchSettings, check_live_format

    source = live_source(sources, live=live)
    settings = WatchSettings(window, stride, timeout, reconnects, duration)
    if source is not None:
        LiveSource.of(source)
    else:
        require_a_source(sources)
    if output is not None:
        (check_format if source is None else check_live_format)(output)
    saved = None if calibration is None else Calibration.load(calibration)
    videos = iter(()) if source is not None else _checked(find_videos(sources))
    recognizer = (
        Recognizer.load(weights, chosen, device, scores, none_below, fp8, cpu_precision)
        if isinstance(chosen, str) or not describe
        else _with_descriptors(
            weights, chosen, device, scores, none_below, llm, cpu_precision, fall_back=fall_back, fp8=fp8
        )
    )
    if saved is not None:
        recognizer.use_calibration(saved)
    print(recognizer)
    if recognizer.remark:
        print(recognizer.remark)
    if weights in TINY_MODELS:
        print("This model knows only the rendered world: its answers about other videos mean nothing.")
    if not recognizer.labels.descriptors:
        print("The classes have no descriptors: videos are compared with the class names alone.")
    if len(recognizer.labels) == 1 and recognizer.model.video_clip.scores == "softmax":
        print("There is only one class, so its probability is always 100 %: add classes, or calibrate.")
    conditions = recognizer.conditions()
    if none_below is not None:
        conditions["none_below"] = f"{none_below:g}"
    if saved is not None:
        conditions |= {"calibration": saved.digest, "alpha": f"{alpha:g}"}
    if source is not None:
        file = None if output is None else LiveFile(output, conditions, top, alpha)
        watch_source(recognizer, source, settings, file, top)
        return
    results = None if output is None else ResultFile(output, conditions, top, alpha)
    done = frozenset() if results is None else results.done
    unreadable = 0
    with results or nullcontext():
        remaining = (video for video in videos if without_passwords(video) not in done)
        for result in recognizer.stream(remaining, threads=threads, batch_size=batch_size, evidence=True):
            unreadable += isinstance(result, Unreadable)
            print(result if isinstance(result, Unreadable) else result.table(top, alpha), flush=True)
            if results is not None:
                results.add(result)
    if done:
        print(f"{counted(len(done), 'video')} had been recognized by an interrupted run.")
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


def _with_descriptors(
    weights: str,
    names: Sequence[str],
    device: str | None,
    scores: "Scores | None",
    none_below: float | None,
    llm: str,
    cpu_precision: "CPUPrecision",
    *,
    fall_back: bool,
    fp8: bool,
) -> "Recognizer":
    """Loads weights, and classes that an LLM describes."""
    from ost_lightning.recognition import Recognizer, load_trained_model
    from ost_lightning.recognition.replicas import devices
    from ost_lightning.tools.recognition.describe import describe

    model = load_trained_model(weights, scores, devices(device) if fp8 else ())
    try:
        labels = describe(names, llm, model.descriptors_per_class)
    except UserError as error:
        if not fall_back:
            raise UserError(f"{error} To compare with the class names alone then, add --fall_back.") from error
        print(f"No descriptors: {error}")
        labels = LabelSpace(tuple(names))
    return Recognizer(model, labels, device, none_below, cpu_precision)
