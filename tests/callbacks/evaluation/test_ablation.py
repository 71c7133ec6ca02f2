import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ost_lightning.analysis import AblationTable
from ost_lightning.callbacks import Ablation, AblationSetting, ShownRow, WeightEnsembling
from ost_lightning.datamodules import ClipSettings, LoadingSettings, ToyWorld
from ost_lightning.errors import UserError
from ost_lightning.evaluation import SCORED, ScoredBatch
from ost_lightning.matching import (
    CategoryName,
    Matcher,
    MaxSimilarity,
    OptimalDescriptorSolver,
    PooledDescriptors,
    TermWeights,
)
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.toyworld.dataset import label_space

SETS = ("unseen", "order")


def world(sets: Sequence[str] = SETS, **loading: object) -> ToyWorld:
    return ToyWorld(
        test_clips=1,
        test_sets=sets,
        clips=ClipSettings(frames=4, views=2, short_side=54, crop_size=48),
        loading=LoadingSettings(workers=0, evaluation_batch_size=8, **loading),
    )


class Watched(VideoCLIP):
    """Model with clearly changed weights that counts the clips it encodes."""

    def __init__(self) -> None:
        super().__init__("tiny")
        self.encoded = 0
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter += 0.08 * torch.randn(parameter.shape, generator=generator) * parameter.abs().mean()

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        self.encoded += len(frames)
        return super().encode_frames(frames)


def task(matcher: Matcher | None = None, **settings: object) -> ContrastiveRecognition:
    return ContrastiveRecognition(Watched(), matcher or OptimalDescriptorSolver(), **settings)


def trainer(folder: Path, *callbacks: object, precision: str = "32-true") -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    return Trainer(accelerator="cpu", precision=precision, default_root_dir=folder, callbacks=list(callbacks), **quiet)


def setting(matcher: Matcher, name: str, part: str = "4a", **others: object) -> AblationSetting:
    return AblationSetting(matcher, [ShownRow(part, name, {"HMDB51": 50.0})], **others)


def table4() -> list[AblationSetting]:
    spatio = OptimalDescriptorSolver(terms=TermWeights(temporal_pooled=0, temporal_transported=0))
    return [
        setting(CategoryName(), "name"),
        setting(PooledDescriptors(), "pooled"),
        setting(OptimalDescriptorSolver(), "solver"),
        setting(spatio, "spatio", "4b"),
        setting(OptimalDescriptorSolver(), "two", "4c", descriptors_per_class=2),
        setting(OptimalDescriptorSolver(), "plain", "4d", templates="condition_none"),
        setting(OptimalDescriptorSolver(), "ensembled", "4e", ratio=0.4),
        setting(MaxSimilarity(), "ensembled maximum", "4e", ratio=0.4),
    ]


def run(
    folder: Path,
    settings: list[AblationSetting],
    precision: str = "32-true",
    sets: Sequence[str] = SETS,
    **loading: object,
) -> tuple:
    ablation, module = Ablation(settings, {"4a": "matching"}, folder=folder), task()
    loading = {"embedding_cache_gigabytes": 1.0} | loading
    trainer(folder, ablation, precision=precision).test(module, datamodule=world(sets, **loading), verbose=False)
    return AblationTable.load(folder / "ablation.json"), module.video_clip.encoded


def right(folder: Path) -> dict[str, dict[tuple[str, str], bool]]:
    """Returns whether each video was recognized, by setting and then by (set, video)."""
    with (folder / "ablation_videos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: {(row["set"], row["video"]): row[key] == "1" for row in rows} for key in rows[0] if key[0].isdigit()}


# bf16 is slow on many CPUs
@pytest.mark.parametrize(
    ("precision", "sets", "chosen"),
    [
        ("32-true", SETS, (0, 6)),
        pytest.param("32-true", SETS, range(8), marks=pytest.mark.slow),
        ("bf16-mixed", SETS[:1], (1, 6)),
    ],
)
def test_every_row_equals_a_separate_test_video_by_video(
    tmp_path: Path, precision: str, sets: Sequence[str], chosen: Sequence[int]
) -> None:
    settings = [table4()[k] for k in chosen]
    table, encoded = run(tmp_path, settings, precision, sets)
    found = right(tmp_path)
    assert encoded == 2 * 20 * len(sets) * 2  # twenty videos per set in two views, with two sets of weights
    for row, one in zip(table.rows, settings, strict=True):
        alone = task(
            one.matcher, templates=one.templates or "ost", descriptors_per_class=one.descriptors_per_class or 4
        )
        run_alone = trainer(tmp_path, WeightEnsembling([one.ratio]), precision=precision)
        hits = Hits("ensembled_0.4" if one.ratio else "as trained")
        run_alone.callbacks.append(hits)
        run_alone.test(alone, datamodule=world(sets), verbose=False)
        weights = "/ensembled_0.4" if one.ratio else ""
        for name in sets:
            assert row.top1[name] == float(run_alone.callback_metrics[f"test/{name}{weights}/top1"])
            assert row.top5[name] == float(run_alone.callback_metrics[f"test/{name}{weights}/top5"])
        assert found[f"{row.part} {row.name}"] == hits.right


class Hits(Callback):
    """Records which videos an ordinary test recognizes."""

    def __init__(self, scorer: str) -> None:
        self.scorer, self.right = scorer, {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: dict[str, ScoredBatch], *_: object
    ) -> None:
        scored = outputs[SCORED]
        # as the metric does it: ties between classes of the same steps are broken in another way by argmax
        right = scored.probabilities[self.scorer].topk(1).indices[:, 0] == scored.videos.labels
        ids = [(scored.set.name, id_) for id_ in scored.videos.ids]
        self.right |= dict(zip(ids, right.tolist(), strict=True))


def test_a_second_table_of_the_same_weights_encodes_nothing(tmp_path: Path) -> None:
    first, encoded = run(tmp_path / "first", table4())
    again, encoded_again = run(tmp_path / "again", table4())
    assert encoded_again == 0
    assert again == first
    assert right(tmp_path / "again") == right(tmp_path / "first")
    without, encoded = run(tmp_path / "without", table4(), embedding_cache_gigabytes=0.0)
    assert encoded == 2 * 40 * 2
    assert without == first


def test_untuned_weights_are_encoded_once_for_all_ratios(tmp_path: Path) -> None:
    class Original(VideoCLIP):
        encoded = 0

        def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
            self.encoded += len(frames)
            return super().encode_frames(frames)

    module = ContrastiveRecognition(Original("tiny"), OptimalDescriptorSolver())
    trainer(tmp_path, Ablation(table4(), folder=tmp_path)).test(module, datamodule=world(), verbose=False)
    assert module.video_clip.encoded == 40 * 2
    table = AblationTable.load(tmp_path / "ablation.json")
    rows = {row.name: row.top1 for row in table.rows}
    assert rows["ensembled"] == rows["solver"]
    assert any("original weights, so rows with a share of these repeat" in remark for remark in table.remarks)


def test_other_descriptors_of_the_same_classes(tmp_path: Path) -> None:
    labels = label_space(0, "unseen")
    rotated = dict(zip(labels.names, [*labels.names[1:], labels.names[0]], strict=True))
    wrong = {name: labels.descriptors[other] for name, other in rotated.items()}
    extra = {"another class": Descriptors(("a",) * 4, ("b",) * 4)}
    LabelSpace(("another class", *labels.names), wrong | extra).save(tmp_path / "wrong")
    settings = [
        setting(OptimalDescriptorSolver(), "right"),
        setting(OptimalDescriptorSolver(), "wrong", label_spaces={"unseen": str(tmp_path / "wrong")}),
    ]
    table, _ = run(tmp_path, settings)
    original, replaced = table.rows
    assert original.top1["unseen"] > 0.4
    assert replaced.top1["unseen"] < 0.25
    assert original.top1["order"] == replaced.top1["order"]
    vocabularies = {card.vocabulary for card in table.sets.values()}
    assert None not in vocabularies
    assert len(vocabularies) == 2


def test_rows_without_enough_descriptors_are_reported_and_skipped(tmp_path: Path) -> None:
    settings = [setting(OptimalDescriptorSolver(), "eight", descriptors_per_class=8), setting(CategoryName(), "name")]
    with pytest.warns(UserWarning, match=r"No row 4a eight for `unseen`: .*20 of 20 classes .* fewer than 8 spatio"):
        table, _ = run(tmp_path, settings)
    assert table.rows[0].top1 == {}
    assert set(table.rows[1].top1) == set(SETS)
    assert {name: card.videos for name, card in table.sets.items()} == {"unseen": 20, "order": 20}
    assert "| eight | - | - | 50.0 |" in table.markdown()
    with pytest.raises(UserError, match=r"can be scored: 20 of 20 classes .* fewer than 8 spatio"):
        run(tmp_path, settings[:1])


def test_the_files_name_the_kind_of_videos(tmp_path: Path) -> None:
    run(tmp_path, [setting(CategoryName(), "name")])
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert content["world"] == "rendered world, tiny CLIP: no statement about real videos or a real CLIP"
    markdown = (tmp_path / "ablation.md").read_text()
    assert "rendered world, tiny CLIP" in markdown
    assert "20 videos of 20 classes, 0 of them unreadable" in markdown
    assert "chance 5.0" in markdown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "needs settings"),
        ([AblationSetting(CategoryName(), [])], "at least one row"),
        ([setting(CategoryName(), "a", ratio=1.2)], "ratio is the share of the original weights"),
        ([setting(CategoryName(), "a", descriptors_per_class=0)], "at least 1"),
        ([setting(CategoryName(), "a", templates="nonsense")], "no sentence templates 'nonsense'"),
        (
            [setting(CategoryName(), "a", label_spaces={"unsen": "x"})],
            "evaluation set unsen, .* Expected one of: unseen, order",
        ),
        ([setting(CategoryName(), "a", label_spaces={"order": "x"})], "no label space 'x'"),
        (
            [setting(OptimalDescriptorSolver(learn_epsilon=True, gradient="implicit"), "a")],
            "row 'a' has trainable weights",
        ),
    ],
)
def test_mistakes(tmp_path: Path, settings: list[AblationSetting], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, settings)


def test_an_ablation_works_only_in_a_test(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="works only in a test, not in `fit`"):
        Ablation([setting(CategoryName(), "a")]).setup(trainer(tmp_path), task(), "fit")
