import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP, ensemble_weights, frame_fingerprint, weights_digest
from ost_lightning.models.encoders.open_clip import OpenCLIPEncoder
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.models.token_count import token_count
from ost_lightning.recognition import load_trained_model
from ost_lightning.tasks.optimizer import layer_factors
from ost_lightning.text import SentenceSet
from tests.models.encoders.open_clip_miniatures import FAMILIES, write_open_clip
from tests.models.encoders.test_siglip import moved, options

KINDS = ("laion", "pe_core", "eva02", "mobileclip2", "siglip", "worldwide", "convnext", "resnet")
"""Families whose towers differ in their modules."""
PLAIN = ("kick drum", "drum", "a dog s tail on a sandy beach", "x")
SENTENCES = SentenceSet({"name": tuple((text,) for text in PLAIN)})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("open_clip")
    return {name: write_open_clip(root / name, name) for name in FAMILIES}


def reference(folder: Path) -> tuple[Any, Any, Any]:
    """Model, transform and tokenizer as open_clip itself loads them."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


def clips(video_clip: VideoCLIP, batch: int = 2, frames: int = 3) -> torch.Tensor:
    size = video_clip.image_size
    return torch.randint(0, 256, (batch, frames, 3, size, size), dtype=torch.uint8)


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_features_and_logits_are_those_of_open_clip(name: str, folders: dict[str, Path]) -> None:
    model, transform, tokenizer = reference(folders[name])
    video_clip = VideoCLIP(str(folders[name])).eval()
    videos = clips(video_clip)
    images = torch.stack([transform(Image.fromarray(frame.permute(1, 2, 0).numpy())) for frame in videos.flatten(0, 1)])
    tokens = tokenizer(list(PLAIN))
    expected, _ = model.get_logits(images, tokens)
    frames = video_clip.encode_frames(videos)
    texts = video_clip.encode_sentences(video_clip.tokenize(SENTENCES))["name"]
    torch.testing.assert_close(frames.flatten(0, 1), model.encode_image(images, normalize=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(texts[:, 0], model.encode_text(tokens, normalize=True), atol=1e-5, rtol=0)
    # a single frame is a video of one frame
    similarities = CategoryName()(frames.flatten(0, 1)[:, None], texts)
    torch.testing.assert_close(video_clip.similarity_to_logits(similarities), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_scores_are_sigmoid_where_the_model_has_a_bias(folders: dict[str, Path]) -> None:
    model, transform, tokenizer = reference(folders["siglip"])
    video_clip = VideoCLIP(str(folders["siglip"]), scores="sigmoid").eval()
    videos = clips(video_clip, frames=1)
    images = torch.stack([transform(Image.fromarray(frame.permute(1, 2, 0).numpy())) for frame in videos.flatten(0, 1)])
    expected, _ = model.get_logits(images, tokenizer(list(PLAIN)))
    texts = video_clip.encode_sentences(video_clip.tokenize(SENTENCES))["name"]
    found = video_clip.class_probabilities(CategoryName()(video_clip.encode_frames(videos), texts))
    torch.testing.assert_close(found, expected.sigmoid(), atol=1e-5, rtol=1e-5)
    with pytest.raises(UserError, match="is of type open_clip, and its logits have no bias"):
        VideoCLIP(str(folders["laion"]), scores="sigmoid")


def sentences(*texts: str) -> SentenceSet:
    return SentenceSet({"name": tuple((text,) for text in texts)})


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_are_independent_of_the_batch(name: str, folders: dict[str, Path]) -> None:
    video_clip, family = VideoCLIP(str(folders[name])), FAMILIES[name]  # in training, too
    tokens = video_clip.tokenize(SENTENCES)
    assert (tokens.tokens["name"].shape[-1] == family.positions) == family.padded
    together = video_clip.encode_sentences(tokens)["name"]
    for text, vector in zip(PLAIN, together, strict=True):
        alone = video_clip.encode_sentences(video_clip.tokenize(sentences(text)))["name"]
        torch.testing.assert_close(alone[0], vector, atol=1e-5, rtol=0)
    videos = clips(video_clip)
    torch.testing.assert_close(
        video_clip.encode_frames(videos[:1]), video_clip.encode_frames(videos)[:1], atol=1e-5, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_mixed_precision_changes_embeddings_slightly(name: str, folders: dict[str, Path]) -> None:
    video_clip = VideoCLIP(str(folders[name])).eval()
    videos, tokens = clips(video_clip), video_clip.tokenize(SENTENCES)
    full = [video_clip.encode_frames(videos), video_clip.encode_sentences(tokens)["name"]]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = [video_clip.encode_frames(videos), video_clip.encode_sentences(tokens)["name"]]
    for found, expected in zip(mixed, full, strict=True):
        assert found.dtype == torch.float32
        assert float((found * expected).sum(-1).min()) > 0.99


@pytest.mark.parametrize("name", FAMILIES)
def test_preprocessing_is_that_of_the_configuration(name: str, folders: dict[str, Path]) -> None:
    found, family = OpenCLIPEncoder.load_preprocessing(str(folders[name])), FAMILIES[name]
    assert ([*found.mean], [*found.std]) == (family.pixels["mean"], family.pixels["std"])
    assert found.filter == family.pixels["interpolation"]
    assert (found.resize == "squash") == (family.pixels["resize_mode"] == "squash")
    assert found.image_size == family.vision["image_size"]
    assert not found.knows_clips


def test_long_sentences_are_counted_and_truncated(folders: dict[str, Path]) -> None:
    folder = str(folders["pe_core"])
    counter = token_count(folder)
    assert (list(counter.count(["a dog", "", "dog " * 40])), counter.limit) == ([4, 2, 42], 32)
    with pytest.warns(UserWarning, match="1 of 1 name sentences have more than 32 tokens"):
        tokens = VideoCLIP(folder).tokenize(sentences("dog " * 40)).tokens["name"]
    assert torch.equal(tokens[0], open_clip.get_tokenizer(f"local-dir:{folder}")("dog " * 40))


def test_the_end_token_in_a_sentence_is_noticed(folders: dict[str, Path]) -> None:
    tokenizer = OpenCLIPEncoder.load_tokenizer(str(folders["laion"]))
    assert tokenizer.ends_early("a <end_of_text> b")
    assert not tokenizer.ends_early("a b")
    assert tokenizer.read(["A  Dog"]) == tokenizer.read(["a dog"])


@pytest.mark.parametrize("name", KINDS)
def test_gradients_with_and_without_checkpointing(name: str, folders: dict[str, Path]) -> None:
    if name == "resnet":
        with pytest.raises(UserError, match="ResNet-1-1-1-1x8 has no gradient checkpointing: unset"):
            VideoCLIP(str(folders[name]), gradient_checkpointing=True)
        return
    gradients, videos = [], None
    for checkpointing in (False, True):
        model = VideoCLIP(str(folders[name]), gradient_checkpointing=checkpointing)
        videos = clips(model) if videos is None else videos
        buffers = {key: value.clone() for key, value in model.named_buffers()}
        texts = model.encode_sentences(model.tokenize(SENTENCES))["name"]
        logits = model.similarity_to_logits(model.encode_frames(videos).mean(1) @ texts[:, 0].T)
        logits.sin().sum().backward()
        gradients.append({key: parameter.grad for key, parameter in model.named_parameters()})
        assert all(torch.equal(value, buffers[key]) for key, value in model.named_buffers())
    frozen = ["encoder.model.logit_bias"] if name == "siglip" else []
    assert [key for key, gradient in gradients[0].items() if gradient is None] == frozen
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_towers_are_frozen_separately(name: str, folders: dict[str, Path]) -> None:
    for tower, part in (("vision", "visual"), ("text", "text")):
        model = VideoCLIP(str(folders[name]), **{f"freeze_{tower}": True})
        for key, parameter in model.named_parameters():
            frozen = key.startswith(f"encoder.model.{part}.") or key.endswith("logit_bias")
            assert parameter.requires_grad != frozen, key


@pytest.mark.parametrize(
    ("name", "lowest", "first", "last"),
    [
        (
            "laion",
            ["class_embedding", "positional_embedding", "conv1.weight", "ln_pre.bias"],
            "transformer.resblocks.0.ln_1.bias",
            "proj",
        ),
        (
            "pe_core",
            ["trunk.cls_token", "trunk.pos_embed", "trunk.patch_embed.proj.weight"],
            "trunk.blocks.0.norm1.bias",
            "trunk.head.weight",
        ),
        (
            "mobileclip2",
            ["trunk.stem.0.conv_kxk.0.conv.weight"],
            "trunk.stages.0.blocks.0.mlp.fc1.weight",
            "trunk.head.fc.weight",
        ),
    ],
)
def test_layer_decay(name: str, lowest: list[str], first: str, last: str, folders: dict[str, Path]) -> None:
    encoder = OpenCLIPEncoder.from_pretrained(str(folders[name]))
    factors = layer_factors(encoder, 0.5)
    by_name = {key: factors[parameter] for key, parameter in encoder.model.named_parameters()}
    for key in lowest:
        assert by_name[f"visual.{key}"] == 0.125, key
    assert by_name[f"visual.{first}"] == 0.25
    assert by_name[f"visual.{last}"] == by_name["logit_scale"] == by_name["text.text_projection"] == 1
    assert by_name["text.positional_embedding"] == by_name["text.token_embedding.weight"] == 0.125
    assert by_name["text.transformer.resblocks.1.mlp.c_fc.weight"] == 0.5


def test_layers_without_an_effect_get_no_adapters(folders: dict[str, Path]) -> None:
    """torch reads the weight of an attention's output projection without calling it."""
    with pytest.raises(UserError, match=r"No layer of the vision tower is called q_proj or .*\(c_fc, c_proj\)"):
        AdaptedVideoCLIP(str(folders["laion"]))
    # the vision tower of EVA-02 has these layers, but the text tower doesn't
    with pytest.raises(UserError, match=r"No layer of the text tower is called q_proj or .*\(c_fc, c_proj\)"):
        AdaptedVideoCLIP(str(folders["eva02"]))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "layers"),
    [("laion", ("c_fc", "c_proj")), ("pe_core", ("qkv", "proj", "c_fc")), ("eva02", ("q_proj", "c_fc"))],
)
def test_adapters_merge(name: str, layers: tuple[str, ...], folders: dict[str, Path], tmp_path: Path) -> None:
    model = AdaptedVideoCLIP(str(folders[name]), lora=LoRA(rank=2, layers=layers)).eval()
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert {key for key in trained if "lora_" not in key} == {"encoder.model.logit_scale"}
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.normal_(std=0.1)
    model.save_pretrained(tmp_path)
    again, videos = VideoCLIP(str(tmp_path)).eval(), clips(model)
    torch.testing.assert_close(again.encode_frames(videos), model.encode_frames(videos), atol=1e-5, rtol=0)
    assert not torch.allclose(VideoCLIP(str(folders[name])).eval().encode_frames(videos), again.encode_frames(videos))
    original = ensemble_weights(model.original_parameters(), dict(model.named_parameters()), 1.0)
    model.load_state_dict(original, strict=False)
    torch.testing.assert_close(
        model.encode_frames(videos), VideoCLIP(str(folders[name])).eval().encode_frames(videos), atol=1e-5, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_a_tuned_model_is_saved_for_open_clip(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    tuned, plain = VideoCLIP(str(folders[name])).eval(), VideoCLIP(str(folders[name])).eval()
    for parameter in tuned.parameters():
        parameter.add_(0.01)
    tuned.trained_with = replace(tuned.preprocessing, frames=3)
    tuned.save_pretrained(tmp_path)
    again, videos = VideoCLIP(str(tmp_path)).eval(), clips(tuned)
    assert weights_digest(again) == weights_digest(tuned) != weights_digest(plain)
    assert again.trained_with == tuned.trained_with
    assert again.encoder.backbone_name == tuned.encoder.backbone_name
    frames = again.encode_frames(videos)
    assert torch.equal(frames, tuned.encode_frames(videos))
    model, transform, tokenizer = reference(tmp_path)
    images = torch.stack([transform(Image.fromarray(frame.permute(1, 2, 0).numpy())) for frame in videos.flatten(0, 1)])
    torch.testing.assert_close(frames.flatten(0, 1), model.encode_image(images, normalize=True), atol=1e-5, rtol=0)
    texts = tuned.encode_sentences(tuned.tokenize(SENTENCES))["name"][:, 0]
    torch.testing.assert_close(texts, model.encode_text(tokenizer(list(PLAIN)), normalize=True), atol=1e-5, rtol=0)


@torch.no_grad()
def test_ensembling_initial_weights_and_fingerprints(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = str(folders["mobileclip2"])
    tuned, plain = VideoCLIP(folder), VideoCLIP(f"open_clip:{folder}")
    for parameter in tuned.parameters():
        parameter.add_(0.01)
    mixed = ensemble_weights(tuned.original_parameters(), dict(tuned.named_parameters()), 0.25)
    for key, weight in plain.named_parameters():
        torch.testing.assert_close(mixed[key], weight + 0.0075)
    tuned.save_pretrained(tmp_path)
    again = VideoCLIP(folder, init_from=tmp_path)
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(tuned, "fp32") != frame_fingerprint(plain, "fp32")
    # frame embeddings don't depend on text weights and scale
    for parameter in (*again.encoder.tower("text").parameters(), *again.encoder.logit_parameters):
        parameter.add_(1)
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(tuned, "fp32")
    again.encoder.model.visual.trunk.head.fc.weight.add_(1)
    assert frame_fingerprint(again, "fp32") != frame_fingerprint(tuned, "fp32")


def test_a_recognizer_takes_the_folder(folders: dict[str, Path]) -> None:
    model = load_trained_model(folders["pe_core"])
    assert (model.clips.framing, model.clips.crop_size) == ("squash", 48)


RUN = Path("runs/toyworld/version_0")


@pytest.fixture
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("_empty_folder")
def test_training_and_testing(folders: dict[str, Path]) -> None:
    folder = f"open_clip:{folders['mobileclip2']}"
    fit = ["fit", *options(folder), "--config=modes/layer_decay"]
    assert main(fit) == 0
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    for name, changed in moved(folder).items():
        assert changed != name.endswith(statistics), name
    test = ["test", *options(folder), f"--ckpt_path={RUN / 'checkpoints/last.ckpt'}"]
    assert main([*test, "--trainer.callbacks=WeightEnsembling", "--trainer.callbacks.ratios=[0.2]"]) == 0
    results = json.loads((RUN.parent / "version_1/results.json").read_text())
    model, used = results["model"], results["clips"]
    assert (used["framing"], used["crop_size"], used["resize"]) == ("crop", 48, "bilinear")
    assert (model["backbone"], model["pretrained"]) == ("miniature_fastvit", folder)
    assert model["pixel_statistics"] == "none"


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("_empty_folder")
def test_every_family_is_tested(name: str, folders: dict[str, Path]) -> None:
    assert main(["test", *options(folders[name])]) == 0


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("name", ["laion", "pe_core", "mobileclip2"])
def test_the_vision_tower_is_compiled(name: str, folders: dict[str, Path]) -> None:
    plain, compiled = VideoCLIP(str(folders[name])), VideoCLIP(str(folders[name]))
    compiled.encoder.tower("vision").backbone.compile()
    videos = clips(plain)
    torch.testing.assert_close(compiled.encode_frames(videos), plain.encode_frames(videos), atol=1e-5, rtol=0)
