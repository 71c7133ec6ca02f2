"""The whole path on a second architecture: the tiny SigLIP is tuned, ensembled, ablated and asked about videos."""

import csv
import json
import sys
from pathlib import Path

import pytest
import yaml

from ost_lightning.analysis import AblationTable
from ost_lightning.cli import main
from ost_lightning.toyworld.dataset import RenderedPart

WORLD = ["--config=toyworld", "--model.video_clip.pretrained=tiny_siglip", "--tracking.wandb=false"]
LAST = "runs/toyworld/version_0/checkpoints/last.ckpt"
ROWS = {"category name": ("CategoryName", None), "OD Solver": ("OptimalDescriptorSolver", None)} | {
    "ensembled": ("OptimalDescriptorSolver", 0.2)
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def ablation(*options: str) -> AblationTable:
    settings = [
        {"matcher": matcher, "rows": [{"part": "a", "name": name}]} | ({} if ratio is None else {"ratio": ratio})
        for name, (matcher, ratio) in ROWS.items()
    ]
    Path("rows.yaml").write_text(yaml.safe_dump({"ablation": {"settings": settings}}))
    assert main(["ablate", *WORLD, *options, f"--ckpt_path={LAST}", "--table=rows.yaml", "--output=ablation"]) == 0
    return AblationTable.load(Path("ablation/ablation.json"))


def recognized(videos: Path, labels: Path) -> list[dict[str, str]]:
    options = [f"--labels={labels}", "--scores=sigmoid", "--none_below=0.5", "--output=found.csv", "--device=cpu"]
    assert main(["recognize", str(videos), f"--weights={LAST}", *options]) == 0
    with Path("found.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_path_in_miniature() -> None:
    small = ["--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0", "--data.clips.frames=2"]
    quick = ["--trainer.max_steps=1", "--trainer.callbacks=[]", "--trainer.limit_val_batches=0"]
    assert main(["fit", *WORLD, *small, *quick]) == 0
    table = ablation(*small, "--trainer.callbacks=[]")
    assert table.world == "rendered world, tiny SigLIP: no statement about real videos or a real SigLIP"
    assert {row.name: row.top1["unseen"] > 0.05 for row in table.rows} == dict.fromkeys(ROWS, True)  # chance
    unseen = RenderedPart(0, "unseen", "test", 1).folder
    video = next(unseen.glob("*.mp4"))
    (row,) = recognized(video, unseen)
    assert (row["video"], row["none_of_these"]) == (str(video), str(float(row["probability_1"]) < 0.5))


@pytest.mark.slow
def test_tuning_helps_on_unseen_classes() -> None:
    assert main(["fit", *WORLD]) == 0
    rows = {row.name: row.top1["unseen"] for row in ablation().rows}
    assert main(["test", *WORLD]) == 0
    results = json.loads(Path("runs/toyworld/version_2/results.json").read_text())
    before = results["sets"]["unseen"]["scores"]["pretrained"]["top1"]
    assert rows["OD Solver"] > before + 0.03
    assert rows["ensembled"] > before + 0.03
    assert rows["OD Solver"] > rows["category name"] + 0.1
    unseen = RenderedPart(0, "unseen", "test", 10).folder
    rejected = [row["none_of_these"] == "True" for row in recognized(unseen, unseen)]
    assert len(rejected) == 200
