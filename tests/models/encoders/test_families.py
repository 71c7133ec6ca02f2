"""Every kind of encoder against the forward pass of transformers: tiny random models of the real architectures."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from ost_lightning.cli import main
from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP, ensemble_weights, frame_fingerprint, weights_digest
from ost_lightning.models.encoders import TowerName
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA
from ost_lightning.tasks.optimizer import layer_factors
from ost_lightning.text import SentenceSet
from tests.models.encoders.families import FAMILIES, PLAIN, changed_config, clips, inputs_of, text_vectors

TRAINABLE = [name for name, family in FAMILIES.items() if family.trainable]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: family.write(tmp_path_factory.mktemp("family")) for name, family in FAMILIES.items()}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, VideoCLIP]:
    return {name: VideoCLIP(str(folder)).eval() for name, folder in folders.items()}


@torch.no_grad()
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_features_and_logits_are_those_of_transformers(
    name: str, padded: bool, folders: dict[str, Path], models: dict[str, VideoCLIP]
) -> None:
    family, model = FAMILIES[name], models[name]
    frames = clips().flatten(0, 1)
    found, texts = model.encode_frames(frames[:, None]), text_vectors(model)
    logits = model.similarity_to_logits(CategoryName()(found, texts))
    reference = family.reference(folders[name])
    expected = reference(**inputs_of(family, frames), **family.tokens(PLAIN, padded))
    pictures = expected.video_embeds if name == "VideoPrism" else expected.image_embeds
    torch.testing.assert_close(found[:, 0], pictures, atol=1e-5, rtol=0)
    torch.testing.assert_close(texts[:, 0], expected.text_embeds, atol=1e-5, rtol=0)
    if name == "VideoPrism":  # returns probabilities, for a temperature that the checkpoint doesn't contain
        again = reference(**inputs_of(family, frames), **family.tokens(PLAIN, padded), temperature=0.01)
        torch.testing.assert_close(logits.softmax(-1), again.logits_per_text.T, atol=1e-5, rtol=0)
    else:
        torch.testing.assert_close(logits, expected.logits_per_image, atol=1e-5, rtol=1e-5)
    assert float(cosine_similarity(texts[0, 0], texts[3, 0], dim=0)) < 0.99  # the comparison isn't trivial


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_videos_and_sentences_are_independent_of_their_batch(name: str, models: dict[str, VideoCLIP]) -> None:
    model, videos = models[name], clips(3)
    frames, texts = model.encode_frames(videos), text_vectors(model)
    for index, text in enumerate(PLAIN):
        torch.testing.assert_close(text_vectors(model, SentenceSet({"name": ((text,),)}))[0], texts[index])
    torch.testing.assert_close(model.encode_frames(videos[1:2])[0], frames[1])


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_half_precision_changes_little(name: str, models: dict[str, VideoCLIP]) -> None:
    model, videos = models[name], clips()
    with torch.autocast("cpu", torch.bfloat16):
        frames, texts = model.encode_frames(videos), text_vectors(model)
    assert frames.dtype == texts.dtype == torch.float32
    assert float(cosine_similarity(frames, model.encode_frames(videos), dim=-1).min()) > 0.99
    assert float(cosine_similarity(texts, text_vectors(model), dim=-1).min()) > 0.99


@pytest.mark.parametrize("name", FAMILIES)
def test_attention_maps_belong_to_the_embeddings(name: str, models: dict[str, VideoCLIP]) -> None:
    encoder, pixels = models[name].encoder, torch.rand(3, 3, 48, 48)
    if name == "VideoPrism":
        with pytest.raises(UserError, match="no attention maps for videoprism"):
            encoder.encode_with_attention(pixels)
        return
    embedded, attention = encoder.encode_with_attention(pixels)
    torch.testing.assert_close(embedded, encoder.encode_pixels(pixels), atol=1e-4, rtol=1e-4)
    assert len(attention.layers) == len(encoder.tower("vision").layers)
    for layer in attention.tensors:
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:-1]))


@pytest.mark.parametrize("name", FAMILIES)
def test_sentences_as_long_as_the_model_reads(name: str, models: dict[str, VideoCLIP]) -> None:
    model, positions = models[name], FAMILIES[name].positions
    assert model.encoder.tokenizer.max_tokens == positions
    with pytest.warns(UserWarning, match=rf"1 of 2 name sentences have more than {positions} tokens"):
        tokens = model.tokenize(SentenceSet({"name": (("a " * positions,), ("b",))}))
    assert tokens.tokens["name"].shape[-1] == positions
    vectors = model.encode_sentences(tokens)["name"]
    assert bool(vectors.isfinite().all())


@pytest.mark.parametrize("name", FAMILIES)
def test_preprocessing(name: str, models: dict[str, VideoCLIP], tmp_path: Path) -> None:
    family, found = FAMILIES[name], models[name].preprocessing
    assert (found.image_size, found.mean, found.std) == (48, family.mean, family.std)
    squashed = name in ("SigLIP", "SigLIP 2", "VideoPrism")
    assert found.resize == ("squash" if squashed else "shortest_side")
    models[name].save_pretrained(tmp_path)
    assert VideoCLIP(str(tmp_path)).preprocessing == found


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_modules_for_compilation_are_called_and_contain_all_layers(name: str, models: dict[str, VideoCLIP]) -> None:
    encoder, called = models[name].encoder, []
    marked = encoder.vision_modules()
    handles = [module.register_forward_pre_hook(lambda module, _: called.append(module)) for module in marked]
    models[name].encode_frames(clips())
    for handle in handles:
        handle.remove()
    assert called == list(marked)
    assert {*encoder.tower("vision").layers} <= {part for module in marked for part in module.modules()}


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_with_and_without_checkpointing(name: str, folders: dict[str, Path]) -> None:
    gradients, videos = [], clips()
    for checkpointing in (False, True):
        torch.manual_seed(1)  # the text towers like BERT's have dropout
        model = VideoCLIP(str(folders[name]), gradient_checkpointing=checkpointing)
        logits = model.similarity_to_logits(model.encode_frames(videos).mean(1) @ text_vectors(model)[:, 0].T)
        logits.sin().sum().backward()
        gradients.append({key: parameter.grad for key, parameter in model.named_parameters()})
    without = [key for key, gradient in gradients[0].items() if gradient is None]
    assert without == (["encoder.model.logit_bias"] if "SigLIP" in name else [])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("name", TRAINABLE)
def test_frozen_towers_have_no_gradients_and_no_dropout(name: str, folders: dict[str, Path]) -> None:
    model = VideoCLIP(str(folders[name]), freeze_text=True).train()
    trained = {key.split(".")[2] for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"vision_model", "logit_scale"} | (set() if "SigLIP" in name else {"visual_projection"})
    assert not text_vectors(model).requires_grad
    assert torch.equal(text_vectors(model), text_vectors(model))
    assert model.encoder.tower("vision").backbone.training


@pytest.mark.parametrize("name", TRAINABLE)
def test_layer_decay_reaches_every_layer_once(name: str, folders: dict[str, Path]) -> None:
    encoder = VideoCLIP(str(folders[name])).encoder
    factors = layer_factors(encoder, 0.5)
    for tower in (encoder.tower("vision"), encoder.tower("text")):
        depth = len(tower.layers)
        assert {factors[weight] for part in tower.embeddings for weight in part.parameters()} == {0.5 ** (depth + 1)}
        assert [factors[next(layer.parameters())] for layer in tower.layers] == [
            0.5 ** (depth - index) for index in range(depth)
        ]


@torch.no_grad()
@pytest.mark.parametrize("name", TRAINABLE)
def test_adapters_are_in_both_towers_and_merge(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    model = AdaptedVideoCLIP(str(folders[name]), lora=LoRA(rank=2)).eval()
    adapted = [key for key, _ in model.named_parameters() if "lora_B" in key]
    for tower in ("vision", "text"):
        layers = len(model.encoder.tower(tower).layers)  # type: ignore[arg-type]
        assert sum(f".{tower}_model." in key for key in adapted) == 4 * layers
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.normal_(std=0.1)
    model.save_pretrained(tmp_path)
    again, videos = VideoCLIP(str(tmp_path)).eval(), clips()
    torch.testing.assert_close(again.encode_frames(videos), model.encode_frames(videos), atol=1e-5, rtol=0)
    torch.testing.assert_close(text_vectors(again), text_vectors(model), atol=1e-5, rtol=0)
    before = text_vectors(VideoCLIP(str(folders[name])).eval())
    assert not torch.allclose(before, text_vectors(again), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", TRAINABLE)
def test_saving_ensembling_and_fingerprints(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    tuned, plain, videos = VideoCLIP(str(folders[name])).eval(), VideoCLIP(str(folders[name])), clips()
    for parameter in tuned.parameters():
        parameter.add_(0.01)
    if (
        name == "Chinese-CLIP"
    ):  # transformers sets the padding's row to zero on loading; it is masked, so nothing changes
        tuned.encoder.model.text_model.embeddings.word_embeddings.weight[0] = 0
    tuned.save_pretrained(tmp_path)
    again = VideoCLIP(str(tmp_path)).eval()
    assert weights_digest(again) == weights_digest(tuned) != weights_digest(plain)
    assert torch.equal(again.encode_frames(videos), tuned.encode_frames(videos))
    assert torch.equal(text_vectors(again), text_vectors(tuned))
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(tuned, "fp32") != frame_fingerprint(plain, "fp32")
    mixed = ensemble_weights(tuned.original_parameters(), dict(tuned.named_parameters()), 0.25)
    for (key, before), after in zip(plain.named_parameters(), tuned.parameters(), strict=True):
        torch.testing.assert_close(mixed[key], 0.25 * before + 0.75 * after)
    expected = FAMILIES[name].reference(tmp_path)(
        **inputs_of(FAMILIES[name], videos.flatten(0, 1)), **FAMILIES[name].tokens(PLAIN, padded=False)
    )
    torch.testing.assert_close(text_vectors(again)[:, 0], expected.text_embeds, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("weights", "config"),
    [*zip(FAMILIES, [*FAMILIES][3:], strict=False), *zip([*FAMILIES][3:], FAMILIES, strict=False)],
)
def test_weights_of_another_architecture_are_rejected(
    weights: str, config: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[weights], tmp_path, dirs_exist_ok=True)
    shutil.copy(folders[config] / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"weights of .* are not a complete \w+ as in its config.json"):
        VideoCLIP(str(tmp_path))


@pytest.mark.parametrize("tower", ["vision", "text"])
@pytest.mark.parametrize("name", FAMILIES)
def test_weights_of_more_layers_are_rejected(
    name: str, tower: TowerName, folders: dict[str, Path], tmp_path: Path
) -> None:
    setting = "num_spatial_layers" if (name, tower) == ("VideoPrism", "vision") else "num_hidden_layers"
    config = json.loads((folders[name] / "config.json").read_text())[f"{tower}_config"]
    folder = changed_config(folders[name], tmp_path / "changed", tower, **{setting: config[setting] - 1})
    with pytest.raises(CheckpointError, match=r"those of more layers than its config.json has: \d+ .* \(first: \w+\."):
        VideoCLIP(str(folder))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("SigLIP 2 NaFlex", "VideoPrism")])
def test_weights_for_another_image_size_are_rejected(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed_config(folders[name], tmp_path / "changed", "vision", image_size=64)
    with pytest.raises(CheckpointError, match=r"first: vision_model.embeddings.position_embedding.weight"):
        VideoCLIP(str(folder))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokenizer_of_another_model_is_rejected(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    other = "MetaCLIP 2" if name in ("LongCLIP", "TinyCLIP", "Chinese-CLIP", "VideoPrism") else "LongCLIP"
    shutil.copytree(folders[name], tmp_path, dirs_exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folders[other] / file, tmp_path)
    with pytest.raises(CheckpointError, match="tokenizer"):
        VideoCLIP(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_testing_and_training_through_the_command_line(
    name: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    small = ["--data.train_clips=1", "--data.test_clips=1", "--data.clips.frames=2", "--data.loading.workers=0"]
    small += ["--data.loading.global_batch_size=4", "--trainer.callbacks=[]", "--tracking.wandb=false"]
    options = ["--config=toyworld", f"--model.video_clip.pretrained={folders[name]}", *small]
    assert main(["test", *options]) == 0
    results = json.loads(Path("runs/toyworld/version_0/results.json").read_text())
    scores = results["sets"]["unseen"]["scores"]["pretrained"]
    assert (scores["scored"], scores["undecodable"]) == (20, 0)
    assert results["clips"]["crop_size"] == 48
    status = main(["fit", *options, "--trainer.max_steps=2", "--trainer.limit_val_batches=0"])
    assert status == (0 if FAMILIES[name].trainable else 1)


@torch.no_grad()
@pytest.mark.parametrize("name", ["MetaCLIP 2", "AltCLIP", "Chinese-CLIP"])
def test_sentences_in_other_languages(name: str, models: dict[str, VideoCLIP]) -> None:
    texts = text_vectors(models[name], SentenceSet({"name": (("打篮球",), ("grüße",), ("вада",), ("打",))}))[:, 0]
    assert float((texts @ texts.T - torch.eye(4)).max()) < 0.999
