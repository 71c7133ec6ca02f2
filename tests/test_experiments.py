"""The shipped experiments, end to end on miniatures of their data."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ost_lightning.cli import main
from ost_lightning.resources import shipped
from tests.videos import write_video

FIT_FOR_A_CPU = [
    "--model.video_clip.pretrained=tiny",
    "--model.descriptors_per_class=1",
    "--data.clips.frames=2",
    "--data.clips.short_side=54",
    "--data.clips.crop_size=48",
    "--data.loading.global_batch_size=4",
    "--data.loading.workers=0",
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.strategy=auto",
    "--trainer.precision=32",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--tracking.wandb=false",
]
LISTS = {
    "kinetics400": ["train.txt", "val.txt"],
    "hmdb51": ["train1.txt", "train1_few_shot_16.txt", "val1.txt", "val2.txt", "val3.txt"],
    "ucf101": ["train1_few_shot_16.txt", "val1.txt", "val2.txt", "val3.txt"],
    "ssv2": ["train.txt", "train1_few_shot_16.txt", "validation.txt"],
    "kinetics600": ["ZS_split1.txt", "ZS_split2.txt", "ZS_split3.txt"],
}
PRESETS = sorted(shipped("experiments").glob("presets/*.yaml"))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists and videos where the experiments look for them; four videos of two classes a list."""
    folder = tmp_path_factory.mktemp("miniature")
    clips = [write_video(folder / f"{k}.mp4", 6, width=64, height=64, seed=k) for k in range(4)]
    for data, names in LISTS.items():
        for name in [*names, *(["base_train.txt", "base_val.txt", "novel_val.txt"] if data == "hmdb51" else [])]:
            lines = []
            for k in range(40 if "train" in name else 4):
                video = folder / "videos" / data / f"{Path(name).stem}_{k}.mp4"
                video.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clips[k % 4], video)
                lines.append(f"{video.name} {k % 2}\n")
            file = folder / "lists" / data / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(lines))
    return folder


@pytest.fixture(autouse=True)
def _there(miniature: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(miniature)
    monkeypatch.setattr(sys, "argv", ["ost"])


def newest(experiment: str) -> Path:
    return max(Path("runs", experiment).iterdir(), key=lambda run: int(run.name.removeprefix("version_")))


def fit(experiment: str, *options: str) -> Path:
    """Trains two steps; returns the checkpoint."""
    assert main(["fit", f"--config={experiment}", *FIT_FOR_A_CPU, "--trainer.max_steps=2", *options]) == 0
    return newest(experiment) / "checkpoints" / "last.ckpt"


def evaluate(experiment: str, *options: str) -> dict[str, Any]:
    assert main(["test", f"--config={experiment}", *FIT_FOR_A_CPU, *options]) == 0
    results: dict[str, Any] = json.loads((newest(experiment) / "results.json").read_text())
    return results


def test_zero_shot_on_nine_sets_in_one_run_with_mean_and_deviation() -> None:
    checkpoint = fit("zeroshot_k400")
    results = evaluate("zeroshot_k400", f"--ckpt_path={checkpoint}")
    assert results["protocol"] == "zero_shot"
    assert len(results["sets"]) == 9
    assert results["checkpoint"]["training"]["label_space"] == "kinetics400"
    kinetics = [summary for summary in results["summaries"] if summary["benchmark"] == "kinetics600"]
    assert {summary["weights"] for summary in kinetics} == {"as trained", "ensembled_0.2"}
    assert all(summary["top1_std"] is not None for summary in kinetics)
    # lists of the right length, but other videos than HMDB51's: not taken for its splits
    assert any("hmdb51-split1 (4 videos, label space hmdb51) is no list" in remark for remark in results["remarks"])
    assert any("the published list k600-split1 has 14,084" in remark for remark in results["remarks"])
    assert results["model"]["pixel_statistics"] == "clip"
    assert results["sets"]["ucf101-split1"]["card"]["name_form"] == "words"


def test_few_shot_from_clip_and_from_tuned_weights() -> None:
    first = fit("fewshot", "--data.train.list=lists/hmdb51/train1.txt", "--data.shots=4")
    content = torch.load(first, weights_only=True)
    assert content["ost_training"]["shots"] == (4, 4)
    second = fit("fewshot", f"--model.video_clip.init_from={first}")
    again = torch.load(second, weights_only=True)
    assert again["global_step"] == 2
    assert again["ost_training"]["before"]["videos"] == 8
    results = evaluate("fewshot", f"--ckpt_path={second}")
    assert list(results["sets"]) == ["hmdb51-split1"]
    assert results["protocol"] == "few_shot"


@pytest.mark.parametrize(
    ("preset", "label_space", "flip"),
    [pytest.param("ucf101", "ucf101", 0.5, marks=pytest.mark.slow), ("ssv2", "ssv2", 0.0)],
)
def test_few_shot_on_other_data(preset: str, label_space: str, flip: float) -> None:
    overlay = f"--config=presets/fewshot_{preset}"
    checkpoint = fit("fewshot", overlay)
    results = evaluate("fewshot", overlay, f"--ckpt_path={checkpoint}")
    (card,) = (result["card"] for result in results["sets"].values())
    assert (card["label_space"], results["clips"]["flip"]) == (label_space, flip)


def test_base_to_novel_gives_the_harmonic_mean() -> None:
    checkpoint = fit("base_to_novel", "--seed_everything=2")
    results = evaluate("base_to_novel", f"--ckpt_path={checkpoint}", "--seed_everything=2")
    training = results["checkpoint"]["training"]
    assert (training["shots"], training["seed"], training["label_space"]) == ([16, 16], 2, "hmdb51-base")
    assert {summary["what"] for summary in results["summaries"]} == {"hmdb51, harmonic mean of base and novel"}
    assert results["remarks"] == []


@pytest.mark.parametrize(
    ("overlays", "head", "matcher"),
    [
        ([], "TemporalTransformer", "OptimalDescriptorSolver"),
        pytest.param(["baselines/text4vis"], "TemporalTransformer", "CategoryName", marks=pytest.mark.slow),
        pytest.param(
            ["presets/supervised_ssv2"], "TemporalTransformer", "OptimalDescriptorSolver", marks=pytest.mark.slow
        ),
    ],
)
def test_supervised(overlays: list[str], head: str, matcher: str) -> None:
    options = [f"--config={overlay}" for overlay in overlays]
    checkpoint = fit("supervised", *options)
    results = evaluate("supervised", *options, f"--ckpt_path={checkpoint}")
    assert (results["model"]["temporal_head"], results["model"]["matcher"]["class"]) == (head, matcher)
    (result,) = results["sets"].values()
    assert (result["card"]["part"], result["card"]["listed"]) == ("validation", 4)
    if not overlays:
        assert results["remarks"] == []


def test_supervised_on_parts_of_videos() -> None:
    """ActivityNet: lists with seconds."""
    for name, source in (("train", "train.txt"), ("validation", "val.txt")):
        lines = Path("lists/kinetics400", source).read_text().splitlines()
        rows = ["path,label,start,end", *(f"{line.split()[0]},{line.split()[1]},0.04,0.2" for line in lines)]
        file = Path("lists/activitynet", f"{name}.csv")
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("\n".join(rows) + "\n")
    options = ["--config=presets/supervised_activitynet", "--data.root=videos/kinetics400"]
    results = evaluate("supervised", *options, "--model.matcher=CategoryName")
    (result,) = results["sets"].values()
    assert (result["card"]["benchmark"], result["scores"]["as trained"]["scored"]) == ("activitynet", 4)


def test_the_released_way_is_an_overlay_of_named_switches() -> None:
    tests = {
        f"{name}-split1": {"list": f"lists/{name}/val1.txt", "labels": name, "root": f"videos/{name}"}
        for name in ("ucf101", "hmdb51")
    }
    overlay = ["--config=presets/released", "--data.clips.views=2", f"--data.test={json.dumps(tests)}"]
    results = evaluate("zeroshot_k400", *overlay)
    assert results["model"]["pixel_statistics"] == "imagenet"
    assert results["model"]["matcher"]["factor"] == 0.5
    assert results["clips"]["view_frames"] == "random"
    assert results["sets"]["ucf101-split1"]["card"]["name_form"] == "as published"
    assert results["sets"]["hmdb51-split1"]["card"]["label_space"] == "hmdb51-released"
    fit("zeroshot_k400", *overlay)
    written = yaml.safe_load((newest("zeroshot_k400") / "config.yaml").read_text())["model"]["init_args"]
    assert (written["loss_factor"], written["optimisation"]["schedule"]) == (1.0, "released")
    assert written["optimisation"]["decay_everything"] is True
    assert written["optimisation"]["learning_rate"] == 8e-6  # what the overlay does not name stays


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_parses_over_an_experiment(path: Path) -> None:
    experiment = next((name for name in ("fewshot", "supervised") if name in path.stem), "zeroshot_k400")
    with pytest.raises(SystemExit) as stop:
        main(["fit", f"--config={experiment}", f"--config=presets/{path.stem}", "--print_config"])
    assert stop.value.code == 0
