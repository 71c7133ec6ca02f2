"""`ost timeline`: what happens when in long videos, from the command line."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ost_lightning.errors import UserError
from ost_lightning.resources import TINY_MODELS
from ost_lightning.tools.options import class_names, output_file, output_folder

if TYPE_CHECKING:
    from ost_lightning.recognition.timelines import Timeline, TimelineDecoder

DecoderName = Literal["stretch", "threshold", "viterbi", "transport"]


def timeline(
    sources: Sequence[str],
    weights: str = "openai/clip-vit-base-patch16",
    labels: str | None = None,
    classes: str | None = None,
    output: Path | None = None,
    format: str | None = None,
    level: float | None = None,
    background: str | None = None,
    background_share: float = 0.05,
    lengths: str | None = None,
    stride: float = 0.5,
    rate: float = 4.0,
    frame_rate: float | None = None,
    decoder: DecoderName = "stretch",
    device: str | None = None,
    cpu_precision: Literal["fp32", "bf16", "auto"] = "fp32",
) -> None:
    """Finds what happens when in long videos, and prints the segments of each as soon as it is done.

    Classes come from `labels` or `classes`. A class counts where its evidence is above a level. If neither `level` nor
    `background` is given, the level is a quantile of each video's own scores, so that segments are found even in a
    video that shows none of the classes. Unreadable videos are named, the others are done, and the exit status is 1.

    Args:
        sources: Files, folders (with subfolders), patterns (`matches/*.mp4`), URLs, or `-` for a list on standard
            input.
        weights: Hub id, `tiny`, folder in HF format, checkpoint (.ckpt), or folder of a run or experiment.
        labels: Name of a label space (`kinetics400`) or folder of one.
        classes: Class names separated by commas, such as `archery, surfing`.
        output: File for the timelines, whose suffix chooses the format (`.json`, `.csv`, `.html`, `.vtt`, ...), or
            folder for one file per video; if not given, they are only printed.
        format: Format of the files, such as `html`, `activitynet` or `elan`; that of the suffix, or `json` in a folder,
            if not given.
        level: Evidence above which a class counts, on the scale of cosines.
        background: File, folder or pattern of videos that show none of the classes; the level is measured with them.
        background_share: Share of the background that may be above the measured level.
        lengths: Lengths of the actions in seconds, separated by commas, such as `2, 4, 8`; about 2 to 6 s if not given.
        stride: Distance between the starts of stretches that are scored, in seconds.
        rate: Number of frames per second to look at.
        frame_rate: Frame rate of folders of frames, which have no times.
        decoder: Way to choose segments: `stretch` chooses whole stretches; `threshold`, `viterbi` and `transport` label
            every moment, for comparison.
        device: Device for computation; a GPU if available and otherwise the CPU, if not given.
        cpu_precision: Precision in which a CPU embeds frames: fp32, bf16, or auto for bf16 where a measurement of half
            a second finds it faster. Results name it.
    """
    chosen = class_names(labels, classes)
    durations = None if lengths is None else _lengths(lengths)
    if level is not None and background is not None:
        raise UserError("Give either --level or --background, from which the level is measured.")
    if output is None and format is not None:
        raise UserError("--format is that of files: name a file or folder for them with --output.")
    from ost_lightning.recognition import Recognizer, find_videos, require_a_source
    from ost_lightning.recognition.timelines import StretchSettings, measure_background
    from ost_lightning.video import VideoReadError

    files = None if output is None else _Files(output, format)
    require_a_source(sources)
    videos = list(find_videos(sources))
    if not videos:
        raise UserError("There are no videos: the list on standard input is empty.")
    empty = list(find_videos([background])) if background is not None else []
    if files is not None:
        files.check(videos)
    stretches = StretchSettings(stride=stride) if durations is None else StretchSettings(durations, stride)
    settings: dict[str, Any] = {"stretches": stretches, "rate": rate, "frame_rate": frame_rate}
    recognizer = Recognizer.load(weights, chosen, device, cpu_precision=cpu_precision)
    print(recognizer)
    if recognizer.remark:
        print(recognizer.remark)
    if weights in TINY_MODELS:
        print("This model knows only the rendered world: its answers about other videos mean nothing.")
    if not recognizer.labels.descriptors:
        print("The classes have no descriptors: videos are compared with the class names alone.")
    if empty:
        embedded = (recognizer.embed(video, rate, frame_rate) for video in empty)
        scores = [recognizer.stretch_scores(video, stretches) for video in embedded]
        measured = measure_background(scores, _decoder(decoder, None), background_share)
        print(measured)
        level = measured.level
    elif level is None:
        print("The level is a quantile of each video's own scores: set it with --background or --level.")
    unreadable = 0
    for video in videos:
        try:
            found = recognizer.timeline(video, _decoder(decoder, level), **settings)
        except VideoReadError as error:
            unreadable += 1
            print(error, flush=True)
            continue
        print(found, flush=True)
        if files is not None:
            files.add(found)
    if files is not None:
        print(f"Timelines written to {output}")
    if unreadable:
        raise UserError(f"Videos that could not be read: {unreadable}. They are named above.")


class _Files:
    """Files with timelines, written as soon as there is anything to write.

    Args:
        output: File, or folder for one file per video.
        format: Name of the format; None for that of the suffix, or JSON in a folder.

    Raises:
        UserError: If the format is unknown or doesn't fit, or the output can't be written.
    """

    def __init__(self, output: Path, format: str | None) -> None:
        from ost_lightning.recognition.timelines import timeline_format

        self._is_folder = output.is_dir() or not output.suffix
        (output_folder if self._is_folder else output_file)(output)
        self._output = output
        self._format = timeline_format(output, format or ("json" if self._is_folder else None))
        self._done: list[Timeline] = []

    def check(self, videos: Sequence[str]) -> None:
        """Checks that each video can have its place in the files.

        Raises:
            UserError: If one file would have to hold several videos and can't, or two videos have the same name.
        """
        from ost_lightning.recognition.timelines.exports import FORMATS
        from ost_lightning.recognition.timelines.exports.names import video_stem

        if not self._is_folder and not FORMATS[self._format].many and len(videos) > 1:
            raise UserError(
                f"A file of the format {self._format} is about one video, but there are {len(videos)}: name a folder "
                f"instead of {self._output}."
            )
        first: dict[str, str] = {}
        for video in videos if self._is_folder else ():
            other = first.setdefault(video_stem(video), video)
            if other != video:
                raise UserError(
                    f"{other} and {video} would have the same file in {self._output}, since it is named after the "
                    "video: write to one file, such as timelines.json, or run the command for each folder."
                )

    def add(self, timeline: "Timeline") -> None:
        """Writes the timeline of one more video, which is on the disk when the call returns."""
        from ost_lightning.recognition.timelines import save_timeline

        self._done = [timeline] if self._is_folder else [*self._done, timeline]
        save_timeline(self._done, self._output, self._format)


def _decoder(name: DecoderName, level: float | None) -> "TimelineDecoder":
    from ost_lightning.recognition import timelines

    decoders: dict[DecoderName, type[TimelineDecoder]] = {
        "stretch": timelines.StretchDecoder,
        "threshold": timelines.ThresholdDecoder,
        "viterbi": timelines.ViterbiDecoder,
        "transport": timelines.TransportDecoder,
    }
    return decoders[name](level)


def _lengths(text: str) -> tuple[float, ...]:
    try:
        lengths = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--lengths '{text}' is not a list of numbers such as 2, 4, 8 ({error}).") from error
    if not all(isfinite(length) and length > 0 for length in lengths):
        raise UserError(f"--lengths '{text}': expected positive numbers of seconds.")
    return lengths
