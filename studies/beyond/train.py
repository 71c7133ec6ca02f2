"""Fine-tunes the tiny CLIP on the rendered world, once per variant, draw of classes and seed.

Each run is `ost fit --config toyworld` with the options of a variant. A run takes about a minute on one core. A run
whose weights exist is not repeated, and one that another process is training is left to it, so that several processes
can share the work. The first draws and seeds of all variants come first.
"""

import argparse
import fcntl
import json
import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.files import atomic_write
from ost_lightning.models import ContextualVideoCLIP, TemporalContext, VideoCLIP

MATCHER = "--model.matcher"
CONTEXT = "--model.video_clip.temporal_context"
VARIANTS: dict[str, Sequence[str]] = {
    "paper": (),
    "order": (f"{MATCHER}.temporal.order_sigma={{order_sigma}}", f"{MATCHER}.max_iterations=500"),
    "relaxed": tuple(f"{MATCHER}.{kind}.descriptor_rho={{descriptor_rho}}" for kind in ("spatio", "temporal")),
    "transported": (f"{MATCHER}.terms.spatio_pooled=0", f"{MATCHER}.terms.temporal_pooled=0"),
    "learned_epsilon": (f"{MATCHER}.gradient=implicit", f"{MATCHER}.learn_epsilon=true"),
    "distillation": ("--config=ingredients/structure_distillation",),
    "interpolation": ("--config=ingredients/weight_interpolation",),
    "context": (
        "--config=ingredients/temporal_context",
        f"{CONTEXT}.context_tokens=8",
        f"{CONTEXT}.merges_per_round=9",
    ),
}
"""Options of each variant; settings in braces were chosen on seen classes.

With 8 frames of 36 patches, nothing would be merged into the overlay's 96 context tokens. As in TC-CLIP, about a tenth
of the picked patches remain, after about eight rounds.
"""
RECORD = "study.json"
"""Name of the file beside the weights with what a run took, and the settings of what it added to CLIP."""
QUIET = (
    "--data.loading.workers=0",
    "--tracking.wandb=false",
    "--trainer.limit_val_batches=0",
    "--trainer.enable_model_summary=false",
    "--trainer.enable_progress_bar=false",
)
KEEP_EPOCHS = (
    "--trainer.callbacks+=ModelCheckpoint",
    "--trainer.callbacks.filename=epoch{epoch}",
    "--trainer.callbacks.auto_insert_metric_name=false",
    "--trainer.callbacks.save_top_k=-1",
    "--trainer.callbacks.save_on_train_epoch_end=true",
    "--trainer.callbacks.save_weights_only=true",
)


def tuned(weights: Path, run: Path, options: Sequence[str]) -> Path | None:
    """Returns the folder of a run's weights, in HF format, after training if there is none.

    The weights after each epoch are beside it, with the suffix `.epochs`.

    Args:
        weights: Folder to write the weights to.
        run: Folder for the files of the run.
        options: Options of `ost fit` beside `--config toyworld`.

    Returns:
        The folder of weights; None while another process is training them.
    """
    weights.parent.mkdir(parents=True, exist_ok=True)
    with weights.with_name(f"{weights.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if weights.is_dir():
            return weights
        began = time.process_time()
        tracking = (f"--tracking.folder={run.parent}", f"--tracking.name={run.name}")
        epochs = f"--trainer.callbacks.dirpath={weights.with_name(f'{weights.name}.epochs')}"
        cli = ExperimentCLI(["fit", "--config=toyworld", *options, *tracking, *QUIET, *KEEP_EPOCHS, epochs])
        seconds = round(time.process_time() - began, 1)
        with atomic_write(weights) as incomplete:
            cli.model.video_clip.save_pretrained(incomplete)
            matcher = cli.model.matcher
            record = {"cpu_seconds": seconds, "epsilon": float(getattr(matcher, "epsilon", 0))}
            (incomplete / RECORD).write_text(json.dumps(record | cli.model.video_clip.part_settings()))
        print(f"{run.name}: {seconds} s of CPU time", flush=True)
    return weights


def trained_clip(weights: Path) -> VideoCLIP:
    """Returns the model of a folder that `tuned` wrote: of the class and with the settings that it was trained with."""
    settings = json.loads((weights / RECORD).read_text()).get("temporal_context")
    if settings is None:
        return VideoCLIP(str(weights))
    settings = {name: value for name, value in settings.items() if name != "class"}
    return ContextualVideoCLIP(str(weights), temporal_context=partial(TemporalContext, **settings))


def weights_of(variant: str, draw: int, seed: int, folder: Path) -> Path:
    """Returns the folder of a run's weights, in HF format."""
    return folder / "weights" / variant / f"draw{draw}-seed{seed}"


def train(variant: str, draw: int, seed: int, folder: Path, difficulty: str) -> None:
    """Trains one variant, unless its weights exist or another process is training them."""
    options = [*VARIANTS[variant]]
    if any("{" in option for option in options):
        choice = json.loads((folder / "choice.json").read_text())
        options = [option.format(**choice) for option in options]
    world = [f"--seed_everything={seed}", f"--data.draw={draw}", f"--data.difficulty={difficulty}"]
    run = folder / "runs" / f"{variant}-draw{draw}-seed{seed}"
    tuned(weights_of(variant, draw, seed, folder), run, [*options, *world])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--difficulty", choices=("standard", "hard"), default="standard")
    parser.add_argument("--mechanism", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--draw", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, help="runs/beyond by default, or runs/beyond-hard")
    options = parser.parse_args()
    folder = options.folder or Path("runs/beyond" if options.difficulty == "standard" else "runs/beyond-hard")
    for seed, draw, variant in product(options.seed, options.draw, options.mechanism):
        train(variant, draw, seed, folder, options.difficulty)


if __name__ == "__main__":
    main()
