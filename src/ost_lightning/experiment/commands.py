"""Commands that run an experiment. Imports nothing heavy, so that help is fast."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ExperimentCommand:
    """Command that runs an experiment.

    Attributes:
        target: Class of the command line, as `package.module:class`.
        summary: Effect of the command, in one sentence.
        details: Files and output of the command, for its help.
        examples: Example command lines, the shortest first.
    """

    target: str
    summary: str
    details: str
    examples: tuple[str, ...]


_EXPERIMENT: Final = "ost_lightning.experiment.cli:ExperimentCLI"

EXPERIMENT_COMMANDS: Final[dict[str, ExperimentCommand]] = {
    "fit": ExperimentCommand(
        _EXPERIMENT,
        "Trains the model of an experiment on its training set and validates it along the way.",
        "Writes checkpoints, metrics.csv and config.yaml into the run's folder, runs/EXPERIMENT/version_N.",
        (
            "ost fit --config own_videos",
            "ost fit --config own_videos --config modes/lora --data.loading.global_batch_size 16",
            "ost fit --config own_videos --ckpt_path last",
        ),
    ),
    "validate": ExperimentCommand(
        _EXPERIMENT,
        "Scores the validation sets of an experiment.",
        "Prints the accuracy on each set and writes metrics.csv into the run's folder, runs/EXPERIMENT/version_N.",
        ("ost validate --config toyworld --ckpt_path last",),
    ),
    "test": ExperimentCommand(
        _EXPERIMENT,
        "Scores the test sets of an experiment.",
        "Prints the accuracy on each set and writes results.json and results.md into the run's folder, "
        "runs/EXPERIMENT/version_N.",
        (
            "ost test --config own_videos",
            "ost test --config own_videos --ckpt_path last",
            "ost test --config own_videos --ckpt_path last --order_report",
            "ost test --config own_videos --data HMDB51 --data.root /data/hmdb51",
        ),
    ),
    "predict": ExperimentCommand(
        _EXPERIMENT,
        "Recognizes the videos of an experiment's test sets, which need no labels.",
        "Writes predictions.csv into the run's folder, runs/EXPERIMENT/version_N: the likeliest classes of every "
        "video and their probabilities.",
        (
            "ost predict --config own_videos --ckpt_path last",
            "ost predict --config own_videos --data.root clips --data.test clips/new.txt",
        ),
    ),
    "ablate": ExperimentCommand(
        "ost_lightning.experiment.ablation:AblationCLI",
        "Scores every row of an ablation table in one pass over an experiment's test sets.",
        "Decodes and encodes every video once per set of weights, and reuses cached embeddings. Prints the table "
        "with the published figures and writes it into the run's folder.",
        (
            "ost ablate --config toyworld --ckpt_path last",
            "ost ablate --config toyworld --table my_table.yaml --output runs/mine",
            "ost ablate --mean runs/seed*/ablation.json --output runs/mean",
        ),
    ),
}
"""Commands by name."""
