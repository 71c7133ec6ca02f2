"""Recognizing long videos and streams, as ratios within one run.

* Decoding: the frames of a grid, against one sequential decode of the video that converts the same frames.
* Second label space: classes that are asked of a video that is embedded, against the first answer. The second one
  includes encoding its sentences.
* First answer: the first of many videos, against one video alone.
* Live: latency against the stride, and memory over time. The video is played at its own speed.

The video has 1280 x 720 pixels, H.264 by x264's defaults, 30 frames per second: ten seconds, again and again. Windows
have 4 s, a stride of 2 s and 8 frames. Rounds are interleaved; medians are printed with least and most.

On a CPU: recognize.py
Shorter: recognize.py --minutes 2 --live_seconds 20
"""

import argparse
import itertools
import resource
import statistics
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

import av
import torch
from film_clips import RATE, SECONDS, Film, make
from torch import Tensor

from ost_lightning import Recognizer
from ost_lightning.evaluation import ClipSettings
from ost_lightning.recognition import TrainedModel, load_trained_model
from ost_lightning.recognition.live import LiveRecognition
from ost_lightning.recognition.timelines.stretches import StretchSettings
from ost_lightning.resources import cache_folder
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.video import EvaluationTransform, open_video
from ost_lightning.video.decoding import stream_readable
from ost_lightning.video.decoding.scaling import FrameScaler

WINDOW, STRIDE, LOOKS = 4.0, 2.0, 8
GRID = LOOKS / WINDOW
STRETCHES = StretchSettings(lengths=(WINDOW,), stride=STRIDE, looks=LOOKS)


def long_video(source: Path, file: Path, copies: int) -> Path:
    """Writes the packets of a video again and again, without encoding them."""
    with av.open(str(file), "w") as output:
        copy = None
        for number in range(copies):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copy = copy or output.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue
                    later = round(number * SECONDS / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, copy
                    output.mux(packet)
    return file


def transform(clips: ClipSettings) -> EvaluationTransform:
    """Crops of the frames, as for recognition."""
    geometry = clips.geometry()
    return EvaluationTransform(geometry.crop_size, 1, geometry.framing, clips.crop_offsets)


def decode_in_sequence(file: Path, clips: ClipSettings) -> list[Tensor]:
    """Decodes all frames in one pass with one thread, and converts those of the grid."""
    scaler, short_side, choose = FrameScaler(), clips.geometry().short_side, transform(clips)
    found: list[Tensor] = []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type, stream.codec_context.thread_count = "SLICE", 1
        before = None
        for frame in itertools.chain(container.decode(stream), [None]):
            # a step of the grid shows the last frame that has begun before it
            until = before.time + 1 / RATE if frame is None and before is not None else frame.time
            if before is not None and until > len(found) / GRID + 1e-6:
                spec = choose.crop_spec(*scaler.size(before, short_side))
                found += [torch.from_numpy(scaler.part(before, short_side, box, spec.side)) for box in spec.boxes]
            before = frame
    return found


def read_grid(file: Path, clips: ClipSettings) -> list[Tensor]:
    """Reads the frames of the grid as a recognizer does."""
    with open_video(file) as video:
        times = video.times(range(len(video)))
        steps = int(len(video) / RATE * GRID)
        wanted = dict.fromkeys(bisect_right(times, step / GRID + 1e-6) - 1 for step in range(steps))
        readable = stream_readable(video, wanted, clips.geometry().short_side, transform(clips).crop_spec)
        return [item[1][0] for item in readable if isinstance(item, tuple)]


def seconds(work: Callable[[], object]) -> float:
    """Time that a function takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(name: str, ratios: list[float], times: list[float], other: list[float]) -> str:
    """Row of the table: ratio with least and most, and the medians of both times."""
    spread = f"{min(ratios):.3g} to {max(ratios):.3g}"
    first, second = statistics.median(times), statistics.median(other)
    return f"| {name} | {statistics.median(ratios):.3g} | {spread} | {first:.3g} s | {second:.3g} s |"


def compare_decoding(file: Path, clips: ClipSettings, rounds: int) -> str:
    ours, plain = [], []
    for number in range(rounds):
        both = [(ours, read_grid), (plain, decode_in_sequence)]
        for times, read in both if number % 2 else reversed(both):
            times.append(seconds(lambda read=read: read(file, clips)))  # type: ignore[misc]
    ratios = [a / b for a, b in zip(ours, plain, strict=True)]
    return row("frames of the grid, to one sequential decode", ratios, ours, plain)


def compare_label_spaces(file: Path, model: TrainedModel, device: str, rounds: int) -> str:
    first_times, second_times = [], []
    for _ in range(rounds):
        first = Recognizer(model, label_space(0, "unseen"), device)
        began = time.perf_counter()
        embedded = first.embed(file, GRID)
        first.timeline(embedded, stretches=STRETCHES)
        between = time.perf_counter()
        Recognizer(model, label_space(0, "seen"), device).timeline(embedded, stretches=STRETCHES)
        first_times.append(between - began)
        second_times.append(time.perf_counter() - between)
    ratios = [a / b for a, b in zip(second_times, first_times, strict=True)]
    return row("second label space, to the first", ratios, second_times, first_times)


def compare_first_answer(clip: Path, recognizer: Recognizer, folder: Path, rounds: int) -> str:
    videos = [folder / f"{number}.mp4" for number in range(20)]
    for video in videos:
        video.write_bytes(clip.read_bytes())
    firsts, alone = [], []
    for _ in range(rounds):
        alone.append(seconds(lambda: recognizer(videos[0])))
        results = recognizer.stream(videos, threads=2)
        firsts.append(seconds(lambda: next(results)))  # noqa: B023
        results.close()  # type: ignore[attr-defined]
    ratios = [a / b for a, b in zip(firsts, alone, strict=True)]
    return row("first answer of 20 videos, to one video alone", ratios, firsts, alone)


def resident() -> float:
    """Memory of this process in MB, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def watch(file: Path, recognizer: Recognizer, duration: float) -> list[str]:
    """Rows for latency and memory of a video that is played for some time."""
    memory, results = [], []
    for result in recognizer.watch(file, WINDOW, STRIDE, duration=duration):
        if isinstance(result, LiveRecognition):
            results.append(result)
            memory.append(resident())
    latencies = [result.latency for result in results]
    lost = f"{results[-1].dropped} frames dropped, {results[-1].skipped} windows left out"
    print(f"live: {len(results)} results, {lost}")
    settled = memory[min(2, len(memory) - 1)]
    return [
        row("latency of a live result, to the stride", [x / STRIDE for x in latencies], latencies, [STRIDE]),
        f"| memory at the end of the stream, to that after three results | {memory[-1] / settled:.3g} | | "
        f"{memory[-1]:.0f} MB | {settled:.0f} MB |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--live_seconds", type=float, default=60)
    options = parser.parse_args()
    model = load_trained_model(options.weights)
    clip = make(Film(1280, 720, 250, 0), cache_folder() / "benchmarks")
    recognizer = Recognizer(model, label_space(0, "unseen"), options.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = long_video(clip, folder / "long.mp4", max(1, round(60 * options.minutes / SECONDS)))
        clips = recognizer.clips
        ours, plain = (torch.stack(read(clip, clips)) for read in (read_grid, decode_in_sequence))
        print(f"{options.minutes:g} min; both readings of {len(ours)} frames agree: {ours.equal(plain)}")
        rows = [
            compare_decoding(file, clips, options.rounds),
            compare_label_spaces(file, model, options.device, options.rounds),
            compare_first_answer(clip, recognizer, folder, options.rounds),
            *watch(file, recognizer, options.live_seconds),
        ]
    print("| what | ratio | least to most | time | of |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
