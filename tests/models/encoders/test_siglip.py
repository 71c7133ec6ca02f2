import csv
import json
import os
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.nn.functional import normalize
from transformers import SiglipModel

from ost_lightning import Recognizer
from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, probabilities
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP, ensemble_weights, frame_fingerprint, weights_digest
from ost_lightning.models.encoders.siglip import canonicalize
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.models.token_count import token_count
from ost_lightning.tasks.optimizer import layer_factors
from ost_lightning.text import SentenceSet
from tests.interruptions import Interrupted
from tests.models.encoders.siglip_miniature import IMAGE_SIZE, POSITIONS, pixels_of, tokens_of, write_siglip
from tests.test_resuming import same_run
from tests.videos import write_video

PLAIN = ("kick drum", "drum", "a dog s tail on a sandy beach", "x")
SENTENCES = SentenceSet({"name": tuple((text,) for text in PLAIN)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def video_clip(folder: Path) -> VideoCLIP:
    return VideoCLIP(str(folder)).eval()


@pytest.fixture(scope="module")
def reference(folder: Path) -> SiglipModel:
    return SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()


def clips(batch: int = 2, frames: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (batch, frames, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8)


@torch.no_grad()
@pytest.mark.parametrize("padding_side", ["right", "left"])
def test_features_and_logits_are_those_of_transformers(
    padding_side: str, reference: SiglipModel, tmp_path: Path
) -> None:
    video_clip, videos = VideoCLIP(str(write_siglip(tmp_path, padding_side))).eval(), clips()
    expected = reference(pixel_values=pixels_of(videos), input_ids=tokens_of(PLAIN))
    frames = video_clip.encode_frames(videos)
    texts = video_clip.encode_sentences(video_clip.tokenize(SENTENCES))["name"]
    torch.testing.assert_close(frames.flatten(0, 1), expected.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(texts[:, 0], expected.text_embeds, atol=1e-5, rtol=0)
    # a single frame is a video of one frame
    similarities = CategoryName()(frames.flatten(0, 1)[:, None], texts)
    logits = video_clip.similarity_to_logits(similarities)
    torch.testing.assert_close(logits, expected.logits_per_image, atol=1e-5, rtol=1e-5)
    assert float((logits - video_clip.encoder.model.logit_scale.exp() * similarities).mean()) == pytest.approx(-2, 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_probabilities_are_of_all_classes_or_of_each(
    scores: Literal["softmax", "sigmoid"], folder: Path, reference: SiglipModel
) -> None:
    model, videos = VideoCLIP(str(folder), scores=scores).eval(), clips(2, 1)
    logits = reference(pixel_values=pixels_of(videos), input_ids=tokens_of(PLAIN)).logits_per_image
    texts = model.encode_sentences(model.tokenize(SENTENCES))
    found = probabilities(model, CategoryName(), texts, embed(model, videos[:, None]))
    expected = logits.sigmoid() if scores == "sigmoid" else logits.softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # several views are averaged as probabilities
    views = videos.unflatten(0, (1, 2))
    torch.testing.assert_close(
        probabilities(model, CategoryName(), texts, embed(model, views)), expected.mean(0, keepdim=True)
    )
    assert frame_fingerprint(model, "fp32") == frame_fingerprint(VideoCLIP(str(folder)), "fp32")  # frames are the same


def test_sigmoid_scores_need_a_bias(folder: Path) -> None:
    with pytest.raises(UserError, match=r"tiny is of type clip, and its logits have no bias, .* such as SigLIP"):
        VideoCLIP("tiny", scores="sigmoid")
    with pytest.raises(UserError, match=r"tiny is of type clip, and its logits have no bias"):
        Recognizer.load("tiny", ["a", "b"], "cpu", scores="sigmoid")
    with pytest.raises(UserError, match="scores is 'logit': expected softmax or sigmoid"):
        Recognizer.load(str(folder), ["a", "b"], "cpu", scores="logit")  # type: ignore[arg-type]


def test_a_recognizer_with_sigmoid_scores(folder: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", count=12)
    together, alone = (
        Recognizer.load(str(folder), ["kick drum", "drum"], "cpu", scores) for scores in (None, "sigmoid")
    )
    assert sum(together(video).probabilities) == pytest.approx(1)
    found = alone(video)
    assert found.label == together(video).label
    odds = [p / (1 - p) for p in found.probabilities]  # log-odds differ by as much as the logits of the softmax
    ratio = together(video).probabilities[0] / together(video).probabilities[1]
    assert odds[0] / odds[1] == pytest.approx(ratio, rel=1e-4)
    assert together.conditions()["digest"] != alone.conditions()["digest"]


def test_none_of_these_by_absolute_probabilities(folder: Path, tmp_path: Path) -> None:
    video, names = write_video(tmp_path / "clip.mp4", count=12), ["kick drum", "drum"]
    best = Recognizer.load(str(folder), names, "cpu", "sigmoid")(video).probability
    for level, none in ((best - 1e-3, False), (best, False), (best + 1e-3, True)):
        found = Recognizer.load(str(folder), names, "cpu", "sigmoid", level)(video)
        assert (found.none_of_these, found.none_below, found.probability) == (none, level, best)
    for level in (0.0, 1.0, float("nan")):
        with pytest.raises(UserError, match=r"none_below is .*: expected a probability between 0 and 1, such as 0.01"):
            Recognizer.load(str(folder), names, "cpu", "sigmoid", level)
    with pytest.raises(UserError, match=r"none_below needs .* but scores are softmax, .*: add scores sigmoid"):
        Recognizer.load(str(folder), names, "cpu", none_below=0.5)
    with pytest.raises(UserError, match=r"tiny has none, so calibrate with labeled videos, or use .* SigLIP"):
        Recognizer.load("tiny", names, "cpu", none_below=0.5)


@pytest.mark.usefixtures("_empty_folder")
def test_none_of_these_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(Path("clip.mp4"), count=12)
    options = ["--classes=drum", "--scores=sigmoid", "--none_below=0.999999", "--output=out.csv"]
    assert main(["recognize", "clip.mp4", f"--weights={folder}", *options]) == 0
    printed = capsys.readouterr().out
    assert "none of these: all are below 99.9999 %" in printed
    assert "only one class" not in printed  # its probability is its own
    with Path("out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["none_of_these"], row["none_below"]) == ("True", "0.999999")


@torch.no_grad()
def test_sentences_are_independent_of_each_other(video_clip: VideoCLIP, reference: SiglipModel) -> None:
    together = video_clip.encode_sentences(video_clip.tokenize(SENTENCES))["name"]
    for text, vector in zip(PLAIN, together, strict=True):
        alone = video_clip.encode_sentences(video_clip.tokenize(SentenceSet({"name": ((text,),)})))["name"]
        torch.testing.assert_close(alone[0], vector, atol=1e-5, rtol=0)
    # padded only to the longest, sentences would have other embeddings: hence the padding to all positions
    short = normalize(reference.get_text_features(input_ids=tokens_of(PLAIN)[:, :24]).pooler_output, dim=-1)
    assert float((short - together[:, 0]).abs().max()) > 0.01


def test_sentences_are_padded_to_all_positions(video_clip: VideoCLIP, folder: Path) -> None:
    tokens = video_clip.tokenize(SENTENCES)
    assert tokens.tokens["name"].shape == (4, 1, POSITIONS)
    assert (tokens.lengths["name"] == POSITIONS).all()
    counter = token_count(str(folder))
    assert (list(counter.count(["dog's.", "a b"])), counter.limit) == ([5, 3], POSITIONS)
    with pytest.warns(UserWarning, match=rf"1 of 1 name sentences have more than {POSITIONS} tokens"):
        truncated = video_clip.tokenize(SentenceSet({"name": (("a" * 100,),)}))
    assert truncated.tokens["name"].shape == (1, 1, POSITIONS)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A dog's tail, on a Beach!", "a dogs tail on a beach"),
        ("  jump_rope \t twice\n", "jump rope twice"),
        ("one-handed (left)", "onehanded left"),
        ("?", ""),
    ],
)
def test_sentences_are_canonicalized_as_in_training(sentence: str, expected: str) -> None:
    assert canonicalize(sentence) == expected
    assert canonicalize(expected) == expected


def test_spelling_does_not_change_the_tokens(video_clip: VideoCLIP) -> None:
    spelled = video_clip.tokenize(SentenceSet({"name": (("A Dog's  tail.",), ("a dogs tail",))})).tokens["name"]
    assert torch.equal(spelled[0], spelled[1])


def test_preprocessing_is_that_of_siglip(video_clip: VideoCLIP) -> None:
    found = video_clip.preprocessing
    assert (found.mean, found.std, found.resize) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "squash")
    assert (found.image_size, found.default_short_side, found.statistics_name) == (IMAGE_SIZE, IMAGE_SIZE, "half")
    assert video_clip.embedding_dim == 32


def test_frames_and_sentences_have_gradients_with_and_without_checkpointing(folder: Path) -> None:
    gradients, videos = [], clips()
    for checkpointing in (False, True):
        model = VideoCLIP(str(folder), gradient_checkpointing=checkpointing)
        texts = model.encode_sentences(model.tokenize(SENTENCES))["name"]
        logits = model.similarity_to_logits(model.encode_frames(videos).mean(1) @ texts[:, 0].T)
        logits.sin().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert [name for name, gradient in gradients[0].items() if gradient is None] == ["encoder.model.logit_bias"]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_towers_are_frozen_with_their_pooling(folder: Path) -> None:
    model = VideoCLIP(str(folder), freeze_vision=True)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[2] for name in trained} == {"logit_scale", "text_model"}
    assert "encoder.model.text_model.head.weight" in trained
    assert not VideoCLIP(str(folder), freeze_vision=True).encode_frames(clips()).requires_grad


def test_layer_decay(video_clip: VideoCLIP) -> None:
    factors = layer_factors(video_clip.encoder, 0.5)
    by_name = {name: factors[parameter] for name, parameter in video_clip.encoder.model.named_parameters()}
    for tower in ("vision_model", "text_model"):
        assert by_name[f"{tower}.embeddings.position_embedding.weight"] == 0.125
        assert by_name[f"{tower}.encoder.layers.0.mlp.fc1.weight"] == 0.25
        assert by_name[f"{tower}.encoder.layers.1.mlp.fc1.weight"] == 0.5
    for name in ("vision_model.head.probe", "text_model.head.weight", "logit_scale", "logit_bias"):
        assert by_name[name] == 1


@torch.no_grad()
def test_adapters_are_in_the_layers_and_merge(folder: Path, tmp_path: Path) -> None:
    model = AdaptedVideoCLIP(str(folder), lora=LoRA(rank=2)).eval()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # the pooling's attention has an out_proj too, but torch reads its weights without calling it
    assert all(".encoder.layers." in name for name in trained if "lora_" in name)
    assert {name for name in trained if "lora_" not in name} == {"encoder.model.logit_scale"}
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.1)
    model.save_pretrained(tmp_path)
    again, videos = VideoCLIP(str(tmp_path)).eval(), clips()
    torch.testing.assert_close(again.encode_frames(videos), model.encode_frames(videos), atol=1e-5, rtol=0)
    assert not torch.allclose(VideoCLIP(str(folder)).eval().encode_frames(videos), model.encode_frames(videos))


@torch.no_grad()
def test_saving_ensembling_and_fingerprints(folder: Path, tmp_path: Path) -> None:
    tuned, plain, videos = VideoCLIP(str(folder)), VideoCLIP(str(folder)), clips()
    for parameter in tuned.parameters():
        parameter.add_(0.01)
    tuned.save_pretrained(tmp_path)
    again = VideoCLIP(str(tmp_path))
    assert weights_digest(again) == weights_digest(tuned) != weights_digest(plain)
    assert again.preprocessing == tuned.preprocessing
    assert torch.equal(again.encode_frames(videos), tuned.encode_frames(videos))
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(tuned, "fp32") != frame_fingerprint(plain, "fp32")
    mixed = ensemble_weights(tuned.original_parameters(), dict(tuned.named_parameters()), 0.25)
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(mixed[name], weight + 0.0075)
    # frame embeddings don't depend on text weights, scale and bias
    for parameter in (*again.encoder.tower("text").parameters(), *again.encoder.logit_parameters):
        parameter.add_(1)
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(tuned, "fp32")
    again.encoder.model.vision_model.head.probe.add_(1)
    assert frame_fingerprint(again, "fp32") != frame_fingerprint(tuned, "fp32")


RUN = Path("runs/toyworld/version_0")


def options(folder: Path) -> list[str]:
    return [
        "--config=toyworld",
        f"--model.video_clip.pretrained={folder}",
        "--data.train_clips=1",
        "--data.test_clips=1",
        "--data.clips.frames=2",
        "--data.loading.workers=0",
        "--data.loading.global_batch_size=4",
        "--trainer.callbacks=[]",
        "--trainer.limit_val_batches=0",
        "--trainer.log_every_n_steps=1",
        "--trainer.max_steps=3",
        "--tracking.wandb=false",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
    ]


@pytest.fixture
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    monkeypatch.setenv("OST_CACHE", os.environ["OST_CACHE"])


def moved(folder: Path) -> dict[str, bool]:
    """Whether training changed each of the encoder's weights."""
    state = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    before = VideoCLIP(str(folder)).state_dict()
    return {name: not torch.equal(state[f"video_clip.{name}"], weight) for name, weight in before.items()}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("_empty_folder")
@pytest.mark.slow
def test_resuming(folder: Path) -> None:
    fit = ["fit", *options(folder), "--config=modes/layer_decay", "--checkpoint.every_n_steps=2"]
    assert main(fit) == 0
    Path("runs").rename("uninterrupted")
    stop = ["--trainer.callbacks+=tests.interruptions.InterruptAt", "--trainer.callbacks.moment=batch_start"]
    with pytest.raises(Interrupted):
        main([*fit, *stop, "--trainer.callbacks.step=2"])
    assert main([*fit, "--ckpt_path=last"]) == 0
    same_run(RUN, Path("uninterrupted/toyworld/version_0"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("_empty_folder")
def test_training_testing_and_caching(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["fit", *options(folder), "--config=modes/layer_decay"]) == 0
    # the bias cancels in the loss, so it is frozen
    assert [name for name, changed in moved(folder).items() if not changed] == ["encoder.model.logit_bias"]
    monkeypatch.setenv("OST_CACHE", str(Path("cache").absolute()))
    last = RUN / "checkpoints/last.ckpt"
    test = ["test", *options(folder), f"--ckpt_path={last}", "--data.loading.embedding_cache_gigabytes=1"]
    test += ["--trainer.callbacks=WeightEnsembling", "--trainer.callbacks.ratios=[0.2]"]
    test += ["--model.video_clip.scores=sigmoid"]
    scores = []
    for version in (1, 2):
        assert main(test) == 0
        with (RUN.parent / f"version_{version}/metrics.csv").open(newline="") as file:
            row = list(csv.DictReader(file))[-1]
        scores.append({key: value for key, value in row.items() if key.startswith("test/")})
        monkeypatch.setattr(VideoCLIP, "encode_frames", None)  # in the second run all frames are cached
    assert scores[0] == scores[1]
    assert {"test/unseen/top1", "test/unseen/ensembled_0.2/top1"} <= scores[0].keys()
    results = json.loads((RUN.parent / "version_1/results.json").read_text())
    model, used = results["model"], results["clips"]
    assert (used["framing"], used["crop_size"]) == ("squash", IMAGE_SIZE)
    assert model["scores"] == "sigmoid"
    assert (model["backbone"], model["pixel_statistics"]) == ("ViT-2x32/16 at 48", "half")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("_empty_folder")
def test_supervised_training_with_a_temporal_head(folder: Path) -> None:
    supervised = ["--model=SupervisedRecognition", "--model.video_clip=VideoCLIP", "--model.matcher=CategoryName"]
    supervised += [f"--model.video_clip.pretrained={folder}", "--model.video_clip.freeze_text=true"]
    supervised += ["--model.video_clip.temporal_head=TemporalTransformer"]
    assert main(["fit", *options(folder), *supervised]) == 0
    state = torch.load(RUN / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert any("temporal_head" in name for name in state)
    before = VideoCLIP(str(folder)).state_dict()
    for name, weight in before.items():
        kept = ".text_model." in name or name.endswith("logit_bias")
        assert torch.equal(state[f"video_clip.{name}"], weight) == kept, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("_empty_folder")
def test_the_vision_tower_is_compiled(folder: Path) -> None:
    for name, more in (("plain", []), ("compiled", ["--config=modes/compiled"])):
        assert main(["fit", *options(folder), *more]) == 0
        Path("runs").rename(name)
    states = [
        torch.load(Path(name, "toyworld/version_0/checkpoints/last.ckpt"), weights_only=True)["state_dict"]
        for name in ("plain", "compiled")
    ]
    for name, weight in states[0].items():
        if not name.endswith(("k_proj.bias", "head.attention.in_proj_bias")):  # their gradients are pure rounding error
            torch.testing.assert_close(states[1][name], weight, atol=1e-5, rtol=1e-4)
