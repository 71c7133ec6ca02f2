import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from transformers import AutoTokenizer, CLIPModel

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, VideoCLIP
from ost_lightning.resources import tiny_clip_folder
from ost_lightning.text import SentenceSet, Templates
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.vocabulary import SENTENCE_KINDS

SENTENCES = SentenceSet(
    {
        "name": (("a video of a person kicking drum.",), ("drum",)),
        "spatio": (("a meadow", "an orange kite that is on a sandy beach by the sea"), ("x", "a b c d e f g h i j")),
    }
)


@pytest.fixture(scope="module")
def video_clip() -> VideoCLIP:
    return VideoCLIP("tiny")


@pytest.fixture(scope="module")
def reference() -> CLIPModel:
    return CLIPModel.from_pretrained(tiny_clip_folder(), dtype=torch.float32).eval()


def clips(batch: int = 2, frames: int = 3, side: int = 48) -> torch.Tensor:
    return torch.randint(0, 256, (batch, frames, 3, side, side), dtype=torch.uint8)


@torch.no_grad()
def test_frame_embeddings_are_those_of_hugging_face(video_clip: VideoCLIP, reference: CLIPModel) -> None:
    videos = clips()
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    expected = reference(
        pixel_values=(videos.flatten(0, 1) / 255 - mean) / std, input_ids=torch.tensor([[0, 1]])
    ).image_embeds
    torch.testing.assert_close(video_clip.encode_frames(videos).flatten(0, 1), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_sentence_embeddings_are_those_of_hugging_face(video_clip: VideoCLIP, reference: CLIPModel) -> None:
    embedded = video_clip.encode_sentences(video_clip.tokenize(SENTENCES))
    tokenizer = AutoTokenizer.from_pretrained(tiny_clip_folder())
    for kind, rows in SENTENCES.sentences.items():
        assert embedded[kind].shape[:2] == (len(rows), len(rows[0]))
        for row, vectors in zip(rows, embedded[kind], strict=True):
            for sentence, vector in zip(row, vectors, strict=True):
                # a single sentence, padded to all positions and masked
                tokens = tokenizer(sentence, padding="max_length", max_length=77, return_tensors="pt")
                expected = normalize(reference.get_text_features(**tokens).pooler_output, dim=-1)[0]
                torch.testing.assert_close(vector, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_selected_classes_have_the_same_embeddings(video_clip: VideoCLIP) -> None:
    tokens = video_clip.tokenize(Templates.load("ost").apply(label_space(0, "unseen"), SENTENCE_KINDS, 4))
    everything = video_clip.encode_sentences(tokens)
    chosen = torch.tensor([7, 2, 2])
    for kind, rows in video_clip.encode_sentences(tokens.select(chosen)).items():
        torch.testing.assert_close(rows, everything[kind][chosen], atol=1e-5, rtol=0)


@torch.no_grad()
def test_embeddings_are_unit_vectors_in_full_precision(video_clip: VideoCLIP) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        frames = video_clip.encode_frames(clips())
        texts = video_clip.encode_sentences(video_clip.tokenize(SENTENCES))
    for embedded in (frames, *texts.values()):
        assert embedded.dtype == torch.float32
        torch.testing.assert_close(embedded.norm(dim=-1), torch.ones(embedded.shape[:-1]), atol=1e-5, rtol=0)


def test_pixel_statistics() -> None:
    videos = clips(1, 1)
    imagenet = VideoCLIP("tiny", pixel_statistics="imagenet")
    with torch.no_grad():
        assert not torch.allclose(imagenet.encode_frames(videos), VideoCLIP("tiny").encode_frames(videos), atol=1e-4)
    # the mean is that of ImageNet
    torch.testing.assert_close(
        imagenet.normalization._mean.flatten(), torch.tensor([0.485, 0.456, 0.406]), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(("vision", "text"), [(False, False), (True, False), (False, True), (True, True)])
def test_freezing(vision: bool, text: bool) -> None:
    model = VideoCLIP("tiny", freeze_vision=vision, freeze_text=text)
    loss = model.encode_frames(clips()).sum()
    loss = loss + sum(rows.sum() for rows in model.encode_sentences(model.tokenize(SENTENCES)).values())
    model.similarity_to_logits(loss).backward()
    for name, parameter in model.named_parameters():
        frozen = (vision and "vis" in name) or (text and "text" in name)
        assert parameter.requires_grad != frozen, name
        assert (parameter.grad is None) == frozen, name


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    videos, gradients = clips(), []
    for checkpointing in (False, True):
        model = VideoCLIP("tiny", gradient_checkpointing=checkpointing)
        model.encode_frames(videos)[..., 0].sum().backward()
        weight = model.encoder.model.vision_model.encoder.layers[0].mlp.fc1.weight
        gradients.append(weight.grad.clone())
        assert model.encoder.model.vision_model.encoder.layers[0].gradient_checkpointing == checkpointing
    torch.testing.assert_close(gradients[0], gradients[1])


def test_original_parameters_do_not_follow_training() -> None:
    model = VideoCLIP("tiny")
    with torch.no_grad():
        model.encoder.model.logit_scale += 1
    original = model.original_parameters()
    assert set(original) == {name for name, _ in model.named_parameters()}
    assert float(model.encoder.model.logit_scale.detach() - original["encoder.model.logit_scale"]) == 1


@torch.no_grad()
def test_saved_folder_is_read_again(tmp_path: Path, video_clip: VideoCLIP) -> None:
    video_clip.save_pretrained(tmp_path)
    again = VideoCLIP(str(tmp_path))
    videos = clips()
    assert torch.equal(again.encode_frames(videos), video_clip.encode_frames(videos))
    first, second = (model.encode_sentences(model.tokenize(SENTENCES))["spatio"] for model in (again, video_clip))
    assert torch.equal(first, second)


def test_the_error_for_a_wrong_frame_size_names_the_setting(video_clip: VideoCLIP) -> None:
    with pytest.raises(UserError, match=r"32 x 32 pixels, but tiny reads 48 x 48: set .*crop_size to 48"):
        video_clip.encode_frames(clips(side=32))


def test_truncated_sentences_cause_a_warning(video_clip: VideoCLIP) -> None:
    long = SentenceSet({"name": (("drum " * 100,), ("drum",))})
    with pytest.warns(
        UserWarning, match=r"1 of 2 name sentences have more than 77 tokens .*truncated \(first: 'drum drum"
    ):
        tokens = video_clip.tokenize(long)
    assert tokens.tokens["name"].shape == (2, 1, 77)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        video_clip.tokenize(SENTENCES)


def test_missing_models_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no pre-trained model 'nobody/nothing'.*or use `tiny`"):
        VideoCLIP("nobody/nothing")
    shutil.copy(tiny_clip_folder() / "config.json", tmp_path)
    with pytest.raises(CheckpointError, match=rf"model folder {tmp_path} can't be read: its weights are missing"):
        VideoCLIP(str(tmp_path))


def test_incomplete_weights_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(tiny_clip_folder(), folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"not a complete CLIPModel .*: 16 are missing .*text_model"):
        VideoCLIP(str(folder))


def test_a_missing_tokenizer_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "mute"
    shutil.copytree(tiny_clip_folder(), folder, ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(CheckpointError, match=r"tokenizer of .*mute has 2 tokens, but the model has 9\d\d"):
        VideoCLIP(str(folder))
