from pathlib import Path
from typing import Any

import pytest
import torch

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, VideoCLIP, ensemble_weights, weights_digest
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.models.lora import AdaptedVideoCLIP, LoRA, add_adapters, merge_adapters, with_zero_adapters
from tests.models.encoders.siglip_miniature import write_siglip


@pytest.fixture
def plain() -> CLIPEncoder:
    return CLIPEncoder.from_pretrained("tiny").eval()


@pytest.fixture
def tuned() -> CLIPEncoder:
    """Adapters after training, whose B is no longer zero."""
    encoder = CLIPEncoder.from_pretrained("tiny").eval()
    add_adapters(encoder, LoRA(rank=2, alpha=4))
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return encoder


@torch.no_grad()
def features(model: Any) -> torch.Tensor:
    torch.manual_seed(0)
    pixels, tokens = torch.randn(2, 3, 48, 48), torch.randint(5, 400, (2, 9))
    image = model.get_image_features(pixel_values=pixels).pooler_output
    return torch.cat([image, model.get_text_features(input_ids=tokens).pooler_output])


def test_new_adapters_change_nothing_and_only_they_are_trained(plain: CLIPEncoder) -> None:
    before = features(plain.model)
    total = sum(parameter.numel() for parameter in plain.model.parameters())
    add_adapters(plain, LoRA(rank=2))
    torch.testing.assert_close(features(plain.model), before)
    trained = {name for name, parameter in plain.model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or name == "logit_scale" for name in trained)
    assert {name.split("_model")[0] for name in trained} == {"vision", "text", "logit_scale"}
    assert sum(parameter.numel() for parameter in plain.model.parameters() if parameter.requires_grad) < 0.05 * total


def test_one_tower_can_be_adapted(plain: CLIPEncoder) -> None:
    add_adapters(plain, LoRA(towers="vision", layers=("v_proj",)))
    trained = [name for name, parameter in plain.model.named_parameters() if parameter.requires_grad]
    assert all(name.startswith("vision_model") and "v_proj" in name for name in trained if name != "logit_scale")


def test_merged_model_is_plain_and_the_same(plain: CLIPEncoder, tuned: CLIPEncoder) -> None:
    together = merge_adapters(tuned.model).eval()
    assert set(together.state_dict()) == set(plain.model.state_dict())
    torch.testing.assert_close(features(together), features(tuned.model), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features(together), features(plain.model))


@pytest.mark.parametrize("ratio", [0.0, 0.2, 1.0])
def test_ensembling_mixes_the_products(plain: CLIPEncoder, tuned: CLIPEncoder, ratio: float) -> None:
    weights = dict(tuned.model.named_parameters())
    expected = ensemble_weights(
        dict(plain.model.named_parameters()), dict(merge_adapters(tuned.model).named_parameters()), ratio
    )
    mixed = ensemble_weights(with_zero_adapters(dict(plain.model.named_parameters()), weights), weights, ratio)
    tuned.model.load_state_dict(mixed, strict=False)
    for name, weight in merge_adapters(tuned.model).named_parameters():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-6)


def test_unknown_layers_are_named(plain: CLIPEncoder) -> None:
    with pytest.raises(UserError, match="No layer of the text tower is called nonsense"):
        add_adapters(plain, LoRA(towers="text", layers=("nonsense",)))


def checkpoint(clip: VideoCLIP, file: Path) -> Path:
    """Writes a checkpoint, as training does, of a model whose weights have changed."""
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.01)
    torch.save({"state_dict": {f"video_clip.{name}": weight for name, weight in clip.state_dict().items()}}, file)
    return file


def test_training_continues_from_adapters(tmp_path: Path) -> None:
    tuned = AdaptedVideoCLIP("tiny", lora=LoRA(rank=2))
    file = checkpoint(tuned, tmp_path / "adapted.ckpt")
    initialized = AdaptedVideoCLIP("tiny", lora=LoRA(rank=2), init_from=file)
    assert weights_digest(initialized) == weights_digest(tuned)
    assert initialized.init_from == file
    with pytest.raises(UserError, match=r"has shape \(2, .*Set the model \(`pretrained`, heads, adapters"):
        AdaptedVideoCLIP("tiny", lora=LoRA(rank=3), init_from=file)


def test_adapters_are_added_to_the_weights_of_a_plain_model(tmp_path: Path) -> None:
    plain = VideoCLIP("tiny")
    file = checkpoint(plain, tmp_path / "plain.ckpt")
    plain.save_pretrained(tmp_path / "folder")
    for source in (file, tmp_path / "folder"):
        initialized = AdaptedVideoCLIP("tiny", init_from=source)
        torch.testing.assert_close(
            merge_adapters(initialized.encoder.model).state_dict(), plain.encoder.model.state_dict()
        )


def test_a_mismatching_original_is_rejected(tmp_path: Path) -> None:
    siglip = str(write_siglip(tmp_path / "one"))
    adapted = AdaptedVideoCLIP(siglip, tuned_from=str(write_siglip(tmp_path / "deep", num_hidden_layers=1)))
    with pytest.raises(CheckpointError, match=r"can't have been tuned from .*deep: their weights differ"):
        adapted.original_parameters()
    adapted = AdaptedVideoCLIP(siglip, tuned_from=str(write_siglip(tmp_path / "wide", intermediate_size=16)))
    with pytest.raises(CheckpointError, match=r"can't have been tuned from .*wide: .*\(first: encoder\.model\.vision"):
        adapted.original_parameters()
