"""Compares one ablation of many settings with as many separate test runs, on the rendered world.

Every command is a separate process, as a user would start it, on videos that are already rendered. A test run scores
only its own setting. Prints medians and spread, and the ratio of n test runs to one ablation of n settings, with an
empty and with a full embedding cache. Also checks that both give the same accuracies.

The paper's Table 4 has ten settings that the rendered world allows; the grid has 29 (mechanisms, N, conditioning). All
test runs of Table 4 are measured. Runs of the grid cost the same, so their total is estimated as n times the median.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from ost_lightning.resources import shipped

SOLVER = "OptimalDescriptorSolver"
COMMON = ["--config=toyworld", "--tracking.wandb=false", "--trainer.enable_model_summary=false"]


def grid() -> dict:
    """Returns settings of eight mechanisms, two N and two conditionings."""
    terms = {
        "both": {},
        "spatio": {"temporal_pooled": 0, "temporal_transported": 0},
        "temporal": {"spatio_pooled": 0, "spatio_transported": 0},
        "transported": {"spatio_pooled": 0, "temporal_pooled": 0},
    }
    matchers = [{"class_path": SOLVER, "init_args": {"terms": weights}} for weights in terms.values()]
    matchers += [{"class_path": name} for name in ("PooledDescriptors", "MaxSimilarity", "SoftmaxMatching")]
    settings = [{"matcher": {"class_path": "CategoryName"}}] + [
        {"matcher": matcher, "descriptors_per_class": count, "templates": templates}
        for matcher in matchers
        for count in (2, 4)
        for templates in ("condition_temporal", "condition_none")
    ]
    rows = [{"part": "grid", "name": f"{k}"} for k in range(len(settings))]
    return {"ablation": {"settings": [{**one, "rows": [row]} for one, row in zip(settings, rows, strict=True)]}}


def run(arguments: list[str], folder: Path) -> tuple[float, Path]:
    """Runs a command; returns its seconds and run folder."""
    before = set(folder.glob("*/version_*"))
    began = time.perf_counter()
    command = [sys.executable, "-m", "ost_lightning", *arguments, f"--tracking.folder={folder}"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # fixed command
    seconds = time.perf_counter() - began
    print(f"{seconds:6.2f} s  ost {' '.join(arguments[:1] + arguments[-4:])}"[:150], file=sys.stderr, flush=True)
    (run_folder,) = set(folder.glob("*/version_*")) - before
    return seconds, run_folder


def as_test(setting: dict, checkpoint: list[str]) -> list[str]:
    """Returns the command line of a test run of one setting."""
    matcher = setting["matcher"]
    matcher = {"class_path": matcher} if isinstance(matcher, str) else matcher
    ratio = setting.get("ratio")
    callbacks = [{"class_path": "WeightEnsembling", "init_args": {"ratios": [ratio]}}] if ratio else []
    command = ["test", *COMMON, f"--model.matcher={json.dumps(matcher)}"]
    command += [f"--trainer.callbacks={json.dumps(callbacks)}"]
    for key in ("templates", "descriptors_per_class"):
        command += [f"--model.{key}={setting[key]}"] if key in setting else []
    return [*command, *checkpoint]


def summary(times: list[float]) -> str:
    return f"median {statistics.median(times):5.2f} s (min {min(times):.2f}, max {max(times):.2f}, n {len(times)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", help="checkpoint of a tuned model; by default, one is trained for two steps")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.checkpoint:
            tune = ["--data.train_clips=1", "--trainer.max_steps=2", "--trainer.limit_val_batches=0"]
            _, run_folder = run(["fit", *COMMON, *tune], folder / "tuned")
            options.checkpoint = run_folder / "checkpoints" / "last.ckpt"
        checkpoint = [f"--ckpt_path={options.checkpoint}"]
        table4 = shipped("experiments") / "ablations" / "table4.yaml"
        settings = yaml.safe_load(table4.read_text())["ablation"]["settings"]
        settings = [one for one in settings if one.get("descriptors_per_class") != 8]  # the rendered world has four
        tables = {"table4": folder / "table4.yaml", "grid": folder / "grid.yaml"}
        tables["table4"].write_text(yaml.safe_dump({"ablation": {"settings": settings}}))
        tables["grid"].write_text(yaml.safe_dump(grid()))
        sizes = {key: len(yaml.safe_load(file.read_text())["ablation"]["settings"]) for key, file in tables.items()}
        run(["test", *COMMON, "--trainer.callbacks=[]", *checkpoint], folder / "first")  # renders, fills the page cache

        ablated: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.repetitions):
            for key, file in tables.items():
                command = ["ablate", *COMMON, f"--table={file}", *checkpoint]
                for state in ("empty", "full"):
                    if state == "empty":
                        shutil.rmtree(Path(os.environ["OST_CACHE"]) / "frame_embeddings", ignore_errors=True)
                    seconds, run_folder = run(command, folder / key)
                    ablated.setdefault((key, state), []).append(seconds)
                    if key == "table4":
                        rows = json.loads((run_folder / "ablation.json").read_text())["rows"]
        tests, wrong = [], 0
        for one in settings:
            seconds, run_folder = run(as_test(one, checkpoint), folder / "tests")
            tests.append(seconds)
            with (run_folder / "metrics.csv").open(newline="") as file:
                logged = list(csv.DictReader(file))[-1]
            weights = f"/ensembled_{one['ratio']:g}" if one.get("ratio") else ""
            cell = one["rows"][0]
            (row,) = [row for row in rows if (row["part"], row["name"]) == (cell["part"], cell["name"])]
            wrong += float(logged[f"test/unseen{weights}/top1"]) != row["top1"]["unseen"]
    print(f"separate test runs: {summary(tests)}, together {sum(tests):.1f} s; {wrong} of {len(tests)} differ in Top-1")
    for (key, state), times in ablated.items():
        total = sum(tests) if key == "table4" else sizes[key] * statistics.median(tests)
        ratio = total / statistics.median(times)
        print(f"{key:6s} {sizes[key]:2d} settings, {state:5s} cache: {summary(times)}, {ratio:4.1f} times as fast")


if __name__ == "__main__":
    if "OST_CACHE" not in os.environ:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["OST_CACHE"] = cache
            main()
    else:
        sys.exit("unset OST_CACHE: this benchmark empties the embedding cache")
