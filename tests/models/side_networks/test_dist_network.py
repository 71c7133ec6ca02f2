import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, DiSTNetwork, MeanPooling, SideTunedVideoCLIP, VideoCLIP
from ost_lightning.models import frame_fingerprint as fingerprint
from ost_lightning.models.encoders.promptable import TowerShape
from tests.models.released import Released, Sizes, openai_clip, write

SMALL = partial(DiSTNetwork, frames=4, integration_width=64, temporal_width=8, pooling_layers=1)
_NAMES = {
    r"aggregated_cls_token": "clip_query",
    r"aggregated_spatial_cls_token": "frame_query",
    r"proj_spatial_cls_token\.(.*)": r"from_class_token.\1",
    r"ln_post\.(.*)": r"norm.\1",
    r"temporal_stem\.(.*)": r"stem.\1",
    r"input_linears\.(\d)\.(.*)": r"layers.\1.from_tower.\2",
    r"temporal_nets\.(\d)\.ln\.(.*)": r"layers.\1.temporal_norm.\2",
    r"temporal_nets\.(\d)\.temporal_net\.c_fc1\.(.*)": r"layers.\1.over_time.\2",
    r"temporal_nets\.(\d)\.temporal_net\.c_fc2\.(.*)": r"layers.\1.over_space.\2",
    r"integration2temporal_nets\.(\d)\.linear_fuse\.(.*)": r"layers.\1.to_temporal.\2",
    r"temporal2integration_nets\.(\d)\.cls_token": r"layers.\1.class_tokens",
    r"temporal2integration_nets\.(\d)\.linear_fuse\.(.*)": r"layers.\1.from_temporal.\2",
    r"integration_nets\.(\d)\.ln\.(.*)": r"layers.\1.token_norm.\2",
    r"integration_nets\.(\d)\.ln_temporal\.(.*)": r"layers.\1.time_norm.\2",
    r"integration_nets\.(\d)\.ffn\.c_fc\.(.*)": r"layers.\1.token_mlp.up.\2",
    r"integration_nets\.(\d)\.ffn\.c_proj\.(.*)": r"layers.\1.token_mlp.down.\2",
    r"integration_nets\.(\d)\.temporal_ffn\.c_fc1\.(.*)": r"layers.\1.time_in.\2",
    r"integration_nets\.(\d)\.temporal_ffn\.c_fc2\.(.*)": r"layers.\1.time_mix.\2",
    r"integration_nets\.(\d)\.temporal_ffn\.c_proj\.(.*)": r"layers.\1.time_out.\2",
    r"adapooling_nets\.(\d)\.positional_embedding": r"poolings.\1.positions",
    r"adapooling_nets\.(\d)\.spatial_transformer\.ln_1\.(.*)": r"poolings.\1.over_patches.norm.\2",
    r"adapooling_nets\.(\d)\.spatial_transformer\.attn\.(.*)": r"poolings.\1.over_patches.attention.\2",
    r"adapooling_nets\.(\d)\.temporal_transformer\.ln_1\.(.*)": r"poolings.\1.over_frames.norm.\2",
    r"adapooling_nets\.(\d)\.temporal_transformer\.attn\.(.*)": r"poolings.\1.over_frames.attention.\2",
    r"adapooling_nets\.(\d)\.ln_out_spat_cls_token\.(.*)": r"poolings.\1.over_patches.mlp_norm.\2",
    r"adapooling_nets\.(\d)\.ln_out_temp_cls_token\.(.*)": r"poolings.\1.over_frames.mlp_norm.\2",
    r"adapooling_nets\.(\d)\.output_map_spatial_cls_token\.c_fc\.(.*)": r"poolings.\1.over_patches.mlp.up.\2",
    r"adapooling_nets\.(\d)\.output_map_spatial_cls_token\.c_proj\.(.*)": r"poolings.\1.over_patches.mlp.down.\2",
    r"adapooling_nets\.(\d)\.output_map_cls_token\.c_fc\.(.*)": r"poolings.\1.over_frames.mlp.up.\2",
    r"adapooling_nets\.(\d)\.output_map_cls_token\.c_proj\.(.*)": r"poolings.\1.over_frames.mlp.down.\2",
}


@pytest.fixture(scope="module")
def released() -> Released:
    return Released.load("side_networks/dist")


@pytest.fixture(scope="module")
def folder(released: Released, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' CLIP with a text tower of no meaning: the texts' embeddings are among their outputs."""
    weights = {name: weight.float() for name, weight in released.part("state.").items() if "dist_net" not in name}
    width, number = 32, released.number
    sizes = Sizes(
        (number("vision_width"), number("vision_heads"), number("layers")),
        (width, 1, 1),
        weights["visual.proj"].shape[1],
        48,
        number("image"),
        number("patch"),
    )
    weights |= {"token_embedding.weight": torch.zeros(48, width), "positional_embedding": torch.zeros(77, width)}
    block = "transformer.resblocks.0"
    shapes: dict[str, tuple[int, ...]] = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.out_proj.weight": (width, width),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_proj.weight": (width, 4 * width),
        "ln_1.weight": (width,),
        "ln_2.weight": (width,),
    }
    for name, shape in shapes.items():
        bias = f"{name.removesuffix('weight')}bias"
        weights[f"{block}.{name}"], weights[f"{block}.{bias}"] = torch.zeros(shape), torch.zeros(shape[0])
    return write(openai_clip(weights, sizes), tmp_path_factory.mktemp("dist"))


def _ours(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Returns a tensor of the released network under our name and in our shape."""
    if name == "proj":
        return "projection.weight", tensor.T
    for theirs, ours in _NAMES.items():
        if re.fullmatch(theirs, name):
            squeezed = "token" in name and "positional" not in name and tensor.ndim in (3, 4) and "map" not in name
            return re.sub(theirs, ours, name), tensor.squeeze() if squeezed or "positional" in name else tensor
    raise AssertionError(name)


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
    model = SideTunedVideoCLIP(str(folder), side_network=network, **options)
    weights = dict(_ours(name, weight.float()) for name, weight in released.part("state.dist_net.").items())
    last = f"layers.{number('layers') - 1}.to_temporal"
    unused = {f"{last}.weight", f"{last}.bias"}
    model.side_network.load_state_dict({name: weight for name, weight in weights.items() if name not in unused})
    assert unused <= weights.keys()
    return model


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
    gradients = {name: parameter.grad for name, parameter in model.side_network.named_parameters()}
    expected = dict(_ours(name, gradient) for name, gradient in released.part("grad.dist_net.").items())
    assert len(expected) == 17
    for name, gradient in expected.items():
        own = gradients[name]
        assert own is not None
        assert (own - gradient).norm() <= 1e-4 * gradient.norm(), name
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
