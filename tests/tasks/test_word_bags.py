import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, Trainer
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from ost_lightning.errors import UserError
from ost_lightning.matching import CategoryName, OptimalDescriptorSolver
from ost_lightning.models import LogitScale, MeanPooling, VideoCLIP
from ost_lightning.models.checkpoints.foreign_layouts import correspondences
from ost_lightning.tasks import WordBagRecognition
from ost_lightning.tasks.gathering import process_count, process_rank
from ost_lightning.text import LabelSpace, VideoBag, WordBags
from ost_lightning.video import ClipBatch, VideoRecord
from tests.models.released import converted
from tests.processes import in_processes

FILE = Path(__file__).parent / "maxi.safetensors"
"""Weights, inputs, outputs and gradients of MAXI's released code, at a tiny size."""
VECTORS = load_file(FILE)
with safe_open(FILE, "pt") as opened:
    ABOUT = {name: json.loads(text) for name, text in opened.metadata().items() if text[0] in "[{"}
IDS = tuple(f"{k}.mp4" for k in range(4))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> WordBagRecognition:
    """MAXI's model with the weights of the vectors, from a file in its authors' layout."""
    state = {name[6:]: weight.float() for name, weight in VECTORS.items() if name.startswith("state.")}
    prefix = {"visual": "image_encoder.", "logit_scale": ""}
    prefixes = {name: prefix.get(name.split(".")[0], "text_encoder.") for name in state}
    file = {f"module.{prefixes[name]}{name.removeprefix('visual.')}": weight for name, weight in state.items()}
    folder = tmp_path_factory.mktemp("maxi")
    assert converted(file, folder, key="model").layout == "released"
    clip = VideoCLIP(str(folder / "converted"), temporal_head=MeanPooling)
    assert clip.preprocessing.statistics_name == "imagenet"
    return WordBagRecognition(clip, CategoryName())


def embedded(task: WordBagRecognition) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of the videos, (4, 1, d), and of the texts of their bags, (4, 4, d)."""
    clip, tokens = task.video_clip.eval(), VECTORS["in.token_ids"].long().flatten(0, 1)
    frames = clip.temporal_head(clip.encoder.encode_clips(VECTORS["in.pixels"]))
    lengths = tokens.argmax(-1) + 1
    return torch.nn.functional.normalize(frames, dim=-1), clip.encode_tokens(tokens, lengths).unflatten(0, (4, 4))


@pytest.mark.parametrize(("positives", "name"), [("pairs", "out.loss"), ("pooled", "out.loss_paper")])
def test_loss_and_gradients_are_those_of_the_released_code(task: WordBagRecognition, positives: str, name: str) -> None:
    task.zero_grad()
    frames, texts = embedded(task)
    torch.testing.assert_close(frames[:, 0], VECTORS["out.video_embedding"], rtol=1e-5, atol=1e-6)
    task.positives = positives
    loss = task.loss(frames, texts, VECTORS["in.labels"].long())
    torch.testing.assert_close(loss, VECTORS[name], rtol=1e-5, atol=0)
    if positives == "pooled":
        return
    loss.backward()
    gradients = dict(task.video_clip.encoder.model.named_parameters())
    names = {entry.openai: entry for entry in correspondences(2, 2)}
    tested = [key.removeprefix("grad.") for key in VECTORS if key.startswith("grad.") and key != "grad.logits"]
    assert len(tested) >= 6
    for openai in tested:
        for key, expected in names[openai].to_hugging_face(VECTORS[f"grad.{openai}"]).items():
            found = gradients[key].grad
            assert float((found - expected).norm()) < 1e-4 * float(expected.norm()), openai


@torch.no_grad()
def test_evaluation_is_that_of_the_released_code(task: WordBagRecognition) -> None:
    frames, _ = embedded(task)
    tokens = VECTORS["in.zero_shot_token_ids"].long()
    names = task.video_clip.encode_tokens(tokens, tokens.argmax(-1) + 1)[:, None]
    logits = task.video_clip.similarity_to_logits(task.matcher(frames, names))
    torch.testing.assert_close(logits, VECTORS["out.zero_shot_logits"], rtol=1e-5, atol=1e-5)


def test_sentences_are_those_of_the_released_code(task: WordBagRecognition) -> None:
    """The released draws, in any order."""
    classes = dict(zip(ABOUT["class_names"], map(tuple, ABOUT["class_words"]), strict=True))
    names = [ABOUT["class_names"][label] for label in VECTORS["in.labels"].tolist()]
    bags = [VideoBag(name, tuple(words)) for name, words in zip(names, ABOUT["video_words"], strict=True)]
    made = WordBagRecognition(task.video_clip, CategoryName(), bag_size=4, templates="maxi")
    made._bags = WordBags(dict(zip(IDS, bags, strict=True)), classes)
    made._names = {name: name for name in classes}
    for id_, prompts in zip(IDS, ABOUT["prompts"], strict=True):
        found = {tuple(sorted(made._sentences(id_))) for _ in range(200)}
        assert tuple(sorted(prompts)) in found
    made._bags = replace(made._bags, videos={"x": VideoBag("class0")}, classes={})
    assert made._sentences("x") == ("a photo of a class0.",) * 4


class OneBatch(LightningDataModule):
    """The same four videos at every step, with labels that are all wrong."""

    def __init__(self, steps: int = 1) -> None:
        super().__init__()
        frames = torch.randint(0, 256, (4, 1, 2, 3, 48, 48), dtype=torch.uint8)
        self.batch = ClipBatch(frames, torch.full((4,), 99), torch.ones(4, dtype=torch.bool), IDS)
        self.steps = steps

    def train_dataloader(self) -> DataLoader:
        loader = DataLoader(Records([self.batch] * self.steps), batch_size=None)
        loader.labels = LabelSpace(("juggling", "riding"))
        return loader


class Records(list):
    records = tuple(VideoRecord(id_, 0, id_) for id_ in IDS)


def fit(folder: Path, task: WordBagRecognition, data: OneBatch) -> None:
    Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    ).fit(task, datamodule=data)


def bags_file(folder: Path, **changed: VideoBag) -> Path:
    names = ("juggling", "riding", "juggling", "riding")
    videos = {id_: VideoBag(name, ("throw", f"w{k}")) for k, (id_, name) in enumerate(zip(IDS, names, strict=True))}
    WordBags({**videos, **changed}, {"riding": ("ride", "gallop")}).save(folder / "bags.jsonl")
    return folder / "bags.jsonl"


def test_training_reads_no_labels_and_leaves_token_embeddings_alone(tmp_path: Path) -> None:
    clip = VideoCLIP(
        "tiny",
        temporal_head=MeanPooling,
        frozen_weights=["*token_embedding*"],
        logit_scale=LogitScale(initial=50, maximum=1000),
    )
    before = {name: weight.detach().clone() for name, weight in clip.named_parameters()}
    task = WordBagRecognition(clip, CategoryName(), bags=bags_file(tmp_path), bag_size=3, templates="maxi")
    fit(tmp_path, task, OneBatch(steps=3))
    changed = {name for name, weight in clip.named_parameters() if not torch.equal(weight, before[name])}
    assert before.keys() - changed == {"encoder.model.text_model.embeddings.token_embedding.weight"}
    assert task.training_texts == {"words": WordBags.load(task.bags).digest}


def test_bags_of_other_videos_are_rejected_before_the_first_step(tmp_path: Path) -> None:
    clip = VideoCLIP("tiny", temporal_head=MeanPooling)
    unknown = bags_file(tmp_path, **{"other.mp4": VideoBag("riding")})
    with pytest.raises(UserError, match=r"bags of videos that the training list doesn't have \(first: other\.mp4\)"):
        fit(tmp_path, WordBagRecognition(clip, CategoryName(), bags=unknown), OneBatch())
    with pytest.raises(UserError, match=r"set model\.bags to a file that `ost bags match` wrote"):
        fit(tmp_path, WordBagRecognition(clip, CategoryName()), OneBatch())


def test_matchers_of_descriptors_and_empty_bags_are_rejected() -> None:
    clip = VideoCLIP("tiny")
    with pytest.raises(UserError, match=r"OptimalDescriptorSolver needs descriptors.*set model\.matcher to"):
        WordBagRecognition(clip, OptimalDescriptorSolver())
    with pytest.raises(UserError, match=r"bag_size is 0"):
        WordBagRecognition(clip, CategoryName(), bag_size=0)


def bag_gradients(contrast: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of the own videos, of four in all processes together, with bags of two sentences."""
    generator = torch.Generator().manual_seed(0)
    frames, texts = torch.randn(4, 1, 128, generator=generator), torch.randn(4, 2, 128, generator=generator)
    labels = torch.tensor([0, 1, 0, 2])
    own = slice(None)
    if process_count() > 1:
        share = 4 // process_count()
        own = slice(process_rank() * share, (process_rank() + 1) * share)
    unit = [torch.nn.functional.normalize(part, dim=-1)[own].requires_grad_() for part in (frames, texts)]
    task = WordBagRecognition(VideoCLIP("tiny"), CategoryName(), contrast=contrast)
    loss = task.loss(*unit, labels[own])
    loss.backward()
    return loss.detach(), unit[0].grad


def save_bag_gradients(folder: Path) -> None:
    found = {contrast: bag_gradients(contrast) for contrast in ("device", "micro_batch")}
    torch.save(found, folder / f"{process_rank()}.pt")


@pytest.mark.slow  # every process imports PyTorch and Lightning for seconds
def test_videos_are_contrasted_on_one_device_or_on_all(tmp_path: Path) -> None:
    in_processes(2, save_bag_gradients, tmp_path)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    loss, gradient = bag_gradients("micro_batch")
    for rank in range(2):
        torch.testing.assert_close(found[rank]["micro_batch"][0], loss)
        # the sum over both processes, which DDP averages
        torch.testing.assert_close(found[rank]["micro_batch"][1], 2 * gradient[2 * rank : 2 * rank + 2])
    assert not torch.allclose(found[0]["device"][0], loss)
    assert not torch.allclose(found[0]["device"][0], found[1]["device"][0])
