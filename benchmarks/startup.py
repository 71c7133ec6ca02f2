"""CPU seconds until a command opens its first video, and until it tells a mistake.

Every command runs in a process of its own, as from a shell, with the tiny CLIP and rendered videos. The kernel reports
when one of the videos is opened (inotify, so only on Linux); the process itself is not changed. A mistake is told when
the process has ended. Rounds are interleaved; medians are printed with least and most.

Until then a command works in one thread and doesn't wait, so on an idle machine it takes as long as its CPU time. The
time of workers that it has started isn't counted.

On a CPU: startup.py
Compared with another version: startup.py --source ../before/src src
Where the time goes: startup.py --packages 15
"""

import argparse
import ctypes
import os
import re
import resource
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from ost_lightning.toyworld.dataset import RenderedPart, render_part

LIMIT: Final = 120.0
"""Seconds until a command is given up."""
SOURCE: Final = Path(__file__).parents[1] / "src"
EXPERIMENT: Final = (
    "--config=own_videos",
    "--data.root=videos",
    "--model.video_clip.init_args.pretrained=tiny",
)
READING: Final = {
    "ost fit": ["fit", *EXPERIMENT],
    "ost test": ["test", *EXPERIMENT],
    "ost predict": ["predict", *EXPERIMENT],
    "ost recognize": ["recognize", "videos", "--weights=tiny", "--labels=videos"],
}
MISTAKES: Final = {
    "a misspelled key": ["test", *EXPERIMENT, "--data.loading.works=2"],
    "a list that is missing": ["test", *EXPERIMENT, "--data.test=missing.txt"],
    "a checkpoint that is missing": ["test", *EXPERIMENT, "--ckpt_path=missing.ckpt"],
    "a video that is missing (`ost recognize`)": ["recognize", "missing.mp4", "--weights=tiny", "--labels=videos"],
}
_IN_OPEN: Final = 0x20
_EVENT: Final = struct.Struct("iIII")
"""Header of an event: watch, mask, cookie, length of the name."""


class OpenedFiles:
    """Files of a folder that any process opens, as the kernel reports them."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init()
        if libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), f"can't watch {folder}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def video_within(self, seconds: float) -> bool:
        """Waits, and returns whether a video was opened."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        events, at = os.read(self._descriptor, 2**16), 0
        names = []
        while at < len(events):
            *_, length = _EVENT.unpack_from(events, at)
            names.append(events[at + _EVENT.size :][:length])
            at += _EVENT.size + length
        return any(b".mp4" in name for name in names)


def environment(source: Path) -> dict[str, str]:
    """Environment in which the package of a source folder is imported, without the hub and W&B."""
    return {**os.environ, "PYTHONPATH": str(source.resolve()), "HF_HUB_OFFLINE": "1", "NETRC": os.devnull}


def command_line(arguments: list[str], *options: str) -> list[str]:
    """Command line of the console script, which needs no installed one."""
    program = "from ost_lightning.cli import entry_point; entry_point()"
    return [sys.executable, *options, "-c", program, *arguments]


def seconds_until_reading(source: Path, arguments: list[str], folder: Path, *options: str) -> float:
    """CPU time until a command opens a video; it is then stopped."""
    with OpenedFiles(folder / "videos") as opened, (folder / "output.txt").open("w") as output:
        limit = time.perf_counter() + LIMIT
        process = subprocess.Popen(  # noqa: S603  # fixed commands
            command_line(arguments, *options),
            cwd=folder,
            env=environment(source),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while not opened.video_within(0.1):
                if process.poll() is not None or time.perf_counter() > limit:
                    raise SystemExit(f"{' '.join(arguments)}:\n{(folder / 'output.txt').read_text()}")
            return cpu_seconds(process.pid)
        finally:
            stop(process)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and its workers."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
    process.wait()


def seconds_until_told(source: Path, arguments: list[str], folder: Path) -> float:
    """CPU time until a command has told a mistake and ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(  # noqa: S603  # fixed commands
        command_line(arguments), cwd=folder, env=environment(source), capture_output=True, text=True, timeout=LIMIT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 1 or "ost: " not in done.stderr:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def heaviest_packages(source: Path, folder: Path, count: int) -> str:
    """Table of the packages that take longest to import until `ost test` opens a video."""
    seconds_until_reading(source, READING["ost test"], folder, "-X", "importtime")
    lines = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", (folder / "output.txt").read_text())
    taken: dict[str, float] = {}
    for microseconds, package in lines:
        taken[package] = taken.get(package, 0.0) + int(microseconds) / 1e6
    rows = sorted(taken.items(), key=lambda item: -item[1])[:count]
    return "\n".join(
        ["| package | seconds |", "| --- | ---: |", *(f"| {name} | {time_:.2f} |" for name, time_ in rows)]
    )


def make_project(folder: Path) -> None:
    """Writes a folder of rendered videos with lists and a label space."""
    part = RenderedPart(0, "unseen", "test", 2)
    shutil.copytree(render_part(part), folder / "videos")
    for name in ("train.txt", "val.txt", "test.txt"):
        shutil.copy(part.list_file, folder / "videos" / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, nargs="+", default=[SOURCE], help="source folders to compare")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="words in the rows to measure")
    parser.add_argument("--packages", type=int, default=0, metavar="COUNT", help="only print the heaviest imports")
    options = parser.parse_args()
    rows = {
        **{f"first video of `{name}`": (seconds_until_reading, arguments) for name, arguments in READING.items()},
        **{f"{name} is told": (seconds_until_told, arguments) for name, arguments in MISTAKES.items()},
    }
    rows = {name: row for name, row in rows.items() if options.only in name}
    taken: dict[tuple[str, Path], list[float]] = {(name, source): [] for name in rows for source in options.source}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder)
        if options.packages:
            for source in options.source:
                print(f"{source}\n\n{heaviest_packages(source, folder, options.packages)}\n")
            return
        for number in range(options.rounds + 1):
            for (row, source), times in taken.items():
                measure, arguments = rows[row]
                seconds = measure(source, arguments, folder)
                if number:  # the first round fills the caches of files and bytecode
                    times.append(seconds)
    print("| what |" + "".join(f" {source} | least to most |" for source in options.source))
    print("| --- |" + " ---: | ---: |" * len(options.source))
    for row in rows:
        cells = (taken[row, source] for source in options.source)
        print(
            f"| {row} |" + "".join(f" {statistics.median(c):.1f} s | {min(c):.1f} to {max(c):.1f} s |" for c in cells)
        )


if __name__ == "__main__":
    main()
