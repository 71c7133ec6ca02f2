"""Scores of one test run and the conditions of their measurement: the content of `results.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from ost_lightning.analysis.results.order_report import OrderScore, score_table
from ost_lightning.analysis.results.published_lists import list_named
from ost_lightning.analysis.results.transductive import TransductiveScore, transductive_table
from ost_lightning.errors import UserError
from ost_lightning.escaping import markdown_line, markdown_text
from ost_lightning.files import write_text_atomically
from ost_lightning.renamed_settings import with_new_names
from ost_lightning.vocabulary import DESCRIPTOR_KINDS

FORMAT: Final = 1
RESULTS_FILE: Final = "results.json"


@dataclass(frozen=True, slots=True)
class DataCard:
    """Conditions of one evaluation set.

    Attributes:
        label_space: Name of the classes.
        classes: Number of classes, K.
        name_form: Form of the class names: `words` if they were rewritten as words, else `as published`.
        digest: Hash of the ids of the listed videos, in any order.
        list: Name of the published list with these videos and labels; None if no list has them.
        benchmark: Data set of that list.
        part: Part of the data set: a split, validation, base or novel.
        listed: Number of listed videos.
        found: Number of listed videos that exist on this disk.
        in_training: Number of listed videos that the checkpoint was trained on (by video id); None if unknown.
        labels: Hash of the listed videos with their classes, in any order; None in files of earlier versions.
        sentences: Hash of the encoded sentences, by kind; None in files of earlier versions.
        vocabulary: Hash of the names, and of the descriptors if they are used, of the complete label space that the
            classes were selected from; None in files of earlier versions.
    """

    label_space: str
    classes: int
    name_form: str
    digest: str
    list: str | None
    benchmark: str | None
    part: str | None
    listed: int
    found: int
    in_training: int | None
    labels: str | None = None
    sentences: Mapping[str, str] | None = None
    vocabulary: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of some weights on one evaluation set.

    Attributes:
        top1: Top-1 accuracy over all scored videos, 0 to 1; unreadable ones count as wrong.
        top5: Top-5 accuracy over all scored videos, 0 to 1.
        scored: Number of scored videos.
        undecodable: Number of scored videos that could not be read.
        ensembling_ratio: Share of the original weights in the scored mixture.
    """

    top1: float
    top5: float
    scored: int
    undecodable: int
    ensembling_ratio: float = 0.0

    @property
    def top1_of_decoded(self) -> float | None:
        """Top-1 accuracy over the videos that could be read."""
        decoded = self.scored - self.undecodable
        return self.top1 * self.scored / decoded if decoded else None


@dataclass(frozen=True, slots=True)
class SetResult:
    """Results on one evaluation set.

    Attributes:
        card: Conditions of the set.
        scores: Accuracy by name of the weights.
        order: Accuracy in several orders of the frames, by name of the weights; empty without an order report.
        transductive: Accuracy with a test-time cache, by name of the weights; empty without one. It is a protocol of
            its own, and never in a column with `scores`.
    """

    card: DataCard
    scores: Mapping[str, Score]
    order: Mapping[str, OrderScore] = field(default_factory=dict)
    transductive: Mapping[str, TransductiveScore] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """A figure over several sets of one run.

    Attributes:
        what: Description, such as `hmdb51, mean of 3 splits` or `hmdb51, harmonic mean of base and novel`.
        benchmark: Data set.
        weights: Name of the weights.
        top1: Top-1 accuracy, 0 to 1.
        top5: Top-5 accuracy, 0 to 1.
        top1_std: Sample standard deviation of `top1` over the splits; None for a harmonic mean.
        top5_std: Sample standard deviation of `top5` over the splits; None for a harmonic mean.
        sets: Names of the sets; empty in files of earlier versions.
    """

    what: str
    benchmark: str
    weights: str
    top1: float
    top5: float
    top1_std: float | None = None
    top5_std: float | None = None
    sets: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunResults:
    """Results of a test run.

    Attributes:
        run: Name of the experiment and of its run.
        protocol: Protocol named by the experiment.
        seed: Seed of the run.
        package: Version of ost_lightning.
        git: Revision of the source tree and whether it had changes; None outside of a repository.
        model: Backbone, weights, templates, matcher, pixel statistics.
        clips: Frames, views, crops, sizes.
        checkpoint: File, content hash, way of selection and training data; None without a checkpoint.
        sets: Results by name of the set.
        summaries: Figures over splits, or over base and novel.
        remarks: Sentences on differences from the protocol.
        method: Name of the method in tables; None for task, temporal head and matcher.
    """

    run: str
    protocol: str | None
    seed: int | None
    package: str
    git: Mapping[str, Any] | None
    model: Mapping[str, Any]
    clips: Mapping[str, Any]
    checkpoint: Mapping[str, Any] | None
    sets: Mapping[str, SetResult]
    summaries: Sequence[Summary] = ()
    remarks: Sequence[str] = field(default=())
    method: str | None = None

    def save(self, file: Path) -> None:
        """Writes the results as JSON."""
        content = {"format": FORMAT, **asdict(self)}
        write_text_atomically(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads the JSON that `save` wrote.

        Raises:
            UserError: If the file is not such a JSON.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if (version := content.pop("format")) != FORMAT:
                raise UserError(f"{file} has format {version}, but this version reads {FORMAT}: run the test again.")
            for part in ("model", "clips", "checkpoint"):
                content[part] = with_new_names(content[part])
            content["clips"].setdefault("framing", "crop")  # the only one that earlier versions had
            if content["model"]["matcher"]["class"] == "MaxSimilarity":
                content["model"]["matcher"].setdefault("kinds", [*DESCRIPTOR_KINDS])
            sets = {
                name: SetResult(
                    _checked(DataCard(**entry["card"])),
                    {key: Score(**score) for key, score in entry["scores"].items()},
                    {key: OrderScore(**score) for key, score in entry.get("order", {}).items()},
                    {key: TransductiveScore(**score) for key, score in entry.get("transductive", {}).items()},
                )
                for name, entry in content.pop("sets").items()
            }
            summaries = [
                Summary(**{**entry, "sets": tuple(entry.get("sets", ()))}) for entry in content.pop("summaries")
            ]
            return cls(sets=sets, summaries=summaries, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is not the results.json of a test run ({error}).") from error

    def markdown(self) -> str:
        """Returns a Markdown table with one row per set and summary, any further reports, and the remarks."""
        lines = [
            "| set | weights | Top-1 | Top-5 | scored / listed | undecodable | frames x views | matcher |",
            "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
        ]
        conditions = f"{self.clips['frames']} x {self.clips['views']} x {self.clips['crops']}"
        matcher = self.model["matcher"]["class"]
        for name, result in self.sets.items():
            for weights, score in result.scores.items():
                counts = f"{score.scored:,} / {result.card.listed:,} | {score.undecodable:,}"
                lines.append(
                    f"| {markdown_text(name)} | {markdown_text(weights)} | {percent(score.top1)} | "
                    f"{percent(score.top5)} | {counts} | {conditions} | {matcher} |"
                )
        for summary in self.summaries:
            first, fifth = percent(summary.top1, summary.top1_std), percent(summary.top5, summary.top5_std)
            about = f"{markdown_text(summary.what)} | {markdown_text(summary.weights)}"
            lines.append(f"| {about} | {first} | {fifth} | | | {conditions} | {matcher} |")
        method = f"; {markdown_text(self.method)}" if self.method else ""
        head = f"{markdown_text(self.run)}{method}; protocol: {self.protocol or 'none named'}; seed {self.seed}"
        if ordered := {name: result.order for name, result in self.sets.items() if result.order}:
            lines += ["", "Order of frames (order: Top-1 minus shuffled):", "", score_table(ordered)]
        if adapted := {name: result.transductive for name, result in self.sets.items() if result.transductive}:
            title = "Transductive protocol (scores depend on the test's other videos; not comparable with those above):"
            lines += ["", title, "", transductive_table(adapted)]
        remarks = [f"- {markdown_line(remark)}" for remark in self.remarks]
        return "\n".join([head, "", *lines, *(["", "Remarks:", "", *remarks] if remarks else [])]) + "\n"


def is_of_run(file: Path) -> bool:
    """Returns whether a `results.json` is there and that of a test run; the summary of a demo has the same name.

    A damaged file counts, so that `RunResults.load` tells what is wrong with it.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        return False
    except ValueError:
        return True
    return not isinstance(content, dict) or "sets" in content


def _checked(card: DataCard) -> DataCard:
    """Returns a card without the name of a list that has another number of videos; earlier versions gave it too."""
    published = list_named(card.list)
    if published is None or published.may_have(card.listed):
        return card
    return replace(card, list=None, benchmark=None, part=None)


def percent(share: float, std: float | None = None) -> str:
    """Formats shares as percentages: `55.9` or `55.9 ± 1.2`."""
    return f"{100 * share:.1f}" + (f" ± {100 * std:.1f}" if std is not None else "")
