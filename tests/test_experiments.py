"""The shipped experiments, run end to end on miniatures of their data sets."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

import pytest
import torch
import yaml
from transformers import CLIPConfig, CLIPModel

from ost_lightning.analysis.results.published_lists import PublishedList, published_lists
from ost_lightning.cli import main
from ost_lightning.experiment.experiment_files import standalone_experiments
from ost_lightning.resources import shipped
from ost_lightning.text import LabelSpace
from tests.datamodules.miniatures import write
from tests.models.foreign import RELEASED, tokenizer
from tests.printed_settings import printed_settings
from tests.videos import write_video

CPU_SETTINGS = [
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
PROTOCOLS = Path(__file__).parents[1] / "docs" / "protocols.md"
PRESETS = sorted(shipped("experiments").glob("presets/*.yaml"))
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
Videos = Callable[[str], None]
MAKE = re.compile(
    r'(?:make (?P<verb>train|eval) EXP=(?P<experiment>\w+))?(?: CKPT=[\w./]+)? *(?:ARGS="(?P<options>[^"]*)")?'
)


def documented(text: str) -> list[tuple[str, ...]]:
    """Returns the commands of `make train` and `make eval`; options alone belong to the preceding experiment.

    Of commands with the same options only one is returned, because they have the same settings.
    """
    shell = {"SEED": "1", **dict(re.findall(r'`([A-Z]+)="([^"]*)"`', text))}  # variables that the page sets
    commands: dict[tuple[str, ...], str] = {}
    experiment = ""
    for found in MAKE.finditer(text):
        experiment = found["experiment"] or experiment
        if experiment not in ("", "x") and (found["experiment"] or found["options"]):  # x is a placeholder
            command = "test" if found["verb"] == "eval" else "fit"
            options = shlex.split(Template(found["options"] or "").safe_substitute(shell).replace("\\\n", ""))
            commands.setdefault((f"--config={experiment}", *options), command)
    return sorted((command, *options) for options, command in commands.items())


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a few videos of each of the six data sets, in the publishers' layout and the experiments' paths."""
    folder = tmp_path_factory.mktemp("miniature")
    clip = write_video(folder / "clip.mp4", 6, width=64, height=64).read_bytes()

    def video(path: str) -> None:
        ignored = b"free" + path.encode()  # equal files would be the same video in training and test
        (folder / "videos" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "videos" / path).write_bytes(clip + (4 + len(ignored)).to_bytes(4) + ignored)

    for make in (kinetics400, kinetics600, hmdb51, ucf101, ssv2, activitynet):
        make(folder / "videos", video)
    return folder


def kinetics400(root: Path, video: Videos) -> None:
    classes = LabelSpace.load("kinetics400").published[:4]
    for part, name in (("train", "train"), ("val", "validate")):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for label, class_ in enumerate(classes):
            for k in range(2):
                rows.append(f"{class_},{part:_<5}{label:03d}_{k:02d},{k},{k + 10},{name}")
                video(f"kinetics400/{part}/{class_}/{part:_<5}{label:03d}_{k:02d}_{k:06d}_{k + 10:06d}.mp4")
        write(root / "kinetics400" / f"{name}.csv", "\n".join(rows) + "\n")


def kinetics600(root: Path, video: Videos) -> None:
    rows = ["label,youtube_id,time_start,time_end,split"]
    for split in (1, 2, 3):
        for label, class_ in enumerate(LabelSpace.load(f"k600-split{split}").published[-2:]):
            id_ = f"{split}_{label:09d}"
            rows.append(f"{class_},{id_},0,10,validate")
            video(f"kinetics600/val/{id_}_000000_000010.mp4")
    write(root / "kinetics600" / "val.csv", "\n".join(rows) + "\n")


def hmdb51(root: Path, video: Videos) -> None:
    """Creates 17 training videos per class, enough for 16 shots, and test videos for some of the classes."""
    for label, class_ in enumerate(LabelSpace.load("hmdb51").published):
        names = [f"Film_{class_}_f_cm_np1_ba_med_{k}.avi" for k in range(20)]
        for name in names:
            video(f"hmdb51/{class_}/{name}")
        for split in (1, 2, 3):
            uses = ["1"] * 17 + ["2" if label % 10 == 0 else "0"] * 3
            lines = "".join(f"{name} {use} \n" for name, use in zip(names, uses, strict=True))
            write(root / "hmdb51/testTrainMulti_7030_splits" / f"{class_}_test_split{split}.txt", lines)


def ucf101(root: Path, video: Videos) -> None:
    classes = LabelSpace.load("ucf101").published
    lists = root / "ucf101/ucfTrainTestlist"
    write(lists / "classInd.txt", "".join(f"{k} {name}\n" for k, name in enumerate(classes, start=1)))
    for split in (1, 2, 3):
        lines = {"train": "", "test": ""}
        for number, class_ in enumerate(classes[:4], start=1):
            for part, group in (("train", split), ("train", split + 3), ("test", split + 6)):
                name = f"{class_}/v_{class_}_g{group:02d}_c01.avi"
                video(f"ucf101/UCF-101/{name}")
                lines[part] += f"{name} {number}\n" if part == "train" else f"{name}\n"
        for part, text in lines.items():
            write(lists / f"{part}list{split:02d}.txt", text)


def ssv2(root: Path, video: Videos) -> None:
    templates = LabelSpace.load("ssv2").published[:4]
    for part, first in (("train", 0), ("validation", 100)):
        entries = [{"id": str(first + k), "template": templates[k % 4]} for k in range(8)]
        for entry in entries:
            video(f"ssv2/20bn-something-something-v2/{entry['id']}.webm")
        write(root / "ssv2" / f"something-something-v2-{part}.json", json.dumps(entries))


def activitynet(root: Path, video: Videos) -> None:
    database = {}
    for subset, folder in (("training", "train"), ("validation", "val")):
        for label, class_ in enumerate(LabelSpace.load("activitynet").published[:4]):
            database[f"{subset[:1]}{label:010d}"] = {
                "subset": subset,
                "duration": 0.24,
                "annotations": [{"label": class_, "segment": [0.0, 0.2]}],
            }
            video(f"activitynet/{folder}/v_{subset[:1]}{label:010d}.mp4")
    write(root / "activitynet/activity_net.v1-3.min.json", json.dumps({"version": "VERSION 1.3", "database": database}))


@pytest.fixture(autouse=True)
def _work_in_miniature(miniature: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(miniature)
    monkeypatch.setattr(sys, "argv", ["ost"])


@pytest.fixture(autouse=True)
def _recognize_miniature_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognizes base, novel and validation lists by their classes alone, because the miniature has few videos."""
    lists = [
        entry if entry.is_for_training or (entry.benchmark in ("hmdb51", "ucf101") and entry.is_split) else small(entry)
        for entry in published_lists()
        if not entry.part.endswith("validation part")
    ]
    monkeypatch.setattr("ost_lightning.analysis.results.published_lists.published_lists", lambda: lists)


def small(entry: PublishedList) -> PublishedList:
    return replace(entry, videos=None, digest=None, labels=None, about=None)


def newest(experiment: str) -> Path:
    return max(Path("runs", experiment).iterdir(), key=lambda run: int(run.name.removeprefix("version_")))


def fit(experiment: str, *options: str) -> Path:
    """Trains for two steps, and returns the checkpoint."""
    assert main(["fit", f"--config={experiment}", *CPU_SETTINGS, "--trainer.max_steps=2", *options]) == 0
    return newest(experiment) / "checkpoints" / "last.ckpt"


def evaluate(experiment: str, *options: str) -> dict[str, Any]:
    assert main(["test", f"--config={experiment}", *CPU_SETTINGS, *options]) == 0
    results: dict[str, Any] = json.loads((newest(experiment) / "results.json").read_text())
    return results


def test_zero_shot_on_nine_sets_in_one_run_with_mean_and_deviation() -> None:
    checkpoint = fit("zeroshot_k400")
    results = evaluate("zeroshot_k400", f"--ckpt_path={checkpoint}")
    names = [f"{data}-split{split}" for data in ("hmdb51", "ucf101", "k600") for split in (1, 2, 3)]
    assert list(results["sets"]) == names
    training = results["checkpoint"]["training"]
    assert (training["label_space"], training["videos"]) == ("kinetics400", 8)
    kinetics = [summary for summary in results["summaries"] if summary["benchmark"] == "kinetics600"]
    assert {summary["weights"] for summary in kinetics} == {"as trained", "ensembled_0.2"}
    assert all(summary["top1_std"] is not None for summary in kinetics)
    # a set with the name of a published list but other videos is reported
    assert any("ucf101-split1 (4 videos, label space ucf101) is not" in remark for remark in results["remarks"])
    assert results["model"]["pixel_statistics"] == "clip"
    assert results["sets"]["ucf101-split1"]["card"]["name_form"] == "words"


def test_few_shot_from_clip_and_from_tuned_weights() -> None:
    first = fit("fewshot", "--data.shots=4", "--data.shots_seed=3")
    training = torch.load(first, weights_only=True)["ost_training"]
    assert (training["shots"], training["videos"], training["label_space"]) == ((4, 4), 204, "hmdb51")
    second = fit("fewshot", f"--model.video_clip.init_from={first}")
    again = torch.load(second, weights_only=True)
    assert again["global_step"] == 2
    assert again["ost_training"]["shots"] == (16, 16)
    assert again["ost_training"]["before"]["videos"] == 204
    results = evaluate("fewshot", f"--ckpt_path={second}", "--data.splits=[1,2]")
    assert {name: result["card"]["listed"] for name, result in results["sets"].items()} == {
        "hmdb51-split1": 18,
        "hmdb51-split2": 18,
    }
    assert results["sets"]["hmdb51-split1"]["card"]["in_training"] == 0
    assert any(remark.startswith("Not the protocol few_shot: hmdb51-split2") for remark in results["remarks"])


@pytest.mark.parametrize(
    ("data", "shots", "name"),
    [
        pytest.param(["--data=UCF101", "--data.root=videos/ucf101"], 2, "ucf101-split1", marks=pytest.mark.slow),
        pytest.param(["--data=SomethingSomethingV2", "--data.root=videos/ssv2"], 2, "ssv2", marks=pytest.mark.slow),
    ],
)
def test_few_shot_on_other_data(data: list[str], shots: int, name: str) -> None:
    checkpoint = fit("fewshot", *data, f"--data.shots={shots}")
    results = evaluate("fewshot", *data, f"--data.shots={shots}", f"--ckpt_path={checkpoint}")
    assert list(results["sets"]) == [name]
    assert results["checkpoint"]["training"]["shots"] == [shots, shots]
    if name == "ssv2":
        assert results["sets"][name]["card"]["part"] == "validation"


def test_base_to_novel_gives_the_harmonic_mean() -> None:
    seeds = ["--seed_everything=2", "--data.shots_seed=2"]
    checkpoint = fit("base_to_novel", *seeds)
    results = evaluate("base_to_novel", f"--ckpt_path={checkpoint}", *seeds)
    training = results["checkpoint"]["training"]
    assert (training["shots"], training["seed"], training["label_space"]) == ([16, 16], 2, "hmdb51-base")
    assert {summary["what"] for summary in results["summaries"]} == {"hmdb51, harmonic mean of base and novel"}
    assert results["remarks"] == []


@pytest.mark.parametrize(
    ("options", "matcher", "benchmark"),
    [
        ([], "OptimalDescriptorSolver", "kinetics400"),
        pytest.param(["--config=baselines/text4vis"], "CategoryName", "kinetics400", marks=pytest.mark.slow),
        pytest.param(
            ["--data=SomethingSomethingV2", "--data.root=videos/ssv2"],
            "OptimalDescriptorSolver",
            "ssv2",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--data=ActivityNet", "--data.root=videos/activitynet"],
            "OptimalDescriptorSolver",
            "activitynet",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_supervised(options: list[str], matcher: str, benchmark: str) -> None:
    checkpoint = fit("supervised", *options)
    results = evaluate("supervised", *options, f"--ckpt_path={checkpoint}")
    model = results["model"]
    assert (model["temporal_head"], model["matcher"]["class"]) == ("TemporalTransformer", matcher)
    written = yaml.safe_load((newest("supervised") / "config.yaml").read_text())
    head = written["model"]["init_args"]["video_clip"]["init_args"]["temporal_head"]
    assert head["init_args"]["pool"] is (matcher == "CategoryName")
    (result,) = results["sets"].values()
    assert (result["card"]["benchmark"], result["card"]["part"]) == (benchmark, "validation")
    assert result["scores"]["as trained"]["scored"] == result["card"]["listed"] > 0
    short = "videos per class or fewer, not on all training videos."
    assert results["remarks"]
    assert all(remark.endswith(short) for remark in results["remarks"])


def test_the_released_preset_is_an_overlay_of_named_settings() -> None:
    overlay = ["--config=presets/released", "--data=UCF101", "--data.root=videos/ucf101", "--data.shots=2"]
    checkpoint = fit("fewshot", *overlay)
    written = yaml.safe_load((newest("fewshot") / "config.yaml").read_text())
    model, clips = written["model"]["init_args"], written["data"]["init_args"]["clips"]
    assert (model["loss_factor"], model["optimizer"]["schedule"]) == (1.0, "timm_cosine")
    assert model["optimizer"]["weight_decay_on_all"] is True
    assert model["optimizer"]["learning_rate"] == 5e-6  # not set by the overlay
    assert (clips["flip"], clips["jitter_each_frame"]) == (0.5, True)
    assert (clips["resize"], clips["sample_aspect"]) == ("bilinear", False)
    frames, crops = clips["keep_tail_frames"], (clips["three_crop_scale"], clips["crop_offsets"])
    assert (frames, crops) == (False, ("crop_size", "floor"))
    results = evaluate("fewshot", *overlay, "--data.clips.views=2", f"--ckpt_path={checkpoint}")
    assert results["model"]["pixel_statistics"] == "imagenet"
    assert results["model"]["matcher"]["factor"] == 0.5
    assert results["clips"]["view_frames"] == "random"
    assert results["clips"]["keep_tail_frames"] is False
    assert results["sets"]["ucf101-split1"]["card"]["name_form"] == "as published"


@pytest.mark.slow  # the remark and the documented command have quick tests
def test_selection_on_the_test_list_as_in_the_released_code_is_reported() -> None:
    """Runs with the options in docs/protocols.md."""
    (options,) = {command[2:] for command in documented(PROTOCOLS.read_text()) if "ModelCheckpoint" in str(command)}
    last = fit("fewshot", *options, "--trainer.check_val_every_n_epoch=1", "--trainer.limit_train_batches=2")
    results = evaluate("fewshot", f"--ckpt_path={last.with_name('best.ckpt')}")
    assert any("best-on-test selection" in remark for remark in results["remarks"])


@pytest.mark.slow
def test_a_released_checkpoint_is_evaluated_as_by_its_authors(miniature: Path) -> None:
    """Runs the command in docs/checkpoints.md on the released lists, with a tiny checkpoint in the released layout."""
    names = LabelSpace.load("hmdb51").published  # in the order of the lists, not of the released label file
    clip = miniature / "clip.mp4"
    for split in (1, 2, 3):
        lines = [f"Film_{class_}_{split}_f_cm_np1_ba_med_0.avi {label}\n" for label, class_ in enumerate(names)]
        for line in lines:
            (miniature / "videos/hmdb51" / line.split()[0]).hardlink_to(clip)
        write(Path(f"lists/hmdb51/val{split}.txt"), "".join(lines))
        write(Path(f"lists/ucf101/val{split}.txt"), f"v_ApplyEyeMakeup_g{split + 6:02d}_c01.avi 0\n")
        write(Path(f"lists/kinetics600/ZS_split{split}.txt"), f"{split}_000000000_000000_000010.mp4 158\n")
    tokenizer().save_pretrained("clip")
    assert main(["convert", str(RELEASED), "weights/ost", "--pretrained=clip"]) == 0
    CLIPModel(CLIPConfig.from_pretrained("weights/ost")).save_pretrained("clip")
    overlays = ["--config=presets/released", "--config=presets/released_lists"]
    weights = ["--model.video_clip.pretrained=weights/ost", "--model.video_clip.tuned_from=clip"]
    results = evaluate("zeroshot_k400", *overlays, *weights, "--data.clips.crop_size=32")
    sets = results["sets"]
    listed = {"hmdb51-released": 51, "ucf101": 1, "k600": 1}
    assert {name: result["card"]["listed"] for name, result in sets.items()} == {
        f"{name}-split{split}": count for name, count in listed.items() for split in (1, 2, 3)
    }
    assert set(sets["k600-split1"]["scores"]) == {"as trained", "ensembled_0.2"}
    assert sets["ucf101-split1"]["card"]["name_form"] == "as published"
    assert (results["model"]["pixel_statistics"], results["model"]["matcher"]["factor"]) == ("imagenet", 0.5)
    assert (results["clips"]["resize"], results["clips"]["sample_aspect"]) == ("bilinear", False)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_parses_as_an_overlay(path: Path) -> None:
    assert printed_settings("fit", "--config=zeroshot_k400", f"--config=presets/{path.stem}")


@pytest.mark.parametrize("experiment", standalone_experiments())
def test_the_recipe_keeps_the_rest_of_an_experiment(experiment: str) -> None:
    plain = printed_settings("fit", f"--config={experiment}")
    plus = printed_settings("fit", f"--config={experiment}", "--config=presets/ost_plus")
    terms = plus["model"]["init_args"]["matcher"]["init_args"].pop("terms")
    assert terms["spatio_transported"] == terms["temporal_transported"] == terms["order"] == 1
    assert terms["spatio_pooled"] == terms["temporal_pooled"] == terms["name"] == 0
    del plain["model"]["init_args"]["matcher"]["init_args"]["terms"]
    assert [plus[key] for key in ("trainer", "model", "data")] == [plain[key] for key in ("trainer", "model", "data")]
    assert plus["results"]["method"] == "OST+"


def test_the_recipe_alone_asks_for_an_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (
        ("presets/ost_plus", "Give an experiment first, and overlays such as modes/lora after it"),
        ("ost_plus", "There is no experiment file ost_plus. Did you mean presets/ost_plus?"),
    ):
        assert main(["fit", f"--config={name}"]) == 1
        assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "command",
    documented(PROTOCOLS.read_text()),
    ids=lambda command: " ".join(command),
)
def test_every_documented_command_of_the_protocols_parses(command: tuple[str, ...]) -> None:
    assert printed_settings(*command)


@pytest.mark.parametrize(
    ("experiment", "sets"),
    [("fewshot", {"hmdb51-split1"}), pytest.param("zeroshot_k400", {"k600-split3"}, marks=pytest.mark.slow)],
)
def test_vanilla_clip_uses_raw_names_and_averages_frames(experiment: str, sets: set[str]) -> None:
    results = evaluate(experiment, "--config=baselines/clip", "--model.templates=raw_name")
    model = results["model"]
    assert (model["temporal_head"], model["matcher"]["class"]) == ("MeanPooling", "CategoryName")
    assert model["templates"]["name"] == ["{name}"]
    assert results["checkpoint"] is None
    assert sets <= set(results["sets"])
