from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close
from transformers import CLIPConfig, CLIPModel

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, DiSTNetwork, MeanPooling, SideTunedVideoCLIP, VideoCLIP
from ost_lightning.models import frame_fingerprint as fingerprint
from ost_lightning.models.checkpoints.layouts.side_network import SideNetworkLayout
from ost_lightning.models.encoders.promptable import TowerShape
from tests.models.foreign import tokenizer
from tests.models.released import Released, assert_gradients, converted

SMALL = partial(DiSTNetwork, frames=4, integration_width=64, temporal_width=8, pooling_layers=1)


@pytest.fixture(scope="module")
def released() -> Released:
    return Released.load("side_networks/dist")


def state(released: Released) -> dict[str, Tensor]:
    """The authors' weights without the text tower: the texts' embeddings are among their outputs."""
    weights = released.part("state.").items()
    return {name: weight.float() for name, weight in weights if not name.startswith(("ln_final", "text_projection"))}


@pytest.fixture(scope="module")
def folder(released: Released, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' weights, from a file in their layout, with the text tower of another CLIP."""
    folder = tmp_path_factory.mktemp("dist")
    vision = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 8, "patch_size": 8}
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 48}
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=48)).save_pretrained(folder / "clip")
    tokenizer(48).save_pretrained(folder / "clip")
    file = {f"module.backbone.base_encoder.{name}": weight for name, weight in state(released).items()}
    found = converted(file, folder, (released.number("vision_heads"), 1), key="model_state")
    number = released.number
    assert (found.layout, found.overlay) == ("dist", "dist")
    assert found.settings == {
        "side_network.frames": number("frames"),
        "side_network.stride": number("alpha"),
        "side_network.integration_width": number("integration_dim"),
        "side_network.temporal_width": number("temporal_dim"),
        "side_network.pooling_layers": number("ada_pooling_layers"),
    }
    assert set(found.report.ignored) == {
        f"dist_net.integration2temporal_nets.2.linear_fuse.{kind}" for kind in ("weight", "bias")
    }
    assert {name.split(".")[0] for name in found.report.completed} == {
        "positional_embedding",
        "token_embedding",
        "text_projection",
        "ln_final",
        "transformer",
    }
    return folder / "converted"


def build(released: Released, folder: Path, **options: Any) -> SideTunedVideoCLIP:
    number = released.number
    network = partial(
        DiSTNetwork,
        frames=number("frames"),
        stride=number("alpha"),
        integration_width=number("integration_dim"),
        temporal_width=number("temporal_dim"),
        pooling_layers=number("ada_pooling_layers"),
    )
    return SideTunedVideoCLIP(str(folder), side_network=network, **options)


def embedded(model: SideTunedVideoCLIP, pixels: Tensor) -> Tensor:
    """Embeds pixels that are normalized already."""
    model.normalization = torch.nn.Identity()  # type: ignore[assignment]
    return model.encode_frames(pixels)


def test_outputs_and_loss_are_those_of_the_authors_code(released: Released, folder: Path) -> None:
    model = build(released, folder).train()
    texts = F.normalize(released["out.text_embedding"], dim=-1)
    found = embedded(model, released["in.pixels"])
    assert_close(found[:, 0].detach(), released["out.clip_embedding_normalised"], rtol=1e-5, atol=1e-5)
    logits = model.similarity_to_logits(found[:, 0] @ texts.T)
    assert_close(logits.detach(), released["out.logits"], rtol=1e-5, atol=1e-5)
    loss = F.cross_entropy(logits, released["in.soft_targets"])
    assert_close(loss.detach(), released["out.loss"], rtol=1e-5, atol=0)
    loss.backward()
    expected = {f"dist_net.{name}": gradient for name, gradient in released.part("grad.dist_net.").items()}
    assert len(expected) == 17
    assert_gradients(model, SideNetworkLayout(), state(released), expected)
    gradients = {name: parameter.grad for name, parameter in model.side_network.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


@torch.no_grad()
def test_zero_shot_scores_are_averaged_with_those_of_plain_clip(released: Released, folder: Path) -> None:
    texts = F.normalize(released["out.text_embedding"], dim=-1)
    model = build(released, folder, clip_share=0.5)
    found = embedded(model.eval(), released["in.pixels"])
    assert found.shape[1] == 1
    assert_close(model.similarity_to_logits(found[:, 0] @ texts.T), released["out.logits_zero_shot"], rtol=0, atol=1e-5)
    # in training there is no share
    alone = embedded(model.train(), released["in.pixels"])[:, 0]
    assert_close(model.similarity_to_logits(alone @ texts.T), released["out.logits"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_share_of_one_is_plain_clip() -> None:
    clips = torch.randint(0, 256, (2, 4, 3, 48, 48), dtype=torch.uint8)
    found = SideTunedVideoCLIP("tiny", side_network=SMALL, clip_share=1.0).eval().encode_frames(clips)
    frames = VideoCLIP("tiny").eval().encode_frames(clips[:, ::2])
    assert_close(found, frames.mean(1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_only_the_network_is_trained_and_knows_its_number_of_frames() -> None:
    model = SideTunedVideoCLIP("tiny", side_network=SMALL).train()
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"side_network"}
    assert (model.has_gradients("vision"), model.has_gradients("text")) == (True, False)
    assert (model.relates_frames, model.fixes_frames) == (True, True)
    for frames in (2, 8):
        message = rf"The clips have {frames} frames, but video_clip\.side_network reads 4"
        with pytest.raises(UserError, match=message):
            model.encode_frames(torch.zeros(1, frames, 3, 48, 48, dtype=torch.uint8))
        with pytest.raises(UserError, match=message):
            model.require_trained_positions(frames)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 5}, r"has 5 frames and the stride 2: expected a multiple"),
        ({"integration_width": 100}, r"integration_width is 100: expected a multiple of 64"),
        ({"pooling_layers": 0}, r"pooling_layers is 0: expected at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DiSTNetwork(TowerShape(64, 1, 1, 5, 8), 32, **settings)


def test_what_cannot_have_a_side_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"is a siglip, whose layers a side network can't read"):
        SideTunedVideoCLIP("tiny_siglip", side_network=SMALL)
    with pytest.raises(UserError, match=r"unset video_clip\.temporal_head"):
        SideTunedVideoCLIP("tiny", side_network=SMALL, temporal_head=MeanPooling)
    with pytest.raises(UserError, match=r"clip_share is 2: expected a share, 0 to 1"):
        SideTunedVideoCLIP("tiny", side_network=SMALL, clip_share=2)


@torch.no_grad()
def test_a_saved_folder_contains_the_network(tmp_path: Path) -> None:
    clips = torch.randint(0, 256, (1, 4, 3, 48, 48), dtype=torch.uint8)
    model = SideTunedVideoCLIP("tiny", side_network=SMALL).eval()
    model.save_pretrained(tmp_path)
    again = SideTunedVideoCLIP(str(tmp_path), side_network=SMALL).eval()
    assert torch.equal(again.encode_frames(clips), model.encode_frames(clips))
    with pytest.raises(CheckpointError, match=r"tuned with a side network \(side_network\.safetensors\)"):
        VideoCLIP(str(tmp_path))
    mixed = SideTunedVideoCLIP(str(tmp_path), side_network=SMALL, clip_share=0.5).eval()
    assert fingerprint(again, "fp32") == fingerprint(model, "fp32") != fingerprint(mixed, "fp32")
    assert mixed.part_settings() == {
        "side_network": {
            "class": "DiSTNetwork",
            "frames": 4,
            "stride": 2,
            "integration_width": 64,
            "temporal_width": 8,
            "pooling_layers": 1,
        },
        "clip_share": 0.5,
    }


def test_the_released_size() -> None:
    shape = TowerShape(width=768, layers=12, heads=12, positions=197, patch_size=16)
    with torch.device("meta"):
        counts = [sum(p.numel() for p in DiSTNetwork(shape, 512, pooling_layers=a).parameters()) for a in (4, 2)]
    assert [round(count / 1e6, 1) for count in counts] == [26.1, 19.0]
