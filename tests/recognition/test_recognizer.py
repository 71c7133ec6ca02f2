import csv
import shutil
import sys
from pathlib import Path

import pytest
import torch

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.errors import NonFiniteError, UserError
from ost_lightning.library.settings import table_digest
from ost_lightning.recognition import Calibration, Unreadable, load_trained_model
from ost_lightning.resources import cache_folder, tiny_clip_folder
from ost_lightning.text import LabelSpace
from tests.videos import write_video

SMALL = [
    "--config=toyworld",
    "--data.train_clips=1",
    "--data.test_clips=1",
    "--data.clips.frames=4",
    "--data.clips.views=2",
    "--data.loading.workers=0",
    "--data.loading.global_batch_size=20",
    "--trainer.limit_val_batches=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--tracking.wandb=false",
    "--model.matcher.gradient=implicit",
    "--model.matcher.learn_epsilon=true",
    "--model.matcher.epsilon=0.3",
    "--model.optimizer.learning_rate=1e-3",
    "--model.descriptors_per_class=2",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run with non-default settings, and its predictions by `ost predict`."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["ost"])
        assert main(["fit", *SMALL, "--trainer.max_steps=2"]) == 0
        assert main(["predict", *SMALL, "--ckpt_path=last"]) == 0
    return folder / "runs/toyworld/version_0"


@pytest.fixture(scope="module")
def unseen(run: Path) -> Path:
    """The rendered videos that were predicted; their folder is also a label space."""
    return next(cache_folder().glob("toyworld-*/draw0-unseen-test-1"))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", count=12)


def test_probabilities_are_those_of_ost_predict(run: Path, unseen: Path) -> None:
    recognize = Recognizer.load(run, labels=unseen, device="cpu")
    with (run.parent / "version_1/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    for row in rows[::4]:
        found = recognize(unseen / row["video"])
        for rank, (name, probability) in enumerate(found.top(5), start=1):
            assert name == row[f"class_{rank}"]
            assert f"{probability:.4f}" == row[f"probability_{rank}"]
        assert sum(found.probabilities) == pytest.approx(1, abs=1e-5)
        assert len(found.classes) == 20


def test_a_run_an_experiment_and_a_checkpoint_give_the_same_weights(run: Path) -> None:
    models = [load_trained_model(path) for path in (run, run.parent, run / "checkpoints/last.ckpt")]
    weights = [model.video_clip.state_dict() for model in models]
    for other in weights[1:]:
        assert all(torch.equal(weight, other[name]) for name, weight in weights[0].items())
    untuned = load_trained_model("tiny").video_clip.state_dict()
    assert any(not torch.equal(weight, untuned[name]) for name, weight in weights[0].items())


def test_a_trained_model_has_its_own_settings(run: Path) -> None:
    model = load_trained_model(run)
    assert (model.clips.frames, model.clips.views, model.clips.crop_size) == (4, 2, 48)
    assert model.descriptors_per_class == 2
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]["matcher.epsilon_shift"]
    assert float(saved) != 0  # learned
    assert torch.equal(model.matcher.state_dict()["epsilon_shift"], saved)


def test_a_copied_folder_in_hugging_face_format_gives_the_same_result(tmp_path: Path, video: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_clip_folder(), folder)
    names = ["juggling balls", "riding horse", "painting fence"]
    copied, packaged = (Recognizer.load(weights, names, device="cpu")(video) for weights in (folder, "tiny"))
    assert copied == packaged


def test_class_names_without_descriptors_are_compared_as_names(video: Path) -> None:
    recognize = Recognizer.load("tiny", labels=("juggling balls", "riding horse"), device="cpu")
    assert repr(recognize) == "Recognizer('tiny', 2 classes, CategoryName, 8 frames of 48 x 48 pixels, cpu)"
    assert set(recognize(str(video)).classes) == {"juggling balls", "riding horse"}


def test_label_spaces_by_name_use_their_descriptors() -> None:
    recognize = Recognizer.load("tiny", labels="ucf101", device="cpu")
    assert repr(recognize).startswith("Recognizer('tiny', 101 classes, OptimalDescriptorSolver, 8 frames")
    part = LabelSpace.load("ucf101").select(["archery", "surfing"])
    assert Recognizer.load("tiny", labels=part, device="cpu").labels.names == ("archery", "surfing")


def test_results_do_not_depend_on_previous_videos(video: Path, tmp_path: Path) -> None:
    recognize = Recognizer.load("tiny", labels=["juggling balls", "riding horse"], device="cpu")
    first = recognize(video)
    recognize(write_video(tmp_path / "other.mp4", count=9, seed=5))
    assert recognize(video) == first


def test_error_messages(tmp_path: Path, video: Path) -> None:
    recognize = Recognizer.load("tiny", labels=["juggling balls", "riding horse"], device="cpu")
    with pytest.raises(UserError, match=r"nothing\.mp4"):
        recognize(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"text\.mp4"):
        recognize(tmp_path / "text.mp4")
    with pytest.raises(UserError, match=r"contains no weights: expected config\.json .*version_\*"):
        Recognizer.load(tmp_path, labels=["a", "b"])
    with pytest.raises(UserError, match="There is no label space 'kinetics4000'"):
        Recognizer.load("nobody/nothing", labels="kinetics4000")  # labels first: weights may have to be downloaded
    with pytest.raises(UserError, match="names 'a' twice"):
        Recognizer.load("tiny", labels=["a", "a"])
    with pytest.raises(UserError, match="fewer than 4 spatio descriptors"):
        Recognizer.load("tiny", labels=LabelSpace(("a", "b"), {"a": LabelSpace.load("ucf101").descriptors["archery"]}))
    torch.save({"state_dict": {"video_clip.encoder.model.logit_scale": torch.zeros(())}}, tmp_path / "bare.ckpt")
    with pytest.raises(UserError, match=r"bare\.ckpt doesn't contain the settings of its model"):
        Recognizer.load(tmp_path / "bare.ckpt", labels=["a", "b"])


def test_a_calibrated_recognizer_gives_label_sets(tmp_path: Path) -> None:
    labels = ["archery", "surfing", "riding a horse"]
    recognizer = Recognizer.load("tiny", labels=labels, device="cpu")
    videos = [write_video(tmp_path / f"{seed}.mp4", count=8, seed=seed) for seed in range(6)]
    with pytest.raises(UserError, match="need a calibration"):
        recognizer(videos[0]).label_set()
    recognizer.calibrate([(video, recognizer(video).label) for video in videos[:4]], none=videos[4:]).save(
        tmp_path / "c.json"
    )
    found = recognizer(videos[0])
    # four labeled videos, one of them this one: its own class fits no worse than itself
    assert found.label in found.label_set(alpha=0.2)
    assert set(found.p_values) <= {k / 5 for k in range(1, 6)}
    assert set(found.label_set(0.5)) <= set(found.label_set(0.2)) <= set(labels)
    assert found.background_p_value in (1 / 3, 2 / 3, 1.0)
    again = Recognizer.load("tiny", labels=labels, device="cpu")
    again.use_calibration(Calibration.load(tmp_path / "c.json"))
    assert again(videos[0]) == found
    with pytest.raises(UserError, match="other weights, classes, descriptors or settings"):
        Recognizer.load("tiny", labels=labels[:2], device="cpu").use_calibration(Calibration.load(tmp_path / "c.json"))
    with pytest.raises(UserError, match="no class 'juggling'"):
        recognizer.calibrate([(videos[0], "juggling")])


def test_a_file_that_is_no_calibration_is_rejected(tmp_path: Path) -> None:
    for content in ("{}", "[1]", "not json", '{"nonconformity": "x"}'):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(UserError, match="is not a calibration"):
            Calibration.load(tmp_path / "c.json")


def test_many_videos_give_the_results_of_single_ones(tmp_path: Path) -> None:
    recognizer = Recognizer.load("tiny", labels=["archery", "surfing"], device="cpu")
    videos = [write_video(tmp_path / f"{seed}.mp4", count=8, seed=seed) for seed in range(5)]
    videos.insert(2, tmp_path / "missing.mp4")
    found = list(recognizer.stream(videos, threads=2, batch_size=3))
    assert [result.video for result in found] == [str(video) for video in videos]
    for video, result in zip(videos, found, strict=True):
        if isinstance(result, Unreadable):
            assert video.name == "missing.mp4"
            assert "there is no such file" in result.reason
        else:
            assert result.probabilities == pytest.approx(recognizer(video).probabilities, abs=1e-6)


def test_numbers_that_are_not_finite_are_refused(video: Path) -> None:
    recognize = Recognizer.load("tiny", labels=["juggling balls", "riding horse"], device="cpu")
    recognize._video_clip.normalization._std.zero_()
    with pytest.raises(NonFiniteError, match=r"clip\.mp4: its probabilities are not finite"):
        recognize(video)
    model = load_trained_model("tiny")
    model.video_clip.encoder.model.logit_scale.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="logit_scale has 1 NaN"):
        Recognizer(model, recognize.labels)


def test_recognition_in_fp8_is_named_and_close(video: Path, tmp_path: Path) -> None:
    labels = ["archery", "surfing"]
    exact, rounded = (Recognizer.load("tiny", labels, "cpu", fp8=fp8) for fp8 in (False, True))
    assert rounded(video).probability == pytest.approx(exact(video).probability, abs=0.05)
    assert "precision" not in exact.conditions()
    assert rounded.conditions()["precision"] == "fp8 in the vision tower"
    assert rounded.conditions()["digest"] != exact.conditions()["digest"]
    with pytest.raises(UserError, match="embedded with other weights or settings"):
        rounded(exact.embed_clip(video))
    assert len({table_digest(one.model.video_clip, one.clips) for one in (exact, rounded)}) == 2
    with pytest.raises(UserError, match="Exports have no fp8 products"):
        rounded.export(tmp_path / "export")
    with pytest.raises(UserError, match="explain without fp8"):
        rounded.maps(rounded.explain(video)[0])


def test_recognition_in_bf16_on_a_cpu_is_named_and_close(video: Path) -> None:
    labels = ["archery", "surfing"]
    lower = Recognizer.load("tiny", labels, "cpu", cpu_precision="bf16")
    exact = Recognizer.load("tiny", labels, "cpu")
    found, expected = lower(video), exact(video)
    assert found.label == expected.label
    assert found.probability == pytest.approx(expected.probability, abs=0.01)
    assert found.probability != expected.probability
    assert "precision" not in exact.conditions()
    assert lower.conditions()["precision"] == "bf16 on a CPU"
    assert lower.conditions()["digest"] != exact.conditions()["digest"]
    assert repr(lower).endswith("cpu, bf16 on a CPU)")
    assert lower.remark == ""
    with pytest.raises(UserError, match="embedded with other weights or settings"):
        lower(exact.embed_clip(video))
    others = lower.with_labels(LabelSpace(("diving", "surfing")))
    assert others.conditions()["precision"] == "bf16 on a CPU"
