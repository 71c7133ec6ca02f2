"""Growth of time and memory with the number of videos, classes, frames, descriptors and processes.

Prints one Markdown table per axis, with an exponent: 1 is linear, 0 does not depend on the size. One axis alone:
growth.py --part classes. Ctrl+C prints what was measured so far. One figure per axis: --figure growth_{part}.svg

Every quantity runs in a process of its own, forked after its inputs were made, on one thread. Time is processor time,
the median of several runs. Memory is the largest resident memory beyond the inputs.
"""

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from growth_classes import CLASSES
from growth_measure import Measured, Work, measure
from growth_processes import PROCESSES
from growth_shapes import DESCRIPTORS, FRAMES, MINUTES
from growth_videos import PREDICTIONS, VIDEOS

from ost_lightning.analysis.pictures import COLORS, WIDTH, picture

FLOORS = {"seconds": 2e-3, "bytes": 1e6}
"""Smallest values that an exponent is fitted to; below them, fixed costs and the resolution decide."""
SLACK = 0.25
"""Excess over 1 of an exponent that a single run can have by chance."""


@dataclass(frozen=True)
class Axis:
    """What grows.

    Attributes:
        unit: What is counted.
        sizes: Sizes from the smallest to the largest.
        tiny: Sizes for a test.
        quantities: Function by name that makes the inputs of one size in a folder, and returns what is measured.
        largest: Largest size by name, where it is smaller than that of the axis.
    """

    unit: str
    sizes: tuple[int, ...]
    tiny: tuple[int, ...]
    quantities: Mapping[str, Callable[[int, Path], Work]]
    largest: Mapping[str, int] = field(default_factory=dict)


MILLION = (100, 1000, 10_000, 100_000, 1_000_000)
AXES = {
    "videos": Axis("videos", MILLION, (100, 1000), VIDEOS, {"finding files": 100_000}),
    "predictions": Axis("scored videos", MILLION, (100, 1000), PREDICTIONS),
    "classes": Axis(
        "classes",
        (10, 100, 1000, 10_000),
        (10, 100),
        CLASSES,
        {"encoding sentences, tiny": 1000, "batches of sentences": 1000},
    ),
    "frames": Axis("frames", (8, 16, 32, 64, 128), (8, 16), FRAMES),
    "descriptors": Axis("descriptors", (1, 2, 4, 8, 16, 32, 64), (1, 4), DESCRIPTORS),
    "minutes": Axis("minutes", (1, 4, 16, 64), (1, 2), MINUTES),
    "processes": Axis("processes", (1, 2, 4, 8), (1, 2), PROCESSES),
}


def measure_axis(axis: Axis, sizes: Sequence[int]) -> dict[str, dict[int, Measured]]:
    """Measures all quantities of an axis, by name and size; after an interruption, those that were measured so far."""
    found: dict[str, dict[int, Measured]] = {name: {} for name in axis.quantities}
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory() as smallest:
        first = {name: prepare(sizes[0], Path(smallest)) for name, prepare in axis.quantities.items()}
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:  # whose files several quantities read
                for name, prepare in axis.quantities.items():
                    if size <= axis.largest.get(name, size):
                        work = prepare(size, Path(folder))
                        found[name][size] = measure(work, first[name])
    return {name: points for name, points in found.items() if points}


def exponent(points: Mapping[int, float], floor: float) -> float:
    """Slope in logarithms over the largest two decades; NaN if fewer than two points are above the floor."""
    fitted = {size: value for size, value in points.items() if value > floor and 100 * size >= max(points)}
    if len(fitted) < 2:
        return math.nan
    return float(np.polyfit(np.log(list(fitted)), np.log(list(fitted.values())), 1)[0])


def table(axis: Axis, found: Mapping[str, Mapping[int, Measured]]) -> str:
    """Markdown with time, memory and exponents of every quantity."""
    last = max(size for points in found.values() for size in points)
    columns = f"at {last:,} | per unit | exponent | memory | per unit | exponent"
    lines = [f"| {axis.unit} | {columns} |", "| --- |" + " ---: |" * 6]
    for name, points in found.items():
        size = max(points)
        cells = [name if size == last else f"{name} (at {size:,})"]
        for measure_name, show in (("seconds", seconds), ("bytes", size_text)):
            values = {one: float(getattr(measured, measure_name)) for one, measured in points.items()}
            slope = exponent(values, FLOORS[measure_name])
            known = not math.isnan(slope)
            bold = "**" if slope > 1 + SLACK else ""
            cells += [show(values[size]), show(values[size] / size) if known else "", f"{bold}{slope:.2f}{bold}"]
            if not known:
                cells[-1] = ""
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def seconds(value: float) -> str:
    return _with_unit(value, (("s", 1), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)))


def size_text(value: float) -> str:
    return _with_unit(value, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1)))


def _with_unit(value: float, units: Sequence[tuple[str, float]]) -> str:
    name, scale = next((unit for unit in units if value >= 0.9995 * unit[1]), units[-1])
    shown = value / scale
    return f"{shown:.{max(0, 2 - len(str(int(shown))))}f} {name}"


def draw(axis: Axis, found: Mapping[str, Mapping[int, Measured]], file: Path) -> None:
    """Draws time and memory against the size, both logarithmic; dotted lines are linear."""
    with picture(file, WIDTH, 3.4) as figure:
        panels = figure.subplots(1, 2)
        for panel, what, label in zip(panels, ("seconds", "bytes"), ("time, s", "memory, MB"), strict=True):
            scale = 1e-6 if what == "bytes" else 1
            floor = FLOORS[what] * scale / 4
            for place, (name, points) in enumerate(found.items()):
                values = [max(scale * getattr(measured, what), floor) for measured in points.values()]
                style = ("-", "--", "-.")[place // len(COLORS)]
                panel.plot(list(points), values, style, color=COLORS[place % len(COLORS)], lw=1, label=name)
            panel.set(xscale="log", yscale="log", xlabel=axis.unit, ylabel=label)
            for scale_axis in (panel.xaxis, panel.yaxis):
                scale_axis.set_major_formatter(lambda value, place: f"{value:,.7g}")
                scale_axis.set_minor_formatter(lambda value, place: "")
            panel.tick_params(axis="x", rotation=30)
            low, high = panel.get_ylim()
            sizes = np.array([min(axis.sizes), max(axis.sizes)], float)
            for start in np.geomspace(low * 1e-6, high, 14):
                panel.plot(sizes, start * sizes / sizes[0], ":", color="0.85", lw=0.6, zorder=0)
            panel.set_ylim(low, high)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=AXES, default=list(AXES), help="axes to measure; all by default")
    parser.add_argument("--only", default="", help="words in the names of the quantities to measure")
    parser.add_argument("--tiny", action="store_true", help="only show that everything works")
    parser.add_argument("--largest", type=int, default=10**9, help="largest size to measure")
    parser.add_argument("--figure", help="file for a figure, with {part} for the name of the axis")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    for part in options.part:
        axis, began = AXES[part], time.perf_counter()
        chosen = {name: prepare for name, prepare in axis.quantities.items() if options.only in name}
        axis = Axis(axis.unit, axis.sizes, axis.tiny, chosen, axis.largest)
        sizes = axis.tiny if options.tiny else [size for size in axis.sizes if size <= options.largest]
        found = measure_axis(axis, sizes)
        print(f"{table(axis, found)}\n\n{part}: {time.perf_counter() - began:.0f} s\n", flush=True)
        if options.figure is not None:
            draw(axis, found, Path(options.figure.format(part=part)))


if __name__ == "__main__":
    main()
