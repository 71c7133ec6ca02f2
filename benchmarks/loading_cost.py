"""CPU seconds for reading and augmenting one training clip on the host, in one thread.

CPU time, unlike wall time, can be multiplied: videos per second x seconds per video = busy cores.
"""

import argparse
import statistics
import time
from pathlib import Path

import av
import torch

from ost_lightning.video import FrameSampler, SampleKey, TrainingClips, TrainingTransform, VideoRecord


def cpu_seconds(clips: TrainingClips, repetitions: int) -> list[float]:
    taken = []
    for epoch in range(repetitions + 1):
        began = time.process_time()
        clips[SampleKey(0, epoch)]
        taken.append(time.process_time() - began)
    return taken[1:]  # the first one loads libraries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--repetitions", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for video in options.videos:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            print(f"{video.name}: {stream.width} x {stream.height}, {video.stat().st_size / 1e6:.2f} MB")
        for frames in options.frames:
            for name, jitter in (("read and cropped", 0.0), ("with color jitter and grayscale", 1.0)):
                clips = TrainingClips(
                    [VideoRecord(video, 0, video.name)],
                    sampler=FrameSampler(frames),
                    transform=TrainingTransform(224, flip=0.5, color_jitter=jitter, grayscale=0.2 * jitter),
                    short_side=256,
                    seed=0,
                )
                taken = cpu_seconds(clips, options.repetitions)
                print(
                    f"  {frames:3d} frames, {name:33s} median {statistics.median(taken):.3f} s "
                    f"(min {min(taken):.3f}, max {max(taken):.3f})"
                )


if __name__ == "__main__":
    main()
