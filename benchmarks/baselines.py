"""Trains and tests every baseline on the rendered world, with the same loader, metrics and commands as OST.

Each system of baselines.yaml is tuned on the seen classes of a draw, and its Top-1 is measured on other videos of
these classes, on unseen classes, and on pairs of classes that differ only in the order of their states. Prints a
Markdown table of means and standard deviations over draws.

Every training runs in a process of its own. Its figures are kept in a file, so that an interrupted benchmark goes on,
and several can share the work: --systems and --draws choose parts, and the table has all that is in the folder.
Rendered world and tiny CLIP: the figures say nothing about real videos.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import transformers
import yaml
from training_cost import COST

from ost_lightning.cli import main as ost
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.files import write_text_atomically
from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace
from ost_lightning.toyworld.dataset import RenderedPart, render_part
from ost_lightning.toyworld.grammar import DRAWS, GROUPS
from ost_lightning.toyworld.vocabulary import STATES, VERBS

FILE: Final = Path(__file__).with_suffix(".yaml")
ENSEMBLED: Final = "ensembled_0.2"
COLUMNS: Final = ("seen", "unseen", "unseen, ensembled", "order")
SIZES: Final = ("epochs", "train_clips", "test_clips")


def systems() -> dict[str, dict[str, Any]]:
    """Returns the systems by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["systems"]
    return found


def conditions(system: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Returns what figures depend on, as they are kept with them: the system's settings and overlays, and sizes."""
    experiments = shipped("experiments")
    files = ["toyworld.yaml", *(f"baselines/{name}.yaml" for name in system["overlays"])]
    settings = {key: value for key, value in system.items() if key != "scaled"}
    return {"system": settings, "files": {name: (experiments / name).read_text() for name in files}, **sizes}


def measure(
    system: Mapping[str, Any], draw: int, sizes: Mapping[str, int], folder: Path, groups: Sequence[str] = GROUPS
) -> dict[str, float]:
    """Trains and tests one system on one draw.

    Args:
        system: Entry of baselines.yaml.
        draw: Draw of classes.
        sizes: Epochs, and numbers of training and test videos per class.
        folder: Empty folder for the runs.
        groups: Groups of classes to test on.

    Returns:
        Top-1 by group, 0 to 1, and the cost of the training.
    """
    options = [f"--config={name}" for name in ("toyworld", *(f"baselines/{name}" for name in system["overlays"]))]
    options += [f"--{key}={json.dumps(value)}" for key, value in system.get("settings", {}).items()]
    options += [f"--data.{key}={sizes[key]}" for key in ("train_clips", "test_clips")]
    options += [f"--data.draw={draw}", f"--tracking.folder={folder}", "--data.loading.workers=0"]
    figures: dict[str, float] = {"parameters": 0}
    if system.get("trained", True):
        if system.get("bags"):
            options.append(f"--model.bags={bags(draw, sizes['train_clips'], folder)}")
        run = experiment("fit", *options, f"--trainer.max_epochs={sizes['epochs']}", "--trainer.limit_val_batches=0")
        figures = json.loads((run / COST).read_text())
        options.append(f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}")
    run = experiment("test", *options, f"--data.test_sets={json.dumps(list(groups))}")
    results = json.loads((run / "results.json").read_text())["sets"]
    for group in groups:
        scores = results[group]["scores"]
        figures[group] = next(iter(scores.values()))["top1"]  # as trained, or zero-shot
        if group == "unseen" and ENSEMBLED in scores:
            figures["unseen, ensembled"] = scores[ENSEMBLED]["top1"]
    return figures


def experiment(verb: str, *options: str) -> Path:
    """Runs a command of `ost`; returns the run's folder."""
    callbacks = ["WeightEnsembling", "training_cost.TrainingCost"] if verb == "fit" else ["WeightEnsembling"]
    quiet = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    quiet.append(f"--trainer.callbacks={json.dumps([{'class_path': name} for name in callbacks])}")
    return Path(str(ExperimentCLI([verb, *options, *quiet]).trainer.log_dir))


def bags(draw: int, clips: int, folder: Path) -> Path:
    """Makes bags of words for the training videos of a draw, with the commands that make them for other videos.

    In place of an LLM, which doesn't know this world, its vocabulary says how the verb of a class name may look. Names
    are all that it knows: what a class looks like is in its descriptors.
    """
    videos = render_part(RenderedPart(draw, "seen", "train", clips))
    names = LabelSpace.load(videos).names
    state = {name: VERBS[name.split()[0]] for name in names}
    words = {name: [phrase.format(prop=name.split()[1]) for phrase in STATES[state[name]]] for name in names}
    (folder / "words.json").write_text(json.dumps(words))
    (folder / "videos.txt").write_text("".join(f"{path.name}\n" for path in sorted(videos.glob("*.mp4"))))
    match = [f"--list={folder / 'videos.txt'}", f"--root={videos}", f"--labels={videos}", "--weights=tiny"]
    for command in (
        ["match", *match, "--keep=1", "--frames=8", "--device=cpu", "--workers=1", f"--output={folder / 'bags'}"],
        ["add", f"{folder / 'bags' / 'bags.jsonl'}", f"--classes={folder / 'words.json'}"],
    ):
        if ost(["bags", *command]):
            raise RuntimeError(f"`ost bags {command[0]}` failed")
    return folder / "bags" / "bags.jsonl"


def kept(folder: Path, name: str, draw: int) -> Path:
    """Returns the path of the figures of one system and draw."""
    return folder / name.replace(" ", "_") / f"draw{draw}.json"


def read(file: Path, expected: Mapping[str, Any]) -> dict[str, float] | None:
    """Returns kept figures; None if there are none, or they were measured under other conditions."""
    if not file.is_file():
        return None
    content = json.loads(file.read_text())
    figures: dict[str, float] = content["figures"]
    return figures if content["conditions"] == json.loads(json.dumps(expected)) else None


def in_own_process(name: str, draw: int, options: argparse.Namespace) -> str | None:
    """Measures one system on one draw unless it is done; returns the last line of an error, if there was one."""
    print(f"{name}, draw {draw}", file=sys.stderr, flush=True)
    sizes = [f"--{size}={getattr(options, size)}" for size in SIZES]
    command = [sys.executable, __file__, f"--systems={name}", f"--draws={draw}", *sizes, f"--folder={options.folder}"]
    done = subprocess.run([*command, "--here"], capture_output=True, text=True)  # noqa: S603  # this script
    return None if not done.returncode else (done.stderr.strip().splitlines() or ["no message"])[-1]


def table(folder: Path, sizes: Mapping[str, int]) -> str:
    """Returns the Markdown table of all kept figures that were measured in these sizes."""
    lines = [f"| system | trained | step, ms | memory, MiB | {' | '.join(COLUMNS)} | draws |"]
    lines.append(f"| --- |{' ---: |' * (len(COLUMNS) + 4)}")
    for name, system in systems().items():
        expected = conditions(system, sizes)
        rows = [figures for draw in range(DRAWS) if (figures := read(kept(folder, name, draw), expected))]
        if not rows:
            continue
        cost = [f"{rows[0]['parameters']:,}"]
        for key, factor in (("step_seconds", 1000), ("peak_mib", 1)):
            values = [factor * row[key] for row in rows if key in row]
            cost.append(f"{statistics.median(values):,.0f}" if values else "-")
        cells = [spread([100 * row[column] for row in rows if column in row]) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join([*cost, *cells])} | {len(rows)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Returns mean and standard deviation; the mean alone of one value, which has no deviation."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, nargs="+", default=list(range(DRAWS)), choices=range(DRAWS))
    parser.add_argument("--systems", nargs="+", default=list(systems()), choices=list(systems()))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--train_clips", type=int, default=8, help="number of training videos per class")
    parser.add_argument("--test_clips", type=int, default=10, help="number of test videos per class")
    parser.add_argument("--folder", type=Path, default=Path("runs/baselines"), help="folder for figures")
    parser.add_argument("--here", action="store_true", help="measure in this process, and print no table")
    options = parser.parse_args()
    sizes = {size: getattr(options, size) for size in SIZES}
    failed: dict[str, str] = {}
    for draw in options.draws:
        for name in options.systems:
            file, expected = kept(options.folder, name, draw), conditions(systems()[name], sizes)
            if read(file, expected):
                continue
            if not options.here:
                if error := in_own_process(name, draw, options):
                    failed[f"{name}, draw {draw}"] = error
                continue
            with tempfile.TemporaryDirectory() as runs:
                figures = measure(systems()[name], draw, sizes, Path(runs))
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomically(file, json.dumps({"figures": figures, "conditions": expected}, indent=1))
    if not options.here:
        print(f"{table(options.folder, sizes)}\n\nScaled down:\n", flush=True)
        for name, system in systems().items():
            if "scaled" in system:
                print(f"* {name}: {system['scaled']}")
        for what, error in failed.items():
            print(f"\n{what} could not run: {error}")
        for overlay, reason in yaml.safe_load(FILE.read_text())["without_row"].items():
            print(f"\nThe overlay {overlay} has no row: {reason}.")
    return int(bool(failed))


if __name__ == "__main__":
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore")
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    sys.exit(main())
