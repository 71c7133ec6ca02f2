"""Implementation of `ost demo`: its runs, output and files."""

import json
import logging
import os
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
import transformers
from rich.console import Console
from rich.table import Table

from ost_lightning.analysis import draw_matching_flows, matching_flow
from ost_lightning.datamodules import ToyWorld
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.matching import PlanMatcher
from ost_lightning.tasks import RecognitionTask
from ost_lightning.tools.demo.timeline import write_demo_timeline
from ost_lightning.vocabulary import DESCRIPTOR_KINDS

Weights = Literal["pretrained", "finetuned", "ensembled"]
MATCHERS: Final = {
    "category_name": "CategoryName",
    "pooled_descriptors": "PooledDescriptors",
    "optimal_descriptor_solver": "OptimalDescriptorSolver",
}
WEIGHTS: Final[tuple[Weights, ...]] = ("pretrained", "finetuned", "ensembled")
RATIO: Final = 0.2
_PREFIX_OF: Final[dict[Weights, str]] = {
    "pretrained": "test/unseen",
    "finetuned": "test/unseen",
    "ensembled": f"test/unseen/ensembled_{RATIO:g}",
}


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one run on unseen classes, 0 to 1."""

    matcher: str
    weights: Weights
    top1: float
    top5: float
    videos: int


def run_demo(output: Path, draws: Sequence[int], seeds: Sequence[int], epochs: int) -> None:
    """Runs every matcher with every kind of weights, draws a matching flow, writes the table and a timeline.

    Args:
        output: Folder for results.json, results.md, matching_flow.png, timeline.html with its video, and the runs.
        draws: Draws of classes, 0 to 4 each.
        seeds: Training seeds.
        epochs: Number of passes over the training videos.
    """
    _reduce_output()
    console = Console()
    started = time.monotonic()
    scores: list[Score] = []
    runs = _Runs(output / "runs", epochs, console, total=len(draws) * len(MATCHERS) * (1 + 2 * len(seeds)))
    for draw in draws:
        for matcher in MATCHERS:
            untuned = runs.test(matcher, draw, seeds[0])
            scores.append(_score(untuned, matcher, "pretrained"))
            for seed in seeds:
                checkpoint = runs.fit(matcher, draw, seed)
                tuned = runs.test(matcher, draw, seed, checkpoint)
                scores += [_score(tuned, matcher, weights) for weights in ("finetuned", "ensembled")]
    picture = output / "matching_flow.png"
    _draw_first_video(tuned, picture)  # the last run's, which uses the OD Solver
    results = _summary(scores, tuned, draws, seeds, time.monotonic() - started)
    _write(results, output)
    _show(results, console)
    console.print(
        f"Matching flow of the first test video: {picture}\nResults: {output / 'results.json'} and "
        f"{output / 'results.md'}"
    )
    console.rule("finding what happens when in a long video", align="left")
    found = write_demo_timeline(checkpoint, draws[-1], output)  # the last run's
    console.print(str(found.timeline), markup=False, highlight=False)
    console.print(
        f"Timeline of a long video of unseen classes, with {found.found} of {len(found.actions)} actions found: "
        f"{found.page}"
    )
    console.print(f"One page about all tests, with their classes and videos: ost report {output}", highlight=False)


class _Runs:
    """Runner of experiments through the command line that users have."""

    def __init__(self, folder: Path, epochs: int, console: Console, total: int) -> None:
        self._folder, self._epochs, self._console, self._total, self._done = folder, epochs, console, total, 0

    def fit(self, matcher: str, draw: int, seed: int) -> Path:
        """Fine-tunes on seen classes, and returns the last checkpoint."""
        self._announce(f"fine-tuning with the matcher {matcher}")
        cli = ExperimentCLI(
            [
                "fit",
                *self._settings(matcher, draw, seed),
                f"--trainer.max_epochs={self._epochs}",
                "--trainer.limit_val_batches=0",
            ]
        )
        return Path(str(cli.trainer.log_dir)) / "checkpoints" / "last.ckpt"

    def test(self, matcher: str, draw: int, seed: int, checkpoint: Path | None = None) -> ExperimentCLI:
        """Tests on videos of unseen classes."""
        self._announce(
            f"testing {'the pre-trained' if checkpoint is None else 'fine-tuned and ensembled'} weights with "
            f"the matcher {matcher}"
        )
        return ExperimentCLI(
            ["test", *self._settings(matcher, draw, seed), *([f"--ckpt_path={checkpoint}"] if checkpoint else [])]
        )

    def _announce(self, what: str) -> None:
        self._done += 1
        self._console.rule(f"[{self._done}/{self._total}] {what}", align="left")

    def _settings(self, matcher: str, draw: int, seed: int) -> list[str]:
        return [
            "--config=toyworld",
            f"--seed_everything={seed}",
            f"--data.draw={draw}",
            f"--model.matcher={MATCHERS[matcher]}",
            f"--tracking.folder={self._folder}",
            f"--tracking.name={matcher}",
            "--tracking.wandb=false",
            "--trainer.enable_model_summary=false",
        ]


def _score(cli: ExperimentCLI, matcher: str, weights: Weights) -> Score:
    metrics, prefix = cli.trainer.callback_metrics, _PREFIX_OF[weights]
    return Score(
        matcher,
        weights,
        float(metrics[f"{prefix}/top1"]),
        float(metrics[f"{prefix}/top5"]),
        int(metrics[f"{prefix}/videos"]),
    )


def _summary(
    scores: Sequence[Score], cli: ExperimentCLI, draws: Sequence[int], seeds: Sequence[int], seconds: float
) -> dict[str, Any]:
    rows = []
    for matcher in MATCHERS:
        for weights in WEIGHTS:
            runs = [score for score in scores if (score.matcher, score.weights) == (matcher, weights)]
            row: dict[str, Any] = {"matcher": matcher, "weights": weights}
            row |= {
                "top1": statistics.mean(run.top1 for run in runs),
                "top5": statistics.mean(run.top5 for run in runs),
            }
            row |= {"videos": runs[0].videos, "runs": len(runs)}
            if len(runs) > 1:
                row["top1_sd"] = statistics.stdev(run.top1 for run in runs)
            rows.append(row)
    classes = len(cli.datamodule.evaluation_labels("test")["unseen"])
    return {
        "what": "rendered world, tiny CLIP: no statement about real videos or a real CLIP",
        "chance": 1 / classes,
        "classes": classes,
        "draws": list(draws),
        "seeds": list(seeds),
        "ensembling_ratio": RATIO,
        "wall_seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "rows": rows,
    }


def _write(results: dict[str, Any], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    header = ["matcher", *WEIGHTS]
    lines = [" | ".join(header), " | ".join("---" for _ in header), *(" | ".join(cells) for cells in _cells(results))]
    (output / "results.md").write_text(
        "".join(f"| {line} |\n" for line in lines) + f"\n{_caption(results)}\n", encoding="utf-8"
    )


def _show(results: dict[str, Any], console: Console) -> None:
    table = Table(title="Top-1 on unseen classes (%)", caption=_caption(results))
    table.add_column("matcher")
    for weights in WEIGHTS:
        table.add_column(weights, justify="right")
    for cells in _cells(results):
        table.add_row(*cells)
    console.print(table)


def _cells(results: dict[str, Any]) -> list[list[str]]:
    def cell(row: dict[str, Any]) -> str:
        spread = f" ± {100 * row['top1_sd']:.1f}" if "top1_sd" in row else ""
        return f"{100 * row['top1']:.1f}{spread}"

    rows = results["rows"]
    return [[matcher, *(cell(row) for row in rows if row["matcher"] == matcher)] for matcher in MATCHERS]


def _caption(results: dict[str, Any]) -> str:
    draws, seeds = (", ".join(map(str, results[key])) for key in ("draws", "seeds"))
    return (
        f"Rendered world, tiny CLIP. Chance {100 * results['chance']:.1f} %; {results['rows'][0]['videos']} "
        f"videos of {results['classes']} unseen "
        f"classes; draw {draws}; seed {seeds}; {results['wall_seconds']:.0f} s on {results['cores']} cores."
    )


@torch.no_grad()
def _draw_first_video(cli: ExperimentCLI, file: Path) -> None:
    """Draws the matching flow of the first test video to the descriptors of its recognized class and its true one."""
    task, data = cli.model, cli.datamodule
    if not (isinstance(task, RecognitionTask) and isinstance(task.matcher, PlanMatcher) and isinstance(data, ToyWorld)):
        raise TypeError("the last run of the demo must use a matcher with a plan on the rendered world")
    loader = data.test_dataloader()[0]
    batch = next(iter(loader))
    labels = data.evaluation_labels("test")["unseen"]
    texts = task.video_clip.encode_sentences(task.tokenize(labels))
    scores = probabilities(task.video_clip, task.matcher, texts, embed(task.video_clip, batch.frames[:1]))[0]
    best, true, clip, flows = int(scores.argmax()), int(batch.labels[0]), batch.frames[0, 0], {}
    for k in dict.fromkeys((best, true)):
        name = labels.names[k]
        for kind in DESCRIPTOR_KINDS:
            written = getattr(labels.descriptors[name], kind)
            flow = matching_flow(task.video_clip, task.matcher, clip, texts[kind][k], written, kind)
            flows[f"{name}: {kind.capitalize()} Descriptors"] = flow
    recognized = f"recognized as '{labels.names[best]}' ({100 * float(scores[best]):.0f} %)"
    title = f"{batch.ids[0]}: {recognized}, ground truth: '{labels.names[true]}'"
    draw_matching_flows(flows, title, file, loader.clips.seconds_of(batch.ids[0]))


def _reduce_output() -> None:
    """Silences messages that nine short runs would repeat nine times; the progress bars remain."""
    transformers.logging.disable_progress_bar()
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
