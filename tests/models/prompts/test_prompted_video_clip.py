from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName
from ost_lightning.models import (
    AffixPrompts,
    ClassContexts,
    LogitScale,
    MeanPooling,
    PromptedVideoCLIP,
    VideoCLIP,
    VideoPrompts,
    frame_fingerprint,
)
from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.text import LabelSpace, SentenceSet, Templates
from tests.models.encoders.families import FAMILIES

AFFIX = partial(AffixPrompts, prefix=2, postfix=1)
VIDEO = partial(VideoPrompts, frames=2)
LABELS = LabelSpace(("juggling", "riding horse"))
WITH_CLIPS_LAYERS = ("LongCLIP", "TinyCLIP", "MetaCLIP 2", "Chinese-CLIP", "AltCLIP")


class NoPrompts:
    """Prompts that add nothing to the tokens of a vision tower."""

    def place(self, tokens: Tensor, frames: int) -> Tensor:
        return tokens

    def prompts(self, layer: int, class_tokens: Tensor) -> Tensor:
        return class_tokens[:, None, :].expand(-1, 0, -1)


def clips(side: int = 48, frames: int = 2) -> Tensor:
    return torch.randint(0, 256, (2, frames, 3, side, side), dtype=torch.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: FAMILIES[name].write(tmp_path_factory.mktemp("family") / "model") for name in WITH_CLIPS_LAYERS}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", WITH_CLIPS_LAYERS)
@torch.no_grad()
def test_towers_run_layer_by_layer_as_they_do_at_once(name: str, attention: str, folders: dict[str, Path]) -> None:
    folder = str(folders[name])
    encoder = encoder_class(folder).from_pretrained(folder, attention).eval()
    assert isinstance(encoder, CLIPEncoder)
    pixels = torch.randn(2, 3, 3, encoder.image_size, encoder.image_size)
    assert_close(encoder.encode_prompted_clips(pixels, NoPrompts()), encoder.encode_clips(pixels), rtol=1e-5, atol=1e-5)
    if "text" not in encoder.promptable_towers:
        return
    tokens, lengths = encoder.tokenizer(["a", "a b c", "c d"])
    ends = (tokens == encoder.end_token).int().argmax(-1)
    found = encoder.encode_embedded_tokens(encoder.embed_tokens(tokens), ends)
    assert_close(found, encoder.encode_tokens(tokens, lengths), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "prompts", "message"),
    [
        ("Chinese-CLIP", {"text_prompts": AFFIX}, r"chinese_clip, whose text tower takes no learned prompts: unset"),
        ("AltCLIP", {"vision_prompts": VIDEO, "text_prompts": AFFIX}, r"altclip, whose text tower"),
    ],
)
def test_text_towers_like_berts_are_refused(
    name: str, prompts: dict[str, object], message: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(UserError, match=message):
        PromptedVideoCLIP(str(folders[name]), **prompts)


def test_other_encoders_and_no_prompts_are_refused() -> None:
    with pytest.raises(UserError, match=r"tiny_siglip is a siglip, whose vision tower takes no learned prompts"):
        PromptedVideoCLIP("tiny_siglip", vision_prompts=VIDEO)
    with pytest.raises(UserError, match=r"has none: set video_clip\.text_prompts"):
        PromptedVideoCLIP("tiny")


@contextmanager
def gradients(model: VideoCLIP) -> Iterator[None]:
    """Computes the gradients of a loss over frames and names."""
    model.zero_grad()
    yield
    frames = model.encode_frames(clips())[:, 0]
    texts = model.encode_sentences(model.tokenize(Templates.load("raw_name").apply(LABELS, ("name",), 1)))["name"]
    model.similarity_to_logits(frames @ texts[:, 0].T).logsumexp(1).sum().backward()


@pytest.mark.parametrize(
    ("prompts", "trained"),
    [
        ({"text_prompts": AFFIX}, {"text_prompts"}),
        ({"vision_prompts": VIDEO}, {"vision_prompts"}),
        ({"text_prompts": AFFIX, "vision_prompts": VIDEO}, {"text_prompts", "vision_prompts"}),
    ],
)
def test_only_prompts_and_temperature_are_trained(prompts: dict[str, object], trained: set[str]) -> None:
    model = PromptedVideoCLIP("tiny", freeze_vision=True, freeze_text=True, **prompts).train()
    with gradients(model):
        pass
    found = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {name.split(".")[0] for name in found} == {*trained, "encoder"}
    assert {name for name in found if name.startswith("encoder")} == {"encoder.model.logit_scale"}
    assert found == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert model.has_gradients("text") == ("text_prompts" in trained)
    assert model.has_gradients("vision") == ("vision_prompts" in trained)
    # towers stay in evaluation mode
    assert not model.encoder.model.vision_model.training
    assert not model.encoder.model.text_model.training


def test_a_fixed_temperature_is_neither_trained_nor_mixed() -> None:
    model = PromptedVideoCLIP("tiny", text_prompts=AFFIX, logit_scale=LogitScale(1 / 0.07, trained=False))
    (scale,) = model.encoder.logit_parameters
    assert not scale.requires_grad
    assert_close(model.similarity_to_logits(torch.ones(1)), torch.tensor([1 / 0.07]))
    assert_close(model.original_parameters()["encoder.model.logit_scale"], scale.detach())


@torch.no_grad()
def test_between_frozen_towers_the_temperature_belongs_to_the_prompts() -> None:
    for frozen in (True, False):
        model = PromptedVideoCLIP("tiny", freeze_vision=True, freeze_text=frozen, text_prompts=AFFIX)
        before = float(model.encoder.model.logit_scale)
        model.encoder.model.logit_scale.fill_(1.0)
        original = model.original_parameters()
        assert float(original["encoder.model.logit_scale"]) == pytest.approx(1.0 if frozen else before)
        assert_close(original["text_prompts.table.weight"], model.text_prompts.table.weight)


@torch.no_grad()
def test_text_prompts_do_not_change_the_fingerprint_of_frames_but_vision_prompts_do() -> None:
    model = PromptedVideoCLIP("tiny", text_prompts=AFFIX, vision_prompts=VIDEO)
    before = frame_fingerprint(model, "fp32")
    model.text_prompts.table.weight.add_(1)
    assert frame_fingerprint(model, "fp32") == before
    model.vision_prompts.times.add_(1)
    assert frame_fingerprint(model, "fp32") != before
    assert frame_fingerprint(PromptedVideoCLIP("tiny", text_prompts=AFFIX), "fp32") != before


@torch.no_grad()
def test_text_prompts_leave_the_frames_as_they_are() -> None:
    videos = clips()
    found = PromptedVideoCLIP("tiny", text_prompts=AFFIX).eval().encode_frames(videos)
    assert torch.equal(found, VideoCLIP("tiny").eval().encode_frames(videos))


def test_vision_prompts_relate_frames_and_fix_their_number() -> None:
    text, vision = PromptedVideoCLIP("tiny", text_prompts=AFFIX), PromptedVideoCLIP("tiny", vision_prompts=VIDEO)
    assert (text.relates_frames, text.fixes_frames) == (False, False)
    assert (vision.relates_frames, vision.fixes_frames) == (True, True)
    text.require_trained_positions(3)
    with pytest.raises(UserError, match=r"3 frames, but video_clip\.vision_prompts are for 2 frames"):
        vision.require_trained_positions(3)


@torch.no_grad()
def test_without_a_head_frames_remain_for_a_matcher_of_frames() -> None:
    frames = PromptedVideoCLIP("tiny", vision_prompts=VIDEO).eval().encode_frames(clips())
    pooled = PromptedVideoCLIP("tiny", vision_prompts=VIDEO, temporal_head=MeanPooling).eval().encode_frames(clips())
    assert frames.shape == (2, 2, 128)
    assert pooled.shape == (2, 1, 128)


@torch.no_grad()
def test_long_sentences_leave_room_for_the_prompts() -> None:
    """Those that fit without prompts, but not with them, are truncated with a warning, and keep their end."""
    model = PromptedVideoCLIP("tiny", text_prompts=partial(AffixPrompts, prefix=30, postfix=30)).eval()
    assert model.token_count.limit == 17
    long, cut = " ".join(["drum"] * 40), " ".join(["drum"] * 15)
    sentences = SentenceSet({"name": ((long,), (cut,))})
    with pytest.warns(UserWarning, match=r"1 of 2 name sentences have more than 17 tokens and are truncated"):
        tokens = model.tokenize(sentences)
    assert tokens.tokens["name"].shape[-1] == 17
    first, second = model.encode_sentences(tokens)["name"][:, 0]
    assert_close(first, second)


@torch.no_grad()
def test_prompts_work_in_half_precision() -> None:
    model = PromptedVideoCLIP("tiny", text_prompts=AFFIX, vision_prompts=VIDEO).eval()
    sentences, videos = Templates.load("ost").apply(LABELS, ("name",), 1), clips()
    expected = model.encode_frames(videos), model.encode_sentences(model.tokenize(sentences))["name"]
    with torch.autocast("cpu", torch.bfloat16):
        found = model.encode_frames(videos), model.encode_sentences(model.tokenize(sentences))["name"]
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert_close(one, other, rtol=0, atol=0.05)


@torch.no_grad()
def test_a_saved_folder_contains_the_prompts(tmp_path: Path) -> None:
    prompts = {"text_prompts": AFFIX, "vision_prompts": VIDEO}
    model, videos = PromptedVideoCLIP("tiny", logit_scale=LogitScale(2.0), **prompts).eval(), clips()
    model.save_pretrained(tmp_path)
    again = PromptedVideoCLIP(str(tmp_path), **prompts).eval()
    assert torch.equal(again.encode_frames(videos), model.encode_frames(videos))
    tokens = model.tokenize(Templates.load("ost").apply(LABELS, ("name",), 1))
    assert torch.equal(again.encode_sentences(tokens)["name"], model.encode_sentences(tokens)["name"])
    assert_close(again.similarity_to_logits(torch.ones(1)), torch.tensor([2.0]))


def test_prompts_are_in_the_settings_that_results_and_recognizers_report() -> None:
    assert VideoCLIP("tiny").part_settings() == {}
    model = PromptedVideoCLIP("tiny", text_prompts=partial(ClassContexts, contexts_per_class=3), vision_prompts=VIDEO)
    model.set_training_classes(LABELS)
    found = model.part_settings()
    digest = found["text_prompts"].pop("classes_digest")
    assert len(digest) == 16
    assert found == {
        "text_prompts": {
            "class": "ClassContexts",
            "contexts_per_class": 3,
            "class_specific": True,
            "other_classes": "refuse",
            "classes": 2,
        },
        "vision_prompts": {
            "class": "VideoPrompts",
            "frames": 2,
            "summary": True,
            "local": True,
            "global_prompts": 8,
            "train_projection": True,
            "local_input": "projected",
        },
    }


def test_each_class_of_a_selection_keeps_its_prompts() -> None:
    """The contrastive task encodes the classes of a batch only."""
    model = PromptedVideoCLIP("tiny", text_prompts=partial(ClassContexts, contexts_per_class=3)).eval()
    labels = LabelSpace(("drum", "kite", "riding horse"), {})
    model.set_training_classes(labels)
    tokens = model.tokenize(Templates.load("clip_ucf101").apply(labels, CategoryName.kinds, 1))
    with torch.no_grad():
        everything = model.encode_sentences(tokens)["name"]
        chosen = model.encode_sentences(tokens.select(torch.tensor([2, 0])))["name"]
    assert everything.shape[:2] == (3, 48)
    assert_close(chosen, everything[[2, 0]], rtol=1e-5, atol=1e-5)
