"""Speed of exported graphs on a CPU, and their agreement with the suite's fp32 on rendered videos.

All ways score the same videos in turn, one video at a time, in one process. `encode` times the frames in memory, and
`with decoding` also the reading of the file: by the suite, or by the exported program. Exports take longer than the
measurement: with `--folder`, they are kept, and a later run with the same weights and frames reads them.
"""

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from random_clip import random_clip

from ost_lightning import Recognizer
from ost_lightning.evaluation import ClipSettings, probabilities
from ost_lightning.export import ExportSettings
from ost_lightning.export.parity import load_runner
from ost_lightning.machine import usable_cores
from ost_lightning.recognition import TrainedModel, load_trained_model
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.clips import render_clip, write_mp4
from ost_lightning.toyworld.grammar import draw_classes

EXPORTS = ("torch_export,fp32", "onnx,fp32", "onnx,int8", "openvino,fp32", "openvino,bf16", "openvino,int8")
CLASSES = tuple(action.name for action in draw_classes(0)["unseen"])


@dataclass
class Way:
    name: str
    read: Callable[[Path], NDArray[np.uint8]]
    recognize: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def load(weights: str, frames: int) -> TrainedModel:
    random = weights in ("B/32", "B/16")
    model = load_trained_model("tiny" if random else weights)
    torch.manual_seed(0)  # so that saved exports have the same random weights
    clip = random_clip(int(weights[2:]), "cpu") if random else model.video_clip
    return replace(model, video_clip=clip, clips=ClipSettings(frames=frames).with_defaults_from(clip.preprocessing))


def render(folder: Path, count: int) -> list[Path]:
    actions = draw_classes(0)["unseen"]
    videos = [folder / f"{number}.mp4" for number in range(count)]
    for number, video in enumerate(videos):
        write_mp4(video, render_clip(actions[number % len(actions)], seed=f"a{number}"))
    return videos


def ways(recognizer: Recognizer, folder: Path, exports: list[str]) -> list[Way]:
    clip = recognizer._video_clip

    def suite(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            embedded = clip.encode_frames(torch.from_numpy(frames))
            return probabilities(clip, recognizer.matcher, recognizer._texts, embedded[:, None]).numpy()

    def read(video: Path) -> NDArray[np.uint8]:
        frames = recognizer._read(video).frames
        assert frames is not None
        return frames.contiguous().numpy()

    found = [Way("suite, fp32", read, suite)]
    for export in exports:
        name, precision = export.split(",")
        exported = folder / f"{name}-{precision}"
        if not exported.exists():
            recognizer.export(exported, [name], ExportSettings(precision))
        elif json.loads((exported / "export.json").read_text())["digest"] != recognizer.conditions()["digest"]:
            raise SystemExit(f"{exported} has other weights or settings: remove it, or choose another --folder.")
        runner: Any = load_runner(exported)
        found.append(Way(f"{name}, {precision}", runner.read_clip, runner.load(name)))
    return found


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="tiny", help="as in `ost export`, or B/32, B/16 for random weights")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=3, help="0 only writes the exports")
    parser.add_argument("--exports", nargs="+", choices=EXPORTS, default=EXPORTS, help="formats with precisions")
    parser.add_argument("--folder", type=Path, help="folder in which the exports are kept; none if not given")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(usable_cores())
    with tempfile.TemporaryDirectory() as temporary:
        tested = render(Path(temporary), options.videos)
        recognizer = Recognizer(load(options.weights, options.frames), LabelSpace(CLASSES))
        compared = ways(recognizer, options.folder or Path(temporary), options.exports)
        if options.repetitions:
            measure(compared, tested, options.repetitions)


def measure(compared: list[Way], videos: list[Path], repetitions: int) -> None:
    clips = [compared[0].read(video) for video in videos]
    expected = np.concatenate([compared[0].recognize(clip) for clip in clips])
    encoding: dict[str, list[float]] = {way.name: [] for way in compared}
    decoding: dict[str, list[float]] = {way.name: [] for way in compared}
    for way in compared:
        way.recognize(clips[0])  # the first call is slower
    for _ in range(repetitions):
        for way in compared:
            encoding[way.name].append(seconds(lambda way=way: [way.recognize(clip) for clip in clips]))
            decoding[way.name].append(seconds(lambda way=way: [way.recognize(way.read(video)) for video in videos]))
    print(f"{len(videos)} videos, {repetitions} repetitions: median (least to most); {usable_cores()} cores")
    print("| way | encode, videos/s | ratio | with decoding, videos/s | ratio | equal top-1 | largest difference |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: |")
    for way in compared:
        found = np.concatenate([way.recognize(clip) for clip in clips])
        equal = float((found.argmax(-1) == expected.argmax(-1)).mean())
        cells = [way.name]
        for times in (encoding, decoding):
            rates = sorted(len(videos) / value for value in times[way.name])
            ratio = statistics.median(times[compared[0].name]) / statistics.median(times[way.name])
            cells += [f"{statistics.median(rates):.1f} ({rates[0]:.1f} to {rates[-1]:.1f})", f"{ratio:.2f}"]
        print(f"| {' | '.join(cells)} | {100 * equal:.1f} % | {np.abs(found - expected).max():.1g} |")


if __name__ == "__main__":
    main()
