"""The commands that run an experiment. Imports nothing heavy, so that help need not wait."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ExperimentCommand:
    """A command that runs an experiment.

    Attributes:
        target: Class of the command line, as `package.module:class`.
        summary: What it does, in one sentence.
        needs: What it does with the data and the weights, for its help.
        examples: Command lines; the first is the shortest.
    """

    target: str
    summary: str
    needs: str
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
            "ost predict --config own_videos --data.root clips "
            "--data.test '{new: {list: clips/new.txt, labels: videos}}'",
        ),
    ),
    "ablate": ExperimentCommand(
        "ost_lightning.experiment.ablation:AblationCLI",
        "Scores every row of an ablation table in one pass over an experiment's test sets.",
        "Every video is decoded and encoded once for each set of weights, and not at all if it has been before. "
        "Prints the table beside the published figures and writes it into the run's folder.",
        (
            "ost ablate --config toyworld --ckpt_path last",
            "ost ablate --config toyworld --table my_table.yaml --output runs/mine",
            "ost ablate --mean runs/seed*/ablation.json --output runs/mean",
        ),
    ),
}
"""By name."""
