from pathlib import Path

import pytest
import torch
from transformers import XCLIPModel

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.evaluation import similarities
from ost_lightning.matching import CategoryName
from ost_lightning.models import (
    AdaptedVideoCLIP,
    CrossFrameVideoCLIP,
    LoRA,
    MeanPooling,
    VideoCLIP,
    ensemble_weights,
)
from ost_lightning.models.encoders.x_clip import is_added
from ost_lightning.tasks import OptimizerSettings
from ost_lightning.tasks.optimizer import optimizer_and_schedule
from ost_lightning.text import SentenceSet
from tests.models.encoders.test_x_clip import FRAMES, folder  # noqa: F401

SENTENCES = SentenceSet({"name": (("juggling balls",), ("riding a horse",), ("swimming",))})


def clips(batch: int = 2, frames: int = 4) -> torch.Tensor:
    return torch.randint(0, 256, (batch, frames, 3, 48, 48), dtype=torch.uint8)


def logits(model: VideoCLIP, videos: torch.Tensor) -> torch.Tensor:
    texts = model.encode_sentences(model.tokenize(SENTENCES))
    return model.similarity_to_logits(similarities(model, CategoryName(), texts, model.encode_frames(videos)))


def test_an_image_clip_keeps_its_weights_and_gets_new_ones() -> None:
    model, clip = CrossFrameVideoCLIP("tiny", frames=4), VideoCLIP("tiny").encoder.model
    plain = {name.replace("pre_layrnorm", "pre_layernorm"): weight for name, weight in clip.named_parameters()}
    found = dict(model.encoder.model.named_parameters())
    assert {name for name in found if not is_added(name)} == plain.keys()
    assert all(torch.equal(found[name], weight) for name, weight in plain.items())
    assert model.preprocessing == VideoCLIP("tiny").preprocessing
    assert logits(model, clips()).shape == (2, 3)


def test_new_weights_are_drawn_as_in_the_released_code() -> None:
    model = CrossFrameVideoCLIP("tiny", frames=4, prompt_alpha=0.2).encoder.model
    layer, mit, prompts = model.vision_model.encoder.layers[0], model.mit, model.prompts_generator
    width = layer.message_fc.in_features
    assert float(layer.message_attn.k_proj.weight.detach().abs().max()) <= (6 / (4 * width)) ** 0.5
    assert float(layer.message_attn.k_proj.weight.detach().std()) == pytest.approx((2 / width / 4) ** 0.5, rel=0.1)
    assert float(layer.message_fc.weight.detach().abs().max()) <= width**-0.5
    integration = mit.encoder.layers[0]
    small = [
        mit.position_embedding,
        integration.mlp.fc1.weight,
        integration.self_attn.out_proj.weight,
    ]
    small += [prompts.decoder[0].cross_attn.q_proj.weight, prompts.decoder[0].mlp[0].weight]
    assert [float(weight.detach().std()) for weight in small] == pytest.approx([0.02] * len(small), rel=0.1)
    assert float(model.prompts_visual_projection.detach().std()) == pytest.approx(1, rel=0.1)
    torch.testing.assert_close(prompts.alpha.detach(), torch.full_like(prompts.alpha, 0.2))
    biases = [layer.message_attn.out_proj.bias, layer.message_attn.q_proj.bias, integration.mlp.fc2.bias]
    assert all(not bool(bias.any()) for bias in biases)


def test_logits_and_gradients_are_those_of_hugging_face(folder: Path) -> None:  # noqa: F811
    videos = torch.randint(0, 256, (3, FRAMES, 3, 32, 32), dtype=torch.uint8)
    model = CrossFrameVideoCLIP(str(folder), frames=FRAMES).train()
    tokens = model.tokenize(SentenceSet({"name": (("t1 t2",), ("t7",), ("t3 t4 t5",))}))
    reference = XCLIPModel.from_pretrained(folder, dtype=torch.float32).train()
    pixels = model.normalization(videos.flatten(0, 1)).unflatten(0, (3, FRAMES))
    expected = reference(pixel_values=pixels, input_ids=tokens.tokens["name"][:, 0]).logits_per_video
    texts = model.encode_sentences(tokens)
    found = model.similarity_to_logits(similarities(model, CategoryName(), texts, model.encode_frames(videos)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for result in (found, expected):
        (result * torch.linspace(-1, 1, 9).view(3, 3)).sum().backward()
    gradients = {name: weight.grad for name, weight in reference.named_parameters()}
    total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    assert float(total) > 1
    for name, weight in model.encoder.model.named_parameters():
        difference = (weight.grad - gradients[name]).norm()
        # some weights have next to no effect, so that their gradients are rounding errors
        assert float(difference) <= 1e-4 * float(gradients[name].norm()) + 1e-6 * float(total), name


def test_new_weights_have_the_multiplied_learning_rate() -> None:
    model = CrossFrameVideoCLIP("tiny", frames=2, freeze_text=True)
    settings = OptimizerSettings(learning_rate=1.0, new_module_lr_multiplier=10.0, layer_decay=0.5)
    optimizer = optimizer_and_schedule(model.named_parameters(), settings, 10, model.encoder)["optimizer"]
    rates = {id(weight): group["initial_lr"] for group in optimizer.param_groups for weight in group["params"]}
    trained = {
        name: rates[id(weight)] for name, weight in model.encoder.model.named_parameters() if id(weight) in rates
    }
    assert {rate for name, rate in trained.items() if is_added(name)} == {10.0}
    assert trained["vision_model.encoder.layers.0.mlp.fc1.weight"] < trained["visual_projection.weight"] == 1.0
    assert not any(name.startswith("text_model") for name in trained)


def test_ensembling_mixes_the_weights_of_the_clip_alone() -> None:
    model = CrossFrameVideoCLIP("tiny", frames=2)
    original = model.original_parameters()
    tuned = {name: weight.detach() + 1 for name, weight in model.named_parameters()}
    mixed = ensemble_weights(original, tuned, 0.5)
    for name, weight in model.named_parameters():
        assert torch.equal(original[name], weight.detach())
        torch.testing.assert_close(mixed[name], weight.detach() + 0.5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    again = model.original_parameters()
    added = [name for name in again if is_added(name.removeprefix("encoder.model."))]
    assert added
    assert all(torch.equal(again[name], dict(model.named_parameters())[name]) for name in added)


@torch.no_grad()
def test_a_written_folder_is_an_x_clip(tmp_path: Path) -> None:
    model, videos = CrossFrameVideoCLIP("tiny", frames=2).eval(), clips(frames=2)
    model.save_pretrained(tmp_path)
    for loaded in (VideoCLIP(str(tmp_path)), CrossFrameVideoCLIP(str(tmp_path), frames=2)):
        torch.testing.assert_close(logits(loaded.eval(), videos), logits(model, videos))
    with pytest.raises(UserError, match=r"an X-CLIP for 2 frames, but video_clip\.frames is 4"):
        CrossFrameVideoCLIP(str(tmp_path), frames=4)


def test_unsuitable_settings_are_rejected() -> None:
    with pytest.raises(UserError, match=r"video_clip\.freeze_vision is true"):
        CrossFrameVideoCLIP("tiny", freeze_vision=True)
    with pytest.raises(UserError, match=r"takes no video_clip\.temporal_head"):
        CrossFrameVideoCLIP("tiny", temporal_head=MeanPooling)
    with pytest.raises(UserError, match=r"expected at least 1"):
        CrossFrameVideoCLIP("tiny", frames=0)
    with pytest.raises(CheckpointError, match=r"type 'siglip', but X-CLIP starts from a CLIP"):
        CrossFrameVideoCLIP("tiny_siglip")
    with pytest.raises(UserError, match=r"The clips have 3 frames, but the X-CLIP model reads 2"):
        CrossFrameVideoCLIP("tiny", frames=2).encode_frames(clips(frames=3))


def test_adapters_of_an_x_clip_are_trained_and_merged(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    pytest.importorskip("peft", reason="needs the extra lora")
    videos = torch.randint(0, 256, (2, FRAMES, 3, 32, 32), dtype=torch.uint8)
    sentences = SentenceSet({"name": (("t1 t2",), ("t7",))})
    model = AdaptedVideoCLIP(str(folder), lora=LoRA(rank=2)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    model.save_pretrained(tmp_path)
    plain = VideoCLIP(str(tmp_path)).eval()
    with torch.no_grad():
        found = [one.encode_frames(videos) for one in (model, plain, VideoCLIP(str(folder)).eval())]
        texts = [one.encode_sentences(one.tokenize(sentences))["name"] for one in (model, plain)]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(texts[0], texts[1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[0], found[2], rtol=1e-4, atol=1e-4)
