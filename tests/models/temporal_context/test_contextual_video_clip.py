from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import CheckpointError, UserError
from ost_lightning.models import ContextualVideoCLIP, TemporalContext, VideoCLIP, ensemble_weights, frame_fingerprint
from ost_lightning.recognition.timelines.embedding import require_single_frames


def clips(frames: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, frames, 3, 48, 48), dtype=torch.uint8, generator=generator)


def model(**settings: float) -> ContextualVideoCLIP:
    settings = {"context_tokens": 6, "merges_per_round": 8, **settings}
    return ContextualVideoCLIP("tiny", temporal_context=partial(TemporalContext, **settings)).eval()  # type: ignore[arg-type]


@torch.no_grad()
def test_without_attention_to_the_context_it_is_clip() -> None:
    contextual, plain = model(), VideoCLIP("tiny").eval()
    assert not torch.allclose(contextual.encode_frames(clips()), plain.encode_frames(clips()), atol=1e-3)
    for bias in contextual.temporal_context.biases:
        bias[:, 1] = -1e9
    torch.testing.assert_close(contextual.encode_frames(clips()), plain.encode_frames(clips()), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_frames_depend_on_their_clip_and_hardly_on_its_order() -> None:
    contextual = model(context_tokens=1000)  # nothing is merged, so that the order of frames has no effect
    frames = clips()
    found, reversed_ = contextual.encode_frames(frames), contextual.encode_frames(frames.flip(1))
    torch.testing.assert_close(reversed_.flip(1), found, rtol=1e-4, atol=1e-5)
    alone = contextual.encode_frames(frames[:, :1])
    assert not torch.allclose(alone[:, 0], found[:, 0], atol=1e-3)
    # clips of a batch don't affect each other
    torch.testing.assert_close(contextual.encode_frames(frames[:1]), found[:1], rtol=1e-4, atol=1e-5)


def test_biases_are_trained_in_a_frozen_tower_and_kept_by_mixtures(tmp_path: Path) -> None:
    frozen = ContextualVideoCLIP("tiny", freeze_vision=True, freeze_text=True, gradient_checkpointing=True).train()
    frozen.encode_frames(clips())[0].sum().backward()
    trained = {name for name, weight in frozen.named_parameters() if weight.grad is not None}
    layers = len(frozen.temporal_context.biases)
    assert trained == {f"temporal_context.biases.{index}" for index in range(layers)}
    heads = frozen.encoder.model.config.vision_config.num_attention_heads
    assert {tuple(bias.shape) for bias in frozen.temporal_context.biases} == {(heads, 2)}
    tuned = {name: weight.detach() + 1 for name, weight in frozen.named_parameters()}
    mixed = ensemble_weights(frozen.original_parameters(), tuned, 0.3)
    with torch.no_grad():
        for name, weight in frozen.named_parameters():
            before = weight.detach().clone()
            weight.copy_(tuned[name])
            torch.testing.assert_close(mixed[name], before + 0.7)
    assert all(torch.equal(frozen.original_parameters()[name], tuned[name]) for name in trained)


@torch.no_grad()
def test_folders_have_the_biases_and_other_models_refuse_them(tmp_path: Path) -> None:
    contextual = model()
    for bias in contextual.temporal_context.biases:
        bias.add_(1)
    contextual.save_pretrained(tmp_path)
    again = ContextualVideoCLIP(str(tmp_path), temporal_context=partial(TemporalContext, context_tokens=6)).eval()
    again.temporal_context.merges_per_round = 8
    assert torch.equal(again.encode_frames(clips()), contextual.encode_frames(clips()))
    with pytest.raises(CheckpointError, match=r"temporal_context of a ContextualVideoCLIP"):
        VideoCLIP(str(tmp_path))
    assert frame_fingerprint(model(), "") != frame_fingerprint(model(seed_share=0.5), "")


def test_what_needs_single_frames_refuses_it() -> None:
    contextual = model()
    assert contextual.relates_frames
    with pytest.raises(UserError, match="a vision tower with temporal context, which relates the frames of a clip"):
        require_single_frames(contextual)


def test_mistakes() -> None:
    with pytest.raises(UserError, match=r"seed_share of 0, 6 context_tokens"):
        model(seed_share=0)
    with pytest.raises(UserError, match="0 context_tokens"):
        model(context_tokens=0)
    with pytest.raises(UserError, match="use a model of type clip"):
        ContextualVideoCLIP("tiny_siglip")
