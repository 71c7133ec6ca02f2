import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize
from transformers import CLIPConfig, CLIPModel

from ost_lightning.matching import OptimalDescriptorSolver
from ost_lightning.models import CheckpointError, VideoCLIP
from ost_lightning.models.checkpoints.conversion import export_checkpoint, import_checkpoint
from ost_lightning.models.checkpoints.foreign_layouts import correspondences, from_hugging_face, to_hugging_face
from ost_lightning.models.safe_checkpoints import read_weights
from ost_lightning.recognition import load_trained_model
from ost_lightning.resources import tiny_clip_folder
from tests.models.foreign import RELEASED, RELEASED_IO, tokenizer


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A complete CLIP with random weights and the vocabulary of the tiny released checkpoint."""
    folder = tmp_path_factory.mktemp("clip")
    tokenizer().save_pretrained(folder)
    config, _, _ = to_hugging_face(read_weights(RELEASED))
    CLIPModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def converted(clip: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "ost"
    import_checkpoint(RELEASED, folder, clip)
    return folder


def released() -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in read_weights(RELEASED).items()}


def openai() -> dict[str, torch.Tensor]:
    """The released weights under OpenAI's names."""
    config, tensors, _ = to_hugging_face(released())
    return from_hugging_face(config, tensors, "openai")


def saved(tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save({"model": tensors, "epoch": 9}, folder / "changed.pth")
    return folder / "changed.pth"


@torch.no_grad()
def test_agrees_with_the_authors_code(converted: Path) -> None:
    """Their code's features and logits from the same weights, pixels and tokens, with their factor 1/2."""
    expected = load_file(RELEASED_IO)
    model = CLIPModel.from_pretrained(converted, dtype=torch.float32).eval()
    videos = expected["pixel_values"]
    frames = model.get_image_features(pixel_values=videos.flatten(0, 1)).pooler_output.unflatten(0, videos.shape[:2])
    torch.testing.assert_close(frames, expected["frame_features"], atol=1e-4, rtol=0)
    spatio, temporal = (
        model.get_text_features(input_ids=expected[f"{kind}_tokens"]).pooler_output for kind in ("spatio", "temporal")
    )
    torch.testing.assert_close(spatio, expected["spatio_features"], atol=1e-4, rtol=0)
    frames, spatio, temporal = (normalize(features, dim=-1) for features in (frames, spatio, temporal))
    similarities = OptimalDescriptorSolver(factor=0.5)(
        frames, spatio.unflatten(0, (6, 4)), temporal.unflatten(0, (6, 4))
    )
    logits = model.logit_scale.exp() * similarities
    torch.testing.assert_close(logits, expected["logits_released"], atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_padding_of_the_authors_tokens_does_not_matter(converted: Path) -> None:
    """They pad with 0 up to 77, we with the end token up to the longest."""
    expected = load_file(RELEASED_IO)
    video_clip = VideoCLIP(str(converted), pixel_statistics="imagenet")
    tokens = expected["spatio_tokens"]
    lengths = tokens.argmax(-1) + 1
    ours = tokens[:, : int(lengths.max())].clone()
    ours[torch.arange(ours.shape[1]) >= lengths[:, None]] = 511
    theirs = normalize(expected["spatio_features"], dim=-1)
    torch.testing.assert_close(video_clip.encode_tokens(ours, lengths), theirs, atol=1e-4, rtol=0)


def test_configuration_follows_from_the_shapes(converted: Path) -> None:
    config = CLIPConfig.from_pretrained(converted)
    vision, text = config.vision_config, config.text_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.patch_size, vision.image_size) == (64, 2, 8, 32)
    assert (text.hidden_size, text.num_hidden_layers, text.vocab_size, text.max_position_embeddings) == (64, 2, 512, 77)
    assert vision.num_attention_heads == text.num_attention_heads == 1
    assert vision.hidden_act == text.hidden_act == "quick_gelu"
    assert config.projection_dim == 48
    assert (text.bos_token_id, text.eos_token_id) == (510, 511)
    assert json.loads((converted / "config.json").read_text())["architectures"] == ["CLIPModel"]


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch16", "openai/clip-vit-large-patch14"])
def test_table_covers_clip_exactly(name: str) -> None:
    large = "large" in name
    config = CLIPConfig(vision_config={"num_hidden_layers": 24 if large else 12}, text_config={"num_hidden_layers": 12})
    with torch.device("meta"):
        expected = [key for key, _ in CLIPModel(config).named_parameters()]
    entries = list(correspondences(24 if large else 12, 12))
    assert sorted(key for entry in entries for key in entry.hugging_face) == sorted(expected)
    assert len({entry.openai for entry in entries}) == len(entries)


@pytest.mark.parametrize("layout", ["released", "openai"])
def test_conversion_in_both_directions(converted: Path, clip: str, tmp_path: Path, layout: str) -> None:
    count = export_checkpoint(converted, tmp_path / "back.pth", layout)
    found = read_weights(tmp_path / "back.pth")
    expected = released() if layout == "released" else openai()
    assert count == len(found) == 62
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    # no tensor was saved with a larger storage
    assert (tmp_path / "back.pth").stat().st_size < 1.1 * sum(value.nbytes for value in expected.values()) + 50_000
    import_checkpoint(tmp_path / "back.pth", tmp_path / "again", clip)
    first, second = load_file(converted / "model.safetensors"), load_file(tmp_path / "again" / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_openais_names_in_half_precision(converted: Path, clip: str, tmp_path: Path) -> None:
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in openai().items()}
    tensors |= {"input_resolution": torch.tensor(32.0), "context_length": torch.tensor(77.0)}
    torch.save(tensors, tmp_path / "ViT.pt")
    found = import_checkpoint(tmp_path / "ViT.pt", tmp_path / "clip", clip)
    assert (found.layout, len(found.report.matched), len(found.report.ignored)) == ("openai", 62, 2)
    found, expected = (load_file(folder / "model.safetensors") for folder in (tmp_path / "clip", converted))
    assert found["vision_model.encoder.layers.1.mlp.fc1.weight"].dtype == torch.float16
    for name, value in expected.items():
        torch.testing.assert_close(found[name].float(), value, atol=1e-3, rtol=1e-3)
    model = VideoCLIP(str(tmp_path / "clip"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_without_the_prefix_of_data_parallel(converted: Path, clip: str, tmp_path: Path) -> None:
    plain = {name.removeprefix("module."): value for name, value in released().items()}
    import_checkpoint(saved(plain, tmp_path), tmp_path / "plain", clip)
    first, second = (load_file(folder / "model.safetensors") for folder in (tmp_path / "plain", converted))
    assert all(torch.equal(first[name], second[name]) for name in first)


def vifi(clip: str) -> dict[str, torch.Tensor]:
    """ViFi-CLIP's checkpoints contain the embedded training sentences instead of the token embedding."""
    embedding = CLIPModel.from_pretrained(clip).text_model.embeddings.token_embedding.weight.detach()
    tensors = released()
    del tensors["module.text_encoder.token_embedding.weight"]
    tokens = torch.tensor([[510, 3, 511] + [0] * 74, [510, 4, 511] + [0] * 74])
    return {"module.prompt_learner.complete_text_embeddings": embedding[tokens], **tensors}


def test_vifi_clip_takes_its_token_embedding_from_the_clip_it_was_tuned_from(clip: str, tmp_path: Path) -> None:
    tensors = vifi(clip)
    report = import_checkpoint(saved(tensors, tmp_path), tmp_path / "vifi", clip).report
    assert report.completed == ("token_embedding.weight",)
    assert report.ignored == ("module.prompt_learner.complete_text_embeddings",)
    assert "1 completed (token_embedding.weight)" in (tmp_path / "vifi" / "ORIGIN.txt").read_text()
    embedding = load_file(tmp_path / "vifi" / "model.safetensors")["text_model.embeddings.token_embedding.weight"]
    tokens = torch.tensor([[510, 3, 511] + [0] * 74])
    assert torch.equal(embedding[tokens], tensors["module.prompt_learner.complete_text_embeddings"][:1])


def test_vifi_clip_with_the_wrong_clip_is_rejected(clip: str, tmp_path: Path) -> None:
    tensors = vifi(clip)
    tensors["module.prompt_learner.complete_text_embeddings"] += 1
    with pytest.raises(CheckpointError, match="that of the given CLIP doesn't match"):
        import_checkpoint(saved(tensors, tmp_path), tmp_path / "vifi", clip)


def test_partial_matches_are_rejected_and_leave_no_files(clip: str, tmp_path: Path) -> None:
    def check_rejected(change: dict[str, torch.Tensor], match: str) -> None:
        with pytest.raises(CheckpointError, match=match):
            import_checkpoint(saved(change, tmp_path), tmp_path / "out", clip)
        assert [path.name for path in tmp_path.iterdir()] == ["changed.pth"]

    tensors = released()
    del tensors["module.image_encoder.ln_post.bias"]
    check_rejected(tensors, r"not exactly one complete CLIP: 61 tensors matched, 1 missing \(visual\.ln_post\.bias\)")
    check_rejected(released() | {"module.temporal.weight": torch.ones(2)}, r"1 unexpected \(module\.temporal\.weight\)")
    check_rejected(released() | {"module.prompt_learner.ctx": torch.ones(2)}, r"tuned with learned prompts")
    tensors = {name: value for name, value in released().items() if "image_encoder.transformer" not in name}
    check_rejected(tensors, r"12 missing \(visual\.transformer\.resblocks\.0")
    tensors = released()
    tensors["module.text_encoder.ln_final.bias"] = torch.ones(63)
    check_rejected(tensors, r"are inconsistent: text_model\.final_layer_norm\.bias is \(63,\) instead of \(64,\)")
    tensors["module.image_encoder.conv1.weight"] = torch.ones(64)
    check_rejected(tensors, r"shapes in the checkpoint are not those of a CLIP")
    check_rejected({"visual.layer1.0.conv1.weight": torch.ones(2)}, "vision tower is a ResNet")
    check_rejected({"fc.weight": torch.ones(2)}, r"not a CLIP in a known layout.*found fc\.weight")
    check_rejected(
        {"video_clip.encoder.model.logit_scale": torch.ones(())}, r"written by `ost fit`: use it with --ckpt_path"
    )


def test_mismatching_tokenizers_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has \d+ tokens, but the model has 512"):
        import_checkpoint(RELEASED, tmp_path / "out", str(tiny_clip_folder()))
    tokenizer(500).save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"ends sentences with token 499, but the checkpoint expects 511"):
        import_checkpoint(RELEASED, tmp_path / "out", str(tmp_path / "other"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_existing_files_are_not_overwritten(converted: Path, clip: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="already exists"):
        import_checkpoint(RELEASED, tmp_path / "out", clip)
    (tmp_path / "out.pth").touch()
    with pytest.raises(CheckpointError, match="already exists"):
        export_checkpoint(converted, tmp_path / "out.pth", "openai")


def test_towers_that_the_layouts_cannot_represent_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="vision tower has 4 heads of 128 channels and the activation gelu"):
        export_checkpoint(tiny_clip_folder(), tmp_path / "out.pth", "released")
    with pytest.raises(CheckpointError, match=r"lacks config\.json or model\.safetensors"):
        export_checkpoint(tmp_path, tmp_path / "out.pth", "released")
    assert not list(tmp_path.iterdir())


@torch.no_grad()
def test_origin_and_use_as_pretrained(converted: Path) -> None:
    origin = (converted / "ORIGIN.txt").read_text()
    assert "released_tiny_checkpoint.pth (SHA-256 " in origin
    assert "62 tensors matched, 0 missing, 0 unexpected, 0 completed, 0 ignored." in origin
    assert "CC BY-NC-SA 4.0" in origin
    model = VideoCLIP(str(converted), pixel_statistics="imagenet")
    embedded = model.encode_frames(torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8))
    assert embedded.shape == (2, 3, 48)


def test_weights_that_a_converted_checkpoint_was_tuned_from(converted: Path, clip: str) -> None:
    model = VideoCLIP(str(converted), tuned_from=clip)
    original = model.original_parameters()
    expected = CLIPModel.from_pretrained(clip, dtype=torch.float32)
    assert original.keys() == dict(model.named_parameters()).keys()
    for name, value in expected.named_parameters():
        assert torch.equal(original[f"encoder.model.{name}"], value)
    with pytest.raises(
        CheckpointError, match=r"can't have been tuned from tiny: .*first: encoder\.model\..*video_clip\.tuned_from"
    ):
        VideoCLIP(str(converted), tuned_from="tiny").original_parameters()


def test_the_folder_carries_the_preprocessing(converted: Path, clip: str, tmp_path: Path) -> None:
    """That of the authors' training, with the frames from the file's own configuration; or OpenAI's."""
    torch.save(openai(), tmp_path / "ViT.pt")
    import_checkpoint(tmp_path / "ViT.pt", tmp_path / "openai", clip)
    import_checkpoint(saved(released(), tmp_path), tmp_path / "unknown", clip)
    found = {}
    for folder in (converted, tmp_path / "unknown", tmp_path / "openai"):
        model = VideoCLIP(str(folder))
        own = model.preprocessing
        assert model.trained_with == (own if folder.name != "openai" else None)
        found[folder.name] = (own.statistics_name, own.filter, own.frames, own.sample_aspect)
    assert found == {
        "ost": ("imagenet", "bilinear", 32, False),
        "unknown": ("imagenet", "bilinear", None, False),
        "openai": ("clip", "bicubic", None, None),
    }
    assert VideoCLIP(str(converted), pixel_statistics="clip").preprocessing.statistics_name == "clip"
    assert load_trained_model(converted).clips.geometry().frames == 32
