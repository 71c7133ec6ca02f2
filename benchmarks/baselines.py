"""Trains and tests every baseline on the rendered world, with the same loader, metrics and commands as OST.

Each model is tuned on the seen classes of a draw. Top-1 is measured on other videos of these classes, and on unseen
classes, with the tuned weights and with their mixture with the original ones (0.2). Prints means and standard
deviations over draws. Rendered world and tiny CLIP: the figures say nothing about real videos.
"""

import argparse
import json
import logging
import statistics
import tempfile
import warnings
from pathlib import Path

import transformers

from ost_lightning.experiment.cli import ExperimentCLI

MODELS = {
    "CLIP, zero-shot": ["baselines/clip"],
    "ViFi-CLIP (cross-entropy)": ["baselines/vifi_clip"],
    "ViFi-CLIP (contrastive)": ["baselines/vifi_clip_contrastive"],
    "ActionCLIP": ["baselines/action_clip"],
    "Text4Vis": ["baselines/text4vis"],
    "OST on Text4Vis": ["baselines/ost_on_text4vis"],
    "OST": [],
}


def run(verb: str, overlays: list[str], draw: int, folder: Path, *more: str) -> ExperimentCLI:
    files = [f"--config={name}" for name in ("toyworld", *overlays)]
    quiet = ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    return ExperimentCLI([verb, *files, f"--data.draw={draw}", f"--tracking.folder={folder}", *quiet, *more])


def measure(name: str, draw: int, epochs: int, folder: Path) -> dict[str, float]:
    overlays, weights = MODELS[name], []
    if name != "CLIP, zero-shot":
        fitted = run("fit", overlays, draw, folder, f"--trainer.max_epochs={epochs}", "--trainer.limit_val_batches=0")
        weights = [f"--ckpt_path={Path(str(fitted.trainer.log_dir)) / 'checkpoints' / 'last.ckpt'}"]
    seen = run("validate", overlays, draw, folder, *weights).trainer.callback_metrics
    unseen = run("test", overlays, draw, folder, *weights).trainer.callback_metrics
    return {
        "seen": float(seen["val/seen/top1"]),
        "unseen": float(unseen["test/unseen/top1"]),
        "unseen, ensembled": float(unseen["test/unseen/ensembled_0.2/top1"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    options = parser.parse_args()
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore")
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            rows = [measure(name, draw, options.epochs, Path(folder)) for draw in options.draws]
            cells = {
                key: f"{100 * statistics.mean(row[key] for row in rows):.1f} "
                f"± {100 * (statistics.stdev(row[key] for row in rows) if len(rows) > 1 else 0):.1f}"
                for key in rows[0]
            }
            print(json.dumps({"model": name, **cells, "draws": rows}, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
