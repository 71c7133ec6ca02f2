"""Seconds until a command opens its first video, and until it tells a mistake.

Every command runs in a process of its own, as from a shell, with the tiny CLIP and rendered videos. The kernel reports
when one of the videos is opened (inotify, so only on Linux); the process itself is not changed. A mistake is told when
the process has ended. Rounds are interleaved; medians are printed with least and most.

On a CPU: startup.py
Compared with another version: startup.py --source ../before/src src
Where the time goes: startup.py --modules 15
"""

import argparse
import ctypes
import os
import re
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
    "a misspelled key": ["test", *EXPERIMENT, "--data.loading.wrokers=2"],
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
    """Environment in which the package of a source folder is imported, and nothing is downloaded."""
    return {**os.environ, "PYTHONPATH": str(source.resolve()), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}


def command_line(arguments: list[str], *options: str) -> list[str]:
    """Command line of the console script, which needs no installed one."""
    program = "from ost_lightning.cli import entry_point; entry_point()"
    return [sys.executable, *options, "-c", program, *arguments]


def seconds_until_reading(source: Path, arguments: list[str], folder: Path) -> float:
    """Time until a command opens a video; it is then stopped."""
    with OpenedFiles(folder / "videos") as opened, (folder / "output.txt").open("w") as output:
        began = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  # fixed commands
            command_line(arguments),
            cwd=folder,
            env=environment(source),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            while not opened.video_within(0.1):
                if process.poll() is not None or time.perf_counter() - began > LIMIT:
                    raise SystemExit(f"{' '.join(arguments)}:\n{(folder / 'output.txt').read_text()}")
            return time.perf_counter() - began
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and its workers."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
    process.wait()


def seconds_until_told(source: Path, arguments: list[str], folder: Path) -> float:
    """Time until a command has told a mistake and ended."""
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603  # fixed commands
        command_line(arguments), cwd=folder, env=environment(source), capture_output=True, text=True, timeout=LIMIT
    )
    taken = time.perf_counter() - began
    if done.returncode != 1 or "ost: " not in done.stderr:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return taken


def heaviest_modules(source: Path, count: int) -> str:
    """Table of the packages whose modules take longest to import until `ost test` opens a video."""
    own: dict[str, float] = {}
    program = "import ost_lightning.cli as cli; cli.resolve_name(cli.EXPERIMENT_COMMANDS['test'].target)"
    done = subprocess.run(  # noqa: S603  # fixed commands
        [sys.executable, "-X", "importtime", "-c", program],
        env=environment(source),
        capture_output=True,
        text=True,
        check=True,
    )
    for microseconds, module in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr):
        package = module.partition(".")[0]
        own[package] = own.get(package, 0.0) + int(microseconds) / 1e6
    rows = sorted(own.items(), key=lambda item: -item[1])[:count]
    return "\n".join(
        ["| package | seconds |", "| --- | ---: |", *(f"| {name} | {taken:.2f} |" for name, taken in rows)]
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
    parser.add_argument("--modules", type=int, default=0, metavar="COUNT", help="only print the heaviest packages")
    options = parser.parse_args()
    if options.modules:
        for source in options.source:
            print(f"{source}\n\n{heaviest_modules(source, options.modules)}\n")
        return
    rows = {
        **{f"first video of `{name}`": (seconds_until_reading, arguments) for name, arguments in READING.items()},
        **{f"{name} is told": (seconds_until_told, arguments) for name, arguments in MISTAKES.items()},
    }
    rows = {name: row for name, row in rows.items() if options.only in name}
    taken: dict[tuple[str, Path], list[float]] = {(name, source): [] for name in rows for source in options.source}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder)
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
