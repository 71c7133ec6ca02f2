import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, normalize

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, MeanPooling, TemporalHead, TemporalTransformer, VideoCLIP

TWO_LAYERS = partial(TemporalTransformer, layers=2)


def clips(batch: int = 2, frames: int = 3) -> Tensor:
    return torch.randint(0, 256, (batch, frames, 3, 48, 48), dtype=torch.uint8)


def test_heads_report_whether_they_pool() -> None:
    frames = torch.randn(2, 3, 16)
    for head in (MeanPooling(16), TemporalTransformer(16, 1), TemporalTransformer(16, 1, pool=False)):
        assert head.pools == (head(frames).shape[1] == 1)


def reference_transformer(head: TemporalTransformer, frames: Tensor, heads: int) -> Tensor:
    """The temporal transformer, computed one clip and one attention head at a time."""
    weights = dict(head.state_dict())
    outputs = []
    for clip in frames:
        x = clip + weights["positions.weight"][: len(clip)]
        for layer in range(len(head.blocks)):

            def of(name: str, layer: int = layer) -> Tensor:
                return weights[f"blocks.{layer}.{name}"]

            normed = layer_norm(x, x.shape[-1:], of("norm1.weight"), of("norm1.bias"), 1e-12)
            q, k, v = (normed @ of("self_attn.in_proj_weight").T + of("self_attn.in_proj_bias")).chunk(3, dim=-1)
            width = x.shape[-1] // heads
            mixed = []
            for part in range(heads):
                channels = slice(part * width, (part + 1) * width)
                attention = (q[:, channels] @ k[:, channels].T / math.sqrt(width)).softmax(-1)
                mixed.append(attention @ v[:, channels])
            x = x + torch.cat(mixed, -1) @ of("self_attn.out_proj.weight").T + of("self_attn.out_proj.bias")
            normed = layer_norm(x, x.shape[-1:], of("norm2.weight"), of("norm2.bias"), 1e-12)
            hidden = normed @ of("linear1.weight").T + of("linear1.bias")
            hidden = hidden * torch.sigmoid(1.702 * hidden)
            x = x + hidden @ of("linear2.weight").T + of("linear2.bias")
        outputs.append(clip + x)
    return torch.stack(outputs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("heads", [1, 4])
@torch.no_grad()
def test_temporal_transformer_matches_its_formula(training: bool, heads: int) -> None:
    head = TemporalTransformer(32, layers=3, heads=heads, pool=False).train(training)
    for parameter in head.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    frames = torch.randn(2, 5, 32)
    expected = reference_transformer(head, frames, heads)
    torch.testing.assert_close(head(frames), expected, atol=1e-4, rtol=1e-4)
    head.pool = True
    torch.testing.assert_close(head(frames), expected.mean(1, keepdim=True), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_temporal_transformer_depends_on_order_and_pooling_does_not() -> None:
    frames = torch.randn(1, 6, 64)
    transformer, pooling = TemporalTransformer(64, layers=1), MeanPooling(64)
    torch.nn.init.normal_(transformer.positions.weight)
    backwards = frames.flip(1)
    assert not torch.allclose(transformer(frames), transformer(backwards), atol=1e-3)
    torch.testing.assert_close(pooling(frames), pooling(backwards))


def test_new_layers_differ_and_heads_follow_the_width() -> None:
    head = TemporalTransformer(512)
    weights = [block.self_attn.in_proj_weight for block in head.blocks]
    assert len(weights) == 6
    assert not torch.equal(weights[0], weights[1])
    assert head.blocks[0].self_attn.num_heads == 8
    assert TemporalTransformer(32, layers=1).blocks[0].self_attn.num_heads == 1
    assert float(head.positions.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_more_frames_than_positions_are_rejected() -> None:
    with pytest.raises(UserError, match=r"5 frames, but the temporal head has 4 positions: increase its `positions`"):
        TemporalTransformer(32, layers=1, positions=4)(torch.randn(1, 5, 32))


@torch.no_grad()
def test_mean_pooling_precedes_normalization() -> None:
    videos, model = clips(), VideoCLIP("tiny", temporal_head=MeanPooling)
    pixels = model.normalization(videos.flatten(0, 1))
    raw = model.encoder.model.get_image_features(pixel_values=pixels).pooler_output.unflatten(0, (2, 3))
    embedded = model.encode_frames(videos)
    assert embedded.shape == (2, 1, 128)
    torch.testing.assert_close(embedded[:, 0], normalize(raw.mean(1), dim=-1), atol=1e-5, rtol=0)
    # OST pools frames that were normalized one by one, which gives a different result
    one_by_one = normalize(VideoCLIP("tiny").encode_frames(videos).mean(1), dim=-1)
    assert not torch.allclose(embedded[:, 0], one_by_one, atol=1e-5)


@torch.no_grad()
def test_head_is_applied_between_projection_and_normalization() -> None:
    model = VideoCLIP("tiny", temporal_head=partial(TWO_LAYERS, pool=False))
    videos = clips()
    pixels = model.normalization(videos.flatten(0, 1))
    raw = model.encoder.model.get_image_features(pixel_values=pixels).pooler_output.unflatten(0, (2, 3))
    expected = normalize(model.temporal_head(raw), dim=-1)
    torch.testing.assert_close(model.encode_frames(videos), expected, atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        embedded = model.encode_frames(videos)
    assert embedded.dtype == torch.float32
    torch.testing.assert_close(embedded.norm(dim=-1), torch.ones(2, 3), atol=1e-5, rtol=0)


def test_head_is_trained_when_the_vision_tower_is_frozen() -> None:
    model = VideoCLIP("tiny", freeze_vision=True, temporal_head=TWO_LAYERS)
    model.encode_frames(clips())[..., 0].sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == name.startswith("temporal_head"), name


@pytest.mark.parametrize("head", [MeanPooling, TWO_LAYERS])
@torch.no_grad()
def test_saved_folder_contains_the_head(tmp_path: Path, head: type[TemporalHead]) -> None:
    model, videos = VideoCLIP("tiny", temporal_head=head), clips()
    model.save_pretrained(tmp_path)
    again = VideoCLIP(str(tmp_path), temporal_head=head)
    assert torch.equal(again.encode_frames(videos), model.encode_frames(videos))


def test_saved_head_is_neither_dropped_nor_confused(tmp_path: Path) -> None:
    VideoCLIP("tiny", temporal_head=TWO_LAYERS).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"tuned with a temporal head .*but none is set: set video_clip\.temp"):
        VideoCLIP(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"temporal_head, a TemporalTransformer .*Missing key.*settings"):
        VideoCLIP(str(tmp_path), temporal_head=partial(TemporalTransformer, layers=3))
    with pytest.raises(CheckpointError, match=r"don't match video_clip\.temporal_head, a MeanPooling"):
        VideoCLIP(str(tmp_path), temporal_head=MeanPooling)


def test_weights_without_an_original_are_unchanged_by_mixing() -> None:
    model = VideoCLIP("tiny", temporal_head=TWO_LAYERS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    original = model.original_parameters()
    for name, parameter in model.named_parameters():
        difference = 0 if name.startswith("temporal_head") else 1
        torch.testing.assert_close(parameter - original[name], torch.full_like(parameter, difference))


def test_more_frames_than_were_trained_are_refused() -> None:
    untrained = VideoCLIP("tiny", temporal_head=TWO_LAYERS)
    untrained.require_trained_positions(8)  # unknown, or about to be trained
    trained = replace(untrained.preprocessing, frames=4)
    for head, frames in ((TWO_LAYERS, 4), (MeanPooling, 5), (None, 5)):
        model = VideoCLIP("tiny", temporal_head=head)
        model.trained_with = trained
        model.require_trained_positions(frames)
    untrained.trained_with = trained
    with pytest.raises(UserError, match=r"5 frames, but the temporal head was trained with 4.*data\.clips\.frames"):
        untrained.require_trained_positions(5)
