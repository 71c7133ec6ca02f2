"""Reads damaged copies of small clips; run alone: `python -m tests.video.decoding.damage COUNT SEED FOLDER`.

Prints how many copies gave frames and how many an error that names the file. After a crash, a hang or any other
exception, the exit status is not 0.
"""

import faulthandler
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from ost_lightning.video import VideoReader, VideoReadError
from tests.videos import decode_all, write_video

CLIPS = {
    "h264.mp4": {"options": {"g": "8", "bf": "2"}},
    "faststart.mp4": {"options": {"g": "8"}, "container": {"movflags": "faststart"}},
    "h264.mkv": {"options": {"g": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "8", "deadline": "realtime"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "av1.mkv": {"codec": "libsvtav1"},
}
FRAMES = 20
SECONDS_PER_FILE = 30


def damage(data: bytes, rng: random.Random) -> tuple[bytes, bool]:
    """Returns a truncated or changed copy, and whether it is truncated."""
    if rng.random() < 0.5:
        return data[: rng.randrange(len(data))], True
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed), False


def is_one_line_about(path: Path, error: VideoReadError) -> bool:
    message = str(error)
    assert str(path) in message, message
    assert "\n" not in message, message
    return True


def main(count: int, seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    originals = {name: write_video(folder / name, FRAMES, **settings).read_bytes() for name, settings in CLIPS.items()}
    references = {name: decode_all(folder / name) for name in CLIPS}
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        name = rng.choice(list(CLIPS))
        data, truncated = damage(originals[name], rng)
        path = folder / f"damaged_{name}"
        path.write_bytes(data)
        wanted = sorted(rng.sample(range(FRAMES), 4))
        faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
        try:
            with VideoReader(path) as video:
                total = len(video)
                frames = video.read(wanted)
        except VideoReadError as error:
            outcomes["error"] += is_one_line_about(path, error)
            continue
        finally:
            faulthandler.cancel_dump_traceback_later()
        outcomes["frames"] += 1
        # truncation never changes a frame, nor the number of frames in formats that store the file's length
        if truncated:
            assert total == FRAMES or name.endswith(".ts"), (name, total, len(data))
            assert np.array_equal(frames.numpy(), references[name][wanted]), (name, wanted, len(data))
    print(dict(outcomes))


if __name__ == "__main__":
    faulthandler.enable()
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
