import csv
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import XCLIPConfig, XCLIPModel

from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import DescriptorEmbeddings, MeanPooling, VideoCLIP
from ost_lightning.text import SentenceSet
from tests.models.foreign import tokenizer

FRAMES = 4
SENTENCES = SentenceSet({"name": (("t1 t2",), ("t7",), ("t3 t4 t5 t6 t9",), ("t300 t20",), ("t8",))})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random X-CLIP whose prompts have a visible effect."""
    torch.manual_seed(0)
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**vision, "vocab_size": 512, "bos_token_id": 510, "eos_token_id": 511, "pad_token_id": 511}
    vision |= {"image_size": 32, "patch_size": 8, "num_frames": FRAMES}
    vision |= {"mit_hidden_size": 48, "mit_intermediate_size": 96, "mit_num_attention_heads": 3}
    config = XCLIPConfig(
        vision_config=vision, text_config=text, projection_dim=48, prompt_num_attention_heads=3, prompt_alpha=0.7
    )
    model = XCLIPModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("xclip")
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def clips(batch: int = 3, frames: int = FRAMES) -> torch.Tensor:
    return torch.randint(0, 256, (batch, frames, 3, 32, 32), dtype=torch.uint8)


def match(model: VideoCLIP, matcher: Matcher, frames: Tensor, texts: DescriptorEmbeddings) -> Tensor:
    similarities: Tensor = model.adapt_matcher(matcher)(frames, *(texts[kind] for kind in matcher.kinds))
    return similarities


@torch.no_grad()
def test_logits_are_those_of_hugging_face(folder: Path) -> None:
    videos, model = clips(), VideoCLIP(str(folder)).eval()
    tokens = model.tokenize(SENTENCES)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    reference = XCLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    expected = reference(pixel_values=(videos / 255 - mean) / std, input_ids=tokens.tokens["name"][:, 0])
    found = match(model, CategoryName(), model.encode_frames(videos), model.encode_sentences(tokens))
    torch.testing.assert_close(model.similarity_to_logits(found), expected.logits_per_video, atol=1e-4, rtol=0)
    # the texts do depend on the video
    assert float((expected.text_embeds[0] - expected.text_embeds[1]).abs().max()) > 1e-3


@torch.no_grad()
def test_videos_are_independent_of_each_other(folder: Path) -> None:
    videos, model = clips(), VideoCLIP(str(folder)).eval()
    texts = model.encode_sentences(model.tokenize(SENTENCES))
    together = match(model, CategoryName(), model.encode_frames(videos), texts)
    for index in range(len(videos)):
        alone = match(model, CategoryName(), model.encode_frames(videos[[index]]), texts)
        torch.testing.assert_close(together[[index]], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_several_sentences_per_class_are_prompted_separately(folder: Path) -> None:
    videos, model = clips(2), VideoCLIP(str(folder)).eval()
    sentences = SentenceSet({"spatio": (("t1", "t2"), ("t3", "t4")), "temporal": (("t5", "t6"), ("t7", "t8"))})
    texts = model.encode_sentences(model.tokenize(sentences))
    embedded = model.encode_frames(videos)
    found = match(model, OptimalDescriptorSolver(), embedded, texts)
    for index in range(2):
        rows = []
        for kind in ("spatio", "temporal"):
            raw = texts[kind].flatten(0, 1)[None]
            prompted = raw + model.encoder.model.prompts_generator(raw, embedded[[index], 1:])
            rows.append(normalize(prompted[0], dim=-1).unflatten(0, (2, 2)))
        expected = OptimalDescriptorSolver()(normalize(embedded[[index], :1], dim=-1), *rows)
        torch.testing.assert_close(found[[index]], expected, atol=1e-5, rtol=0)


def test_unsupported_inputs_and_settings_are_rejected(folder: Path) -> None:
    model = VideoCLIP(str(folder))
    with pytest.raises(UserError, match=r"3 frames, but .* reads 4: set the data's clips\.frames to 4"):
        model.encode_frames(clips(frames=3))
    with pytest.raises(UserError, match=r"crop_size to 32"):
        model.encode_frames(torch.zeros((1, FRAMES, 3, 48, 48), dtype=torch.uint8))
    with pytest.raises(UserError, match=r"it takes no video_clip\.temporal_head"):
        VideoCLIP(str(folder), temporal_head=MeanPooling)


def test_evaluation_through_the_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ost"])
    options = ["--config=toyworld", f"--model.video_clip.pretrained={folder}"]
    options += ["--model.matcher=CategoryName", "--trainer.callbacks=[]", f"--data.clips.frames={FRAMES}"]
    options += ["--data.clips.crop_size=32", "--data.test_clips=1", "--data.loading.workers=0"]
    options += ["--tracking.wandb=false", "--trainer.enable_progress_bar=false", "--trainer.logger=false"]
    assert main(["test", *options]) == 0
    with Path("runs/toyworld/version_0/metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert float(row["test/unseen/videos"]) == 20
    assert 0 <= float(row["test/unseen/top1"]) <= 1
