"""Made-up results of test runs."""

from dataclasses import replace

from ost_lightning.analysis.results.protocols import Protocol, remarks
from ost_lightning.analysis.results.published_lists import published_lists
from ost_lightning.analysis.results.run_results import DataCard, RunResults, Score, SetResult
from ost_lightning.analysis.results.summaries import summarize

CLIPS = {"frames": 32, "views": 1, "crops": 1, "framing": "crop"}


SIZES = {entry.name: entry for entry in published_lists()}


def outcome(name: str, top1: float = 0.5, *, listed: int | None = None, **changes: object) -> SetResult:
    """Returns results on a published list, with one set of weights."""
    entry = SIZES[name]
    count = listed or entry.videos or entry.about or 100
    card = DataCard(
        entry.label_space,
        51,
        "words",
        "d",
        name,
        entry.benchmark,
        entry.part,
        count,
        count,
        0,
        labels="l",
        sentences={"name": "n"},
        vocabulary="v",
    )
    score = Score(top1, min(1.0, top1 + 0.2), count, 0)
    card_changes = {key: value for key, value in changes.items() if key in DataCard.__dataclass_fields__}
    score_changes = {key: value for key, value in changes.items() if key in Score.__dataclass_fields__}
    return SetResult(replace(card, **card_changes), {"as trained": replace(score, **score_changes)})


def trained(label_space: str, shots: tuple[int, int] = (16, 16), before: str | None = None) -> dict[str, object]:
    earlier = {"label_space": before} if before else None
    return {"label_space": label_space, "shots": list(shots), "before": earlier}


def run(protocol: Protocol | None, training: dict[str, object] | None, seed: int = 0, **sets: SetResult) -> RunResults:
    return RunResults(
        run=f"x/version_{seed}",
        protocol=protocol,
        seed=seed,
        package="0",
        git=None,
        model={
            "task": "ContrastiveRecognition",
            "backbone": "ViT-B/16",
            "pretrained": "p",
            "matcher": {"class": "CategoryName"},
            "templates": {},
        },
        clips=CLIPS,
        checkpoint={"training": training} if training else None,
        sets=sets,
        summaries=summarize(sets),
        remarks=remarks(protocol, sets, training, CLIPS),
    )


def three_splits(benchmark: str = "hmdb51", tops: tuple[float, ...] = (0.5, 0.6, 0.7)) -> dict[str, SetResult]:
    return {f"{benchmark}_{k}": outcome(f"{benchmark}-split{k}", top) for k, top in enumerate(tops, start=1)}
