"""Published figures, as rows of the table that also shows your own runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from ost_lightning.analysis.results.protocols import protocol_rules
from ost_lightning.resources import shipped

_BASE_TO_NOVEL: Final = ("base", "novel", "harmonic mean")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the results table.

    Attributes:
        protocol: Protocol, one of `PROTOCOLS`; empty if the run names none.
        benchmark: Data set, or the name of the evaluation set if it is not a published one.
        setting: Further conditions of a comparison: `16 shots, from CLIP`, `novel`.
        method: Name of the method.
        backbone: Vision tower, for example `ViT-B/16`.
        frames: Numbers of frames and views per video.
        weights: Name of the weights within a run.
        top1: Top-1 accuracy, 0 to 1.
        std: Sample standard deviation of the accuracy; None for a single figure.
        over: Sets or runs that the accuracy is averaged over.
        measured_by: Publication or run that reported the figure.
        scored: Numbers of videos as `scored / listed`; empty for published figures.
        remarks: Differences from the protocol.
        ranked: Whether the figure may be shown as the best known one.
    """

    protocol: str
    benchmark: str
    setting: str
    method: str
    backbone: str
    frames: str
    weights: str
    top1: float
    std: float | None
    over: str
    measured_by: str
    scored: str = ""
    remarks: tuple[str, ...] = ()
    ranked: bool = True

    @property
    def comparable(self) -> tuple[str, str, str, str]:
        """Key that two figures must share to be comparable."""
        return self.protocol, self.benchmark, self.setting, self.backbone


@cache
def published_rows() -> tuple[Row, ...]:
    """Reads the figures in `data/published_results.yaml`."""
    content = yaml.safe_load((shipped("data") / "published_results.yaml").read_text(encoding="utf-8"))
    return tuple(
        row for protocol, entries in content.items() for entry in entries for row in _published(protocol, entry)
    )


def _published(protocol: str, entry: Mapping[str, Any]) -> Iterator[Row]:
    for benchmark, figure in entry["figures"].items():
        if protocol == "few_shot":
            settings = [f"{shots} shots, from {entry['start']}" for shots in protocol_rules()["few_shot"].shots]
        else:
            settings = list(_BASE_TO_NOVEL) if protocol == "base_to_novel" else [""]
        # with one setting, a list is a figure and its standard deviation
        figures = [figure] if len(settings) == 1 else figure
        for setting, value in zip(settings, figures, strict=True):
            top1, std = value if isinstance(value, list) else (value, None)
            yield Row(
                protocol=protocol,
                benchmark=benchmark,
                setting=setting,
                method=entry["method"],
                backbone=entry.get("backbone", "ViT-B/16"),
                frames=str(entry.get("frames", "")),
                weights="",
                top1=top1 / 100,
                std=std / 100 if std is not None else None,
                over="3 splits" if std is not None else "",
                measured_by=entry["measured_by"],
                remarks=tuple(entry.get("remarks", ())),
                ranked=entry.get("ranked", True),
            )
