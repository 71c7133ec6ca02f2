import csv
import json
import sys
from pathlib import Path
from types import NoneType

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.experiment.cli import ExperimentCLI
from ost_lightning.matching import CategoryName, MaxSimilarity, OptimalDescriptorSolver
from ost_lightning.models import MeanPooling, PlainTemporalTransformer, TemporalTransformer, VideoCLIP
from ost_lightning.resources import shipped
from ost_lightning.tasks import ContrastiveRecognition, SupervisedRecognition, WordBagRecognition
from ost_lightning.toyworld.dataset import RenderedPart
from tests.interruptions import Interrupted
from tests.printed_settings import printed_settings

SMALL = ["--config=toyworld", "--data.train_clips=1", "--data.test_clips=1", "--data.loading.workers=0"]
SMALL += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
OST_ON_TEXT4VIS = [
    "--config=baselines/ost_on_text4vis",
    "--model.video_clip.temporal_head.layers=2",
    "--model.label_smoothing=0.1",
    "--model.mixing.mixup=0.8",
    "--data.clips.rand_augment=[2,9]",
]
BASELINES = {
    "clip": (MeanPooling, CategoryName, ContrastiveRecognition),
    "jigsawnet_matching": (type(None), MaxSimilarity, ContrastiveRecognition),
    "vifi_clip": (MeanPooling, CategoryName, SupervisedRecognition),
    "vifi_clip_contrastive": (MeanPooling, CategoryName, ContrastiveRecognition),
    "vifi_clip_supervised": (MeanPooling, CategoryName, SupervisedRecognition),
    "action_clip": (TemporalTransformer, CategoryName, ContrastiveRecognition),
    "maxi": (MeanPooling, CategoryName, WordBagRecognition),
    "taco": (MeanPooling, CategoryName, SupervisedRecognition),
    "tc_clip": (MeanPooling, CategoryName, SupervisedRecognition),
    "text4vis": (TemporalTransformer, CategoryName, SupervisedRecognition),
    "x_clip_training": (type(None), CategoryName, SupervisedRecognition),
    "ost_on_text4vis": (TemporalTransformer, OptimalDescriptorSolver, SupervisedRecognition),
    "a5": (PlainTemporalTransformer, CategoryName, SupervisedRecognition),
    "vita_clip": (MeanPooling, CategoryName, SupervisedRecognition),
    "dist": (NoneType, CategoryName, SupervisedRecognition),
    "ost_on_vita_clip": (NoneType, OptimalDescriptorSolver, SupervisedRecognition),
}
FRAMES = {"x_clip_training": ["--model.video_clip.frames=4", "--data.clips.frames=4"]}  # 32 take long
# freeze_text, the head's `pool`, weight decay (None: the experiment's), learning rate multiplier of new layers
TRAINED = {
    "vifi_clip": (False, None, 1e-3, 1.0),
    "vifi_clip_contrastive": (False, None, 1e-3, 1.0),
    "vifi_clip_supervised": (False, None, 1e-3, 1.0),
    "action_clip": (False, True, None, 10.0),
    "maxi": (False, None, 1e-3, 1.0),
    "taco": (False, None, 0.2, pytest.approx(1 / 0.075)),
    "tc_clip": (False, None, 1e-3, 1.0),
    "text4vis": (True, True, None, 10.0),
    "x_clip_training": (True, None, 1e-3, 10.0),
    "ost_on_text4vis": (True, False, None, 10.0),
    "a5": (True, True, 0.01, 1.0),
    "vita_clip": (True, None, 0.05, 1.0),
    "dist": (True, None, 1e-4, 1.0),
    "ost_on_vita_clip": (True, None, 0.05, 1.0),
}
PROMPTED = {"a5": {"text"}, "vita_clip": {"text", "vision"}, "ost_on_vita_clip": {"vision"}}
# what is trained beside the frozen towers, the temperature in the encoder included
BESIDE = {
    "a5": {"text_prompts", "temporal_head"},
    "vita_clip": {"text_prompts", "vision_prompts", "encoder"},
    "ost_on_vita_clip": {"vision_prompts", "encoder"},
    "dist": {"side_network"},
}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs every command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


def rows(run: str) -> list[dict[str, str]]:
    with (Path(run) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_baseline_is_tested() -> None:
    names = {path.stem for path in (shipped("experiments") / "baselines").glob("*.yaml")}
    assert names == {*BASELINES, "x_clip"}


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_overlays_of_an_experiment(name: str) -> None:
    """The overlay sets head, matcher and task, the experiment everything else."""
    head, matcher, task = BASELINES[name]
    options = [*SMALL, f"--config=baselines/{name}", "--trainer.limit_test_batches=1", "--trainer.callbacks=[]"]
    options += FRAMES.get(name, [])
    cli = ExperimentCLI(["test", *options, "--data.loading.evaluation_batch_size=2"])
    assert isinstance(cli.model, task)
    assert isinstance(cli.model.matcher, matcher)
    assert isinstance(cli.model.video_clip, VideoCLIP)
    assert cli.model.video_clip.pretrained == "tiny"
    assert cli.model.video_clip.prompted_towers == PROMPTED.get(name, set())
    assert isinstance(cli.model.video_clip.temporal_head, head)
    assert float(cli.trainer.callback_metrics["test/unseen/videos"]) == 2


@pytest.mark.parametrize(("experiment", "weight_decay"), [("zeroshot_k400", 1e-3), ("supervised", 0.2)])
@pytest.mark.parametrize("name", TRAINED)
def test_a_baseline_trains_the_same_parts_over_any_experiment(name: str, experiment: str, weight_decay: float) -> None:
    """The overlay replaces all settings of the experiment that the baseline's recipe sets differently."""
    model = printed_settings("fit", f"--config={experiment}", f"--config=baselines/{name}")["model"]["init_args"]
    video_clip, optimizer = model["video_clip"]["init_args"], model["optimizer"]
    freeze_text, pool, baseline_decay, factor = TRAINED[name]
    assert video_clip["freeze_text"] is freeze_text
    assert (video_clip["temporal_head"] or {}).get("init_args", {}).get("pool") is pool
    assert optimizer["weight_decay"] == (weight_decay if baseline_decay is None else baseline_decay)
    assert optimizer["new_module_lr_multiplier"] == factor


def test_vifi_clip_has_its_own_fully_supervised_recipe() -> None:
    config = printed_settings("fit", "--config=supervised", "--config=baselines/vifi_clip_supervised")
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert model["optimizer"]["learning_rate"] == 2.2e-5
    assert (model["label_smoothing"], model["mixing"]) == (0.1, {"mixup": 0.8, "cutmix": 1.0})
    clips, loading = data["clips"], data["loading"]
    assert (clips["frames"], clips["rand_augment"], loading["global_batch_size"]) == (16, None, 512)
    assert (clips["color_jitter"], clips["grayscale"]) == (0.8, 0.2)


def test_x_clip_is_an_overlay_of_an_experiment() -> None:
    """Only parses the configuration, because X-CLIP's weights are on the hub."""
    config = printed_settings("test", "--config=own_videos", "--config=baselines/x_clip")
    video_clip = config["model"]["init_args"]["video_clip"]
    assert video_clip["class_path"] == "ost_lightning.models.VideoCLIP"
    assert video_clip["init_args"]["pretrained"].startswith("microsoft/xclip")
    assert video_clip["init_args"]["pixel_statistics"] is None


def test_recipes_of_other_methods_are_options_of_the_command() -> None:
    options = ["--data.clips.stride=16", "--data.clips.rand_augment=rand-m7-n4-mstd0.5-inc1"]
    options += ["--data.clips.training_crop=random_resized", "--data.clips.crop_area=[0.4, 1]"]
    options += ["--model.video_clip.logit_scale.initial=14.29", "--model.video_clip.logit_scale.trained=false"]
    options += ['--model.video_clip.frozen_weights=["*token_embedding*"]', "--model.optimizer.schedule=constant"]
    options += ['--model.optimizer.no_weight_decay=["*queries", "*position*"]', "--model.optimizer.min_lr_fraction=0"]
    config = printed_settings("fit", "--config=toyworld", "--config=baselines/text4vis", *options)
    clips, model = config["data"]["init_args"]["clips"], config["model"]["init_args"]
    assert (clips["stride"], clips["rand_augment"]) == (16, "rand-m7-n4-mstd0.5-inc1")
    assert (clips["training_crop"], clips["crop_area"]) == ("random_resized", [0.4, 1.0])
    assert model["video_clip"]["init_args"]["logit_scale"] == {"initial": 14.29, "trained": False, "maximum": None}
    assert model["video_clip"]["init_args"]["frozen_weights"] == ["*token_embedding*"]
    optimizer = model["optimizer"]
    assert (optimizer["schedule"], optimizer["min_lr_fraction"]) == ("constant", 0.0)
    assert optimizer["no_weight_decay"] == ["*queries", "*position*"]


@pytest.mark.slow
def test_supervised_fit_checkpoint_test_gives_the_same_metric() -> None:
    options = [*SMALL, *OST_ON_TEXT4VIS]
    # two epochs, because the first step has the learning rate 0
    assert main(["fit", *options, "--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=2"]) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    validated = [row["val/seen/top1"] for row in rows("runs/toyworld/version_0") if row["val/seen/top1"]]
    head = [name for name in torch.load(checkpoint, weights_only=True)["state_dict"] if "temporal_head" in name]
    assert head
    assert main(["validate", *options, f"--ckpt_path={checkpoint}"]) == 0
    assert rows("runs/toyworld/version_1")[-1]["val/seen/top1"] == validated[-1]
    # a mixture with the original weights has the head too, although the original model has no head
    assert main(["test", *options, f"--ckpt_path={checkpoint}"]) == 0
    tested = rows("runs/toyworld/version_2")[-1]
    scores = json.loads(Path("runs/toyworld/version_2/results.json").read_text())["sets"]["unseen"]["scores"]
    for weights, prefix in (("as trained", "test/unseen"), ("ensembled_0.2", "test/unseen/ensembled_0.2")):
        assert scores[weights]["scored"] == 20
        assert float(tested[f"{prefix}/top1"]) == pytest.approx(scores[weights]["top1"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more", "method", "mixtures"),
    [
        ("x_clip_training", ["--model.video_clip.frames=2"], "X-CLIP", {"ensembled_0.2"}),
        ("tc_clip", [], "TC-CLIP (TC only)", {"ensembled_0.2", "ensembled_0.3"}),
        ("taco", [], "TACO", {"ensembled_0.2", "trajectory_average"}),
    ],
)
def test_trained_towers_are_trained_resumed_tested_and_predict(
    name: str, more: list[str], method: str, mixtures: set[str]
) -> None:
    options = [*SMALL, f"--config=baselines/{name}", "--data.clips.frames=2", *more]
    options += [
        "--data.loading.global_batch_size=8",
        "--trainer.check_val_every_n_epoch=2",
        "--checkpoint.every_n_steps=1",
    ]
    fit = ["fit", *options, "--trainer.max_epochs=2", "--checkpoint.every_n_steps=1"]
    assert main(fit) == 0
    checkpoint = "runs/toyworld/version_0/checkpoints/last.ckpt"
    interrupt = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.moment=before_update"]
    with pytest.raises(Interrupted):
        main([*fit, *interrupt, "--trainer.callbacks.step=7"])
    assert main([*fit, "--ckpt_path=runs/toyworld/version_1/checkpoints/last.ckpt"]) == 0
    ends = [torch.load(f"runs/toyworld/version_{k}/checkpoints/last.ckpt", weights_only=True) for k in (0, 2)]
    assert ends[0]["global_step"] == ends[1]["global_step"]
    assert all(torch.equal(ends[1]["state_dict"][name], weight) for name, weight in ends[0]["state_dict"].items())
    cached = "--data.loading.embedding_cache_gigabytes=0.1"
    assert main(["test", *options, cached, f"--ckpt_path={checkpoint}"]) == 0
    results = json.loads(Path("runs/toyworld/version_3/results.json").read_text())
    assert results["method"] == method
    assert results["sets"]["unseen"]["scores"].keys() == {"as trained", *mixtures}
    assert main(["test", *options, cached, f"--ckpt_path={checkpoint}"]) == 0  # from the cache
    again = json.loads(Path("runs/toyworld/version_4/results.json").read_text())
    assert again["sets"]["unseen"]["scores"] == results["sets"]["unseen"]["scores"]
    assert main(["predict", *options, f"--ckpt_path={checkpoint}"]) == 0
    assert (Path("runs/toyworld/version_5") / "predictions.csv").is_file()


@pytest.mark.parametrize("name", PROMPTED)
def test_prompts_are_trained_by_their_released_recipe(name: str) -> None:
    config = printed_settings("fit", "--config=supervised", f"--config=baselines/{name}")
    model, clips = config["model"]["init_args"], config["data"]["init_args"]["clips"]
    video_clip, optimizer = model["video_clip"]["init_args"], model["optimizer"]
    assert (video_clip["freeze_vision"], video_clip["freeze_text"]) == (True, True)
    rate, scale, templates = {
        "a5": (1e-4, 14.285714, "raw_name"),
        "vita_clip": (4e-4, None, "coop"),
        "ost_on_vita_clip": (4e-4, None, "ost"),
    }[name]
    assert (optimizer["learning_rate"], optimizer["betas"]) == (rate, [0.9, 0.999])
    assert (optimizer["weight_decay_on_all"], optimizer["warmup_fraction"]) == (True, 0.0)
    assert (video_clip["logit_scale"]["initial"], model["templates"]) == (scale, templates)
    assert video_clip["logit_scale"]["trained"] == (name != "a5")
    assert (model["label_smoothing"], model["mixing"]) == (0.0, {"mixup": 0.0, "cutmix": 0.0})
    assert (clips["flip"], clips["color_jitter"], clips["grayscale"]) == (0.0, 0.0, 0.0)
    augmentation = (clips["rand_augment"], clips["training_crop"], clips["stride"])
    assert clips["rand_augment_before_crop"] == (name != "a5")
    assert (
        augmentation
        == {
            "a5": (None, "center", [1, 2, 3, 3, 3, 4]),
            "vita_clip": ("rand-m7-n4-mstd0.5-inc1", "random_resized", 16),
            "ost_on_vita_clip": ("rand-m7-n4-mstd0.5-inc1", "random_resized", 16),
        }[name]
    )
    assert clips["frames"] == 8


SCALE = "encoder.model.logit_scale"
FOUR_FRAMES = {
    "a5": [],
    "vita_clip": ["--model.video_clip.vision_prompts.frames=4"],
    "ost_on_vita_clip": ["--model.video_clip.vision_prompts.frames=4"],
    "dist": [
        "--model.video_clip.side_network.frames=4",
        "--model.video_clip.side_network.integration_width=64",
        "--model.video_clip.clip_share=0.5",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BESIDE)
def test_frozen_towers_from_training_to_predictions(name: str) -> None:
    options = [*SMALL, f"--config=baselines/{name}", "--data.clips.frames=4", *FOUR_FRAMES[name]]
    options += ["--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=2"]
    assert main(["fit", *options, "--tracking.name=whole"]) == 0
    checkpoint = "runs/whole/version_0/checkpoints/last.ckpt"
    whole = torch.load(checkpoint, weights_only=True)["state_dict"]
    before = VideoCLIP("tiny").state_dict()
    before[SCALE] = torch.tensor(1 / 0.07).log() if name == "a5" else before[SCALE]
    changed = {key for key, value in whole.items() if not torch.equal(value, before.get(key[11:], torch.empty(0)))}
    assert {key.split(".")[1] for key in changed} == BESIDE[name]
    assert {key for key in changed if ".encoder." in key} <= {f"video_clip.{SCALE}"}
    # a training goes on from its checkpoint
    assert main(["fit", *options, "--tracking.name=parts", "--trainer.limit_train_batches=1"]) == 0
    assert main(["fit", *options, "--tracking.name=parts", "--trainer.max_epochs=3", "--ckpt_path=last"]) == 0
    # the seen classes have the contexts that they were trained with
    validated = [row["val/seen/top1"] for row in rows("runs/whole/version_0") if row["val/seen/top1"]]
    assert main(["validate", *options, f"--ckpt_path={checkpoint}", "--tracking.name=validated"]) == 0
    assert rows("runs/validated/version_0")[-1]["val/seen/top1"] == validated[-1]
    for _ in range(2):  # the second time from the cache
        cached = ["--data.loading.embedding_cache_gigabytes=1", "--tracking.name=tested"]
        assert main(["test", *options, *cached, f"--ckpt_path={checkpoint}"]) == 0
    found = [json.loads(Path(f"runs/tested/version_{version}/results.json").read_text()) for version in (0, 1)]
    assert found[0]["sets"]["unseen"]["scores"] == found[1]["sets"]["unseen"]["scores"]
    assert list(found[0]["sets"]["unseen"]["scores"]) == ["as trained"]
    assert BESIDE[name] - {"encoder", "temporal_head"} <= found[0]["model"]["parts"].keys()
    plain = [remark for remark in found[0]["remarks"] if "scored by sentences without contexts" in remark]
    assert len(plain) == (name == "vita_clip")
    assert main(["predict", *options, f"--ckpt_path={checkpoint}", "--tracking.name=predicted"]) == 0
    assert main(["ablate", *options, f"--ckpt_path={checkpoint}", "--tracking.name=ablated"]) == 0
    labels = str(RenderedPart(0, "unseen", "test", 1).folder)
    answer = Recognizer.load(checkpoint, labels=labels, device="cpu")
    assert answer.conditions()["matcher"] == BASELINES[name][1].__name__


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vifi_clip", "vifi_clip_contrastive", "vifi_clip_supervised", "action_clip", "text4vis", "ost_on_text4vis"]
)
def test_trained_towers_from_training_to_predictions(name: str) -> None:
    options = [*SMALL, f"--config=baselines/{name}", "--data.clips.frames=2", "--data.loading.global_batch_size=8"]
    options += ["--trainer.limit_val_batches=0", "--data.loading.max_videos_per_device=8"]
    assert main(["fit", *options, "--trainer.max_epochs=2", "--tracking.name=whole"]) == 0
    checkpoint = "runs/whole/version_0/checkpoints/last.ckpt"
    whole = torch.load(checkpoint, weights_only=True)
    interrupt = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.moment=before_update"]
    fit = ["fit", *options, "--trainer.max_epochs=2", "--tracking.name=parts", "--checkpoint.every_n_steps=1"]
    with pytest.raises(Interrupted):
        main([*fit, *interrupt, "--trainer.callbacks.step=7"])
    assert main([*fit, "--ckpt_path=last"]) == 0
    resumed = torch.load(sorted(Path("runs/parts").glob("version_*"))[-1] / "checkpoints/last.ckpt", weights_only=True)
    assert resumed["global_step"] == whole["global_step"] == 10
    assert all(torch.equal(resumed["state_dict"][key], weight) for key, weight in whole["state_dict"].items())
    assert main(["test", *options, f"--ckpt_path={checkpoint}", "--tracking.name=tested"]) == 0
    results = json.loads(Path("runs/tested/version_0/results.json").read_text())
    assert results["sets"]["unseen"]["scores"].keys() == {"as trained", "ensembled_0.2"}
    assert main(["predict", *options, f"--ckpt_path={checkpoint}", "--tracking.name=predicted"]) == 0
    assert Path("runs/predicted/version_0/predictions.csv").is_file()


def test_the_side_network_has_its_released_recipe() -> None:
    config = printed_settings("fit", "--config=supervised", "--config=baselines/dist")
    model, clips = config["model"]["init_args"], config["data"]["init_args"]["clips"]
    network = model["video_clip"]["init_args"]["side_network"]["init_args"]
    assert network == {
        "frames": 16,
        "stride": 2,
        "integration_width": 384,
        "temporal_width": 96,
        "pooling_layers": 4,
    }
    assert model["video_clip"]["init_args"]["temporal_head"] is None
    assert (model["optimizer"]["learning_rate"], model["templates"]) == (3.2e-4, "raw_name")
    assert (model["label_smoothing"], model["mixing"]) == (0.1, {"mixup": 0.8, "cutmix": 1.0})
    assert (clips["frames"], clips["color_jitter"], clips["rand_augment"]) == (16, 0.0, None)
