from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from ost_lightning.errors import UserError
from ost_lightning.models import ClassContexts, PromptedVideoCLIP, TokenizedSentences, VideoPrompts
from ost_lightning.models.checkpoints.layouts.video_prompts import VideoPromptsLayout
from ost_lightning.models.encoders.promptable import TowerShape
from tests.models.prompts.vita_clip import build, labels
from tests.models.released import Released, assert_gradients, assert_outputs_and_loss, sentences

SHAPE = TowerShape(width=12, layers=2, heads=3, positions=5, patch_size=16)


@pytest.fixture(scope="module")
def released() -> Released:
    return Released.load("prompts/vita_clip")


@pytest.fixture(scope="module")
def model(released: Released, tmp_path_factory: pytest.TempPathFactory) -> PromptedVideoCLIP:
    return build(released, tmp_path_factory.mktemp("vita"))


def names(released: Released) -> TokenizedSentences:
    """The names without the placeholders of the contexts, which the authors' tokens have."""
    rows, contexts = released["inputs/token_ids"], released.number("M")
    return sentences(torch.cat([rows[:, :1], rows[:, 1 + contexts :]], dim=1))


def logits(model: PromptedVideoCLIP, released: Released) -> Tensor:
    frames = model.encode_frames(released["inputs/frames_uint8"])
    texts = model.encode_sentences(names(released))["name"]
    return model.similarity_to_logits(frames[:, 0] @ texts[:, 0].T)


def unit(tensor: Tensor) -> Tensor:
    return F.normalize(tensor, dim=-1)


def test_outputs_and_loss_are_those_of_the_authors_code(model: PromptedVideoCLIP, released: Released) -> None:
    with torch.no_grad():
        frames = model.encode_frames(released["inputs/frames_uint8"])
        texts = model.encode_sentences(names(released))["name"]
    assert_outputs_and_loss(released, frames[:, 0], texts[:, 0], logits(model, released))


def test_gradients_are_those_of_the_authors_code(model: PromptedVideoCLIP, released: Released) -> None:
    """They pass through both frozen towers, of which nothing but the temperature gets one."""
    model.zero_grad()
    F.cross_entropy(logits(model, released), released["training/labels"]).backward()
    expected = released.part("training/gradients/")
    scale = expected.pop("logit_scale")
    assert len(expected) == 8
    assert_gradients(model, VideoPromptsLayout(), released.part("state/"), expected)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert_close(gradients["encoder.model.logit_scale"], scale, rtol=1e-4, atol=0)
    in_encoder = {name for name, gradient in gradients.items() if name.startswith("encoder.") and gradient is not None}
    assert in_encoder == {"encoder.model.logit_scale"}


@pytest.mark.parametrize(
    ("ablation", "settings"),
    [
        ("summary_only", {"local": False, "global_prompts": 0}),
        ("local_only", {"summary": False, "global_prompts": 0}),
        ("global_only", {"summary": False, "local": False}),
        ("no_prompts", {"summary": False, "local": False, "global_prompts": 0}),
    ],
)
@torch.no_grad()
def test_each_kind_of_prompt_alone(ablation: str, settings: dict[str, int], released: Released, tmp_path: Path) -> None:
    found = build(released, tmp_path, **settings).encode_frames(released["inputs/frames_uint8"])
    expected = unit(released[f"ablations/{ablation}/video_features"])
    assert_close(found[:, 0], expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_contexts_that_all_classes_share(model: PromptedVideoCLIP, released: Released) -> None:
    shared = ClassContexts(
        TowerShape(released.number("tw"), 1, 1, 77), contexts_per_class=released.number("M"), class_specific=False
    )
    shared.contexts.copy_(released["state/prompt_learner.ctx"][:1])
    own, model.text_prompts = model.text_prompts, shared
    try:
        assert shared.rows_of(labels(released), 3) == [0, 0, 0]
        tokens = names(released)
        texts = model.encode_sentences(TokenizedSentences(tokens.tokens, tokens.lengths, torch.zeros(3).long()))["name"]
    finally:
        model.text_prompts = own
    assert_close(texts[:, 0], unit(released["ablations/unified_context/text_features"]), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_twice_as_many_frames_are_two_runs_with_stretched_times(model: PromptedVideoCLIP, released: Released) -> None:
    found = model.encode_frames(released["longer/frames_uint8"])
    assert_close(found[:, 0], unit(released["longer/video_features"]), rtol=1e-5, atol=1e-6)


def test_other_numbers_of_frames_are_refused(model: PromptedVideoCLIP, released: Released) -> None:
    clip = released["longer/frames_uint8"]
    for frames in (3, 6):
        message = (
            rf"The clips have {frames} frames, but video_clip\.vision_prompts are for 4 frames.*clips\.frames to 4"
        )
        with pytest.raises(UserError, match=message):
            model.encode_frames(clip[:, :frames])
        with pytest.raises(UserError, match=message):
            model.require_trained_positions(frames)
        with pytest.raises(UserError, match=message):
            model.require_possible_frames(frames)
    model.require_trained_positions(8)


def test_as_released_the_projection_is_never_trained() -> None:
    for trained in (True, False):
        prompts = VideoPrompts(SHAPE, 3, train_projection=trained)
        frozen = {name for name, parameter in prompts.named_parameters() if not parameter.requires_grad}
        expected = {f"layers.{k}.projection.{part}" for k in range(2) for part in ("weight", "bias")}
        assert frozen == (set() if trained else expected)


def test_as_in_the_paper_class_tokens_join_the_local_prompts_unprojected() -> None:
    prompts = VideoPrompts(SHAPE, 3, summary=False, global_prompts=0, local_input="class_token")
    tokens = torch.randn(6, 12)
    found = prompts.prompts(1, tokens)
    learned = prompts.layers[1].local_prompts
    # every frame gets the local prompts of all frames of its own clip
    for clip in range(2):
        own = tokens[3 * clip : 3 * clip + 3]
        for frame in range(3):
            assert torch.equal(found[3 * clip + frame], learned + own)
    assert not [name for name, _ in prompts.named_parameters() if "projection" in name]


def test_initial_values() -> None:
    torch.manual_seed(2)
    prompts = VideoPrompts(TowerShape(width=768, layers=1, heads=12, positions=197, patch_size=16), global_prompts=64)
    assert float(prompts.times.detach().std()) == pytest.approx(0.02, rel=0.05)
    (layer,) = prompts.layers
    assert float(layer.global_prompts.detach().abs().max()) == pytest.approx(1 / 16, rel=0.01)
    xavier = (6 / (2 * 768)) ** 0.5
    assert float(layer.summary_attention.q_proj.weight.detach().abs().max()) == pytest.approx(xavier, rel=0.01)
    assert not layer.summary_attention.q_proj.bias.any()
    assert float(layer.projection.weight.detach().abs().max()) == pytest.approx(768**-0.5, rel=0.01)
    assert layer.summary_attention.heads == 12


def test_without_attention_of_frames_a_clip_is_its_frames() -> None:
    """Global prompts alone relate no frames, and the time embedding of a frame is its own."""
    tokens = torch.randn(4, 5, 12)
    prompts = VideoPrompts(SHAPE, 2, summary=False, local=False, global_prompts=3)
    placed = prompts.place(tokens, 2)
    assert_close(placed, tokens + prompts.times.repeat(2, 1)[:, None])
    (first, *others) = prompts.prompts(0, tokens[:, 0])
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"frames": 0}, r"frames is 0: expected at least 1"), ({"global_prompts": -1}, r"global_prompts is -1: expected")],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VideoPrompts(SHAPE, **settings)


def _note(calls: list[torch.nn.Module], module: torch.nn.Module, _: object) -> None:
    calls.append(module)


def test_gradient_checkpointing_reaches_prompts_in_frozen_towers() -> None:
    clips, gradients = torch.randint(0, 256, (2, 2, 3, 48, 48), dtype=torch.uint8), []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        model = PromptedVideoCLIP(
            "tiny",
            freeze_vision=True,
            gradient_checkpointing=checkpointing,
            vision_prompts=partial(VideoPrompts, frames=2),
        ).train()
        calls: list[torch.nn.Module] = []
        layer = model.encoder.tower("vision").layers[0]
        layer.register_forward_pre_hook(partial(_note, calls))
        model.encode_frames(clips)[..., 0].sum().backward()
        assert len(calls) == (2 if checkpointing else 1)
        assert isinstance(model.vision_prompts, VideoPrompts)
        gradients.append(model.vision_prompts.times.grad)
    assert gradients[0] is not None
    assert_close(gradients[0], gradients[1])
