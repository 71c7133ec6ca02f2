"""Fine-tunes the tiny CLIP on the rendered world, once per mechanism, draw of classes and seed.

Runs the experiment of `ost fit --config toyworld` with another matcher. A run whose weights exist is not repeated. A
run takes about a minute on one core.
"""

import argparse
import json
import time
from pathlib import Path

from ost_lightning.experiment.cli import ExperimentCLI

MATCHER = "--model.matcher"
TRANSPORTED_ONLY = (f"{MATCHER}.terms.spatio_pooled=0", f"{MATCHER}.terms.temporal_pooled=0")


def settings(mechanism: str, chosen: Path) -> tuple[str, ...]:
    """Returns the options of a mechanism; their values were chosen on seen classes."""
    if mechanism == "paper":
        return ()
    if mechanism == "transported":
        return TRANSPORTED_ONLY
    if mechanism == "learned_epsilon":
        return (f"{MATCHER}.gradient=implicit", f"{MATCHER}.learn_epsilon=true")
    choice = json.loads(chosen.read_text())
    order = (f"{MATCHER}.temporal.order_sigma={choice['order_sigma']}", f"{MATCHER}.max_iterations=500")
    relaxed = tuple(f"{MATCHER}.{kind}.descriptor_rho={choice['descriptor_rho']}" for kind in ("spatio", "temporal"))
    return {"order": order, "relaxed": relaxed}[mechanism]


def weights_of(mechanism: str, draw: int, seed: int, folder: Path) -> Path:
    """Returns the folder of a run's weights, in HF format."""
    return folder / "weights" / mechanism / f"draw{draw}-seed{seed}"


def train(mechanism: str, draw: int, seed: int, folder: Path) -> None:
    weights = weights_of(mechanism, draw, seed, folder)
    if weights.is_dir():
        return
    began = time.process_time()
    cli = ExperimentCLI(
        [
            "fit",
            "--config=toyworld",
            f"{MATCHER}=OptimalDescriptorSolver",
            *settings(mechanism, folder / "choice.json"),
            f"--seed_everything={seed}",
            f"--data.draw={draw}",
            "--data.loading.workers=0",
            f"--tracking.folder={folder / 'runs'}",
            f"--tracking.name={mechanism}-draw{draw}-seed{seed}",
            "--tracking.wandb=false",
            "--trainer.limit_val_batches=0",
            "--trainer.enable_model_summary=false",
            "--trainer.enable_progress_bar=false",
        ]
    )
    partial = weights.with_name(f".{weights.name}")
    cli.model.video_clip.save_pretrained(partial)
    epsilon = float(cli.model.matcher.epsilon)
    seconds = round(time.process_time() - began, 1)
    (partial / "study.json").write_text(json.dumps({"epsilon": epsilon, "cpu_seconds": seconds}))
    partial.rename(weights)
    print(f"{mechanism} draw {draw} seed {seed}: {seconds} s of CPU time, epsilon {epsilon:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mechanism", nargs="+", default=["paper", "order", "relaxed"])
    parser.add_argument("--draw", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/beyond"))
    options = parser.parse_args()
    for mechanism in options.mechanism:
        for draw in options.draw:
            for seed in options.seed:
                train(mechanism, draw, seed, options.folder)


if __name__ == "__main__":
    main()
