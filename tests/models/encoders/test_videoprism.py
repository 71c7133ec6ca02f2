import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import processors

from ost_lightning.errors import UserError
from ost_lightning.models import CheckpointError, VideoCLIP, frame_fingerprint
from ost_lightning.models.encoders import encoder_class
from ost_lightning.models.encoders.videoprism import canonicalize
from ost_lightning.models.lora import AdaptedVideoCLIP
from ost_lightning.recognition.timelines.embedding import require_single_frames
from tests.models.encoders.families import FAMILIES, changed_config, clips

FAMILY = FAMILIES["VideoPrism"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILY.write(tmp_path_factory.mktemp("videoprism"))


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoCLIP:
    return VideoCLIP(str(folder)).eval()


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 4, 7])
def test_vectors_of_videoprism_are_the_parts_of_the_vector_of_the_clip(
    frames: int, folder: Path, model: VideoCLIP
) -> None:
    """In each attention head of the pooling, the clip is a weighted mean of the frames."""
    reference = FAMILY.reference(folder)
    videos = clips(2, frames)
    resized = {"interpolate_pos_encoding": frames != 4}
    whole = reference.video_model(videos / 255, **resized)
    found = model.encode_frames(videos)
    assert found.shape == (2, frames, 32)
    if frames == 1:
        torch.testing.assert_close(found, whole.pooler_output, atol=1e-5, rtol=0)

    head, values, weights = reference.video_model.head, [], []
    tokens = whole.last_hidden_state
    query = head.q_proj(head.pooling_attention_query) * head.scaling
    query = query.unflatten(-1, (2, -1)) * torch.nn.functional.softplus(head.per_dim_scale)
    for part in (tokens, *tokens.unflatten(1, (frames, -1)).unbind(1)):
        exponents = torch.einsum("xyhc,blhc->bhl", query, head.k_proj(part).unflatten(-1, (2, -1))).exp()
        summed = torch.einsum("bhl,blhc->bhc", exponents, head.v_proj(part).unflatten(-1, (2, -1)))
        weights.append(exponents.sum(-1))
        values.append(summed / weights[-1][..., None])
    shares = torch.stack(weights[1:]) / weights[0]
    torch.testing.assert_close(shares.sum(0), torch.ones_like(shares[0]))
    torch.testing.assert_close((shares[..., None] * torch.stack(values[1:])).sum(0), values[0], atol=1e-5, rtol=1e-4)
    vectors = [reference.video_model.head_layernorm(head.o_proj(value.flatten(1))) for value in values]
    expected = torch.nn.functional.normalize(torch.stack(vectors[1:], 1), dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        torch.nn.functional.normalize(vectors[0], dim=-1), whole.pooler_output[:, 0], atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_a_frame_depends_on_its_clip_and_nothing_treats_it_as_single(folder: Path, model: VideoCLIP) -> None:
    videos = clips(2, 4)
    videos[1, 0] = videos[0, 0]
    first, second = model.encode_frames(videos)[:, 0]
    assert float((first - second).abs().max()) > 1e-3
    assert model.relates_frames
    with pytest.raises(UserError, match="the encoder VideoPrismEncoder, which relates the frames of a clip"):
        require_single_frames(model)


@torch.no_grad()
def test_an_image_is_a_clip_of_one_frame_to_videoprism(model: VideoCLIP) -> None:
    encoder, pixels = model.encoder, torch.rand(3, 3, 48, 48)
    torch.testing.assert_close(encoder.encode_pixels(pixels), encoder.encode_clips(pixels[:, None])[:, 0])


def test_videoprism_is_not_trained(folder: Path, model: VideoCLIP) -> None:
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.encoder.backbone_name == "VideoPrism-2+1+1x32/16 at 48"
    with pytest.raises(UserError, match="videoprism is for evaluation only"):
        AdaptedVideoCLIP(str(folder))


@torch.no_grad()
def test_saving_and_fingerprints(folder: Path, model: VideoCLIP, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again, videos = VideoCLIP(str(tmp_path)).eval(), clips()
    assert torch.equal(again.encode_frames(videos), model.encode_frames(videos))
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(model, "fp32")
    for parameter in again.encoder.tower("text").parameters():
        parameter.add_(1)
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(model, "fp32")
    again.encoder.model.video_model.head.per_dim_scale.add_(1)
    assert frame_fingerprint(again, "fp32") != frame_fingerprint(model, "fp32")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [("Hello, World!", "hello world."), ("Hello,World..", "hello world."), ("  Hello   WORLD", "hello world.")],
)
def test_sentences_for_videoprism_are_canonicalized(sentence: str, expected: str) -> None:
    """The examples of the publisher's documentation."""
    assert canonicalize(sentence) == expected == canonicalize(expected)


def test_a_tokenizer_that_adds_an_end_token_is_not_that_of_videoprism(folder: Path, tmp_path: Path) -> None:
    """T5's tokenizer has the same pieces, and adds one."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "tokenizer.json"
    added = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    content = json.loads(file.read_text()) | {"post_processor": json.loads(added.__getstate__())}
    file.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"adds \['</s>'\] to sentences"):
        VideoCLIP(str(tmp_path))


def test_images_that_are_not_square_are_rejected(folder: Path, tmp_path: Path) -> None:
    changed = changed_config(folder, tmp_path / "changed", "vision", image_size=[48, 64])
    with pytest.raises(CheckpointError, match=r"image_size is .* expected one number or two equal ones"):
        encoder_class(str(changed)).load_preprocessing(str(changed))
