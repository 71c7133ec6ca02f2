"""Attention maps, compared with a plain computation of the vision tower that writes every attention down."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning import Recognizer
from ost_lightning.analysis.relevance import attention_rollout
from ost_lightning.errors import UserError
from ost_lightning.models import MeanPooling, PromptedVideoCLIP, TemporalTransformer, VideoCLIP, VideoPrompts
from ost_lightning.models.encoders import DualEncoder
from ost_lightning.recognition import attention_maps
from ost_lightning.recognition.explanations import MapMethod
from tests.matching.inputs import embeddings
from tests.models.encoders.siglip_miniature import write_siglip
from tests.models.encoders.test_x_clip import folder as xclip_folder  # noqa: F401
from tests.videos import write_video

METHODS: tuple[MapMethod, ...] = ("relevance", "rollout", "class_attention")


@pytest.fixture(scope="module", params=["clip", "siglip"])
def video_clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoCLIP:
    if request.param == "clip":
        return VideoCLIP("tiny").eval()
    return VideoCLIP(str(write_siglip(tmp_path_factory.mktemp("siglip")))).eval()


def frames(count: int = 3) -> Tensor:
    return torch.randint(0, 256, (count, 3, 48, 48), dtype=torch.uint8)


class Plain:
    """The vision tower of a CLIP or SigLIP in double precision, and its attention from the first to the last."""

    def __init__(self, clip: VideoCLIP) -> None:
        self.clip = VideoCLIP(clip.pretrained, attention="eager").eval().double()
        self.vision = self.clip.encoder.model.vision_model
        self.has_class_token = self.clip.encoder.model_type == "clip"

    def attend(self, query: Tensor, key: Tensor, value: Tensor, added: Tensor | None) -> Tensor:
        probabilities = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        if added is not None:
            probabilities = probabilities + added
        self.attentions.append(probabilities)
        return (probabilities @ value).transpose(1, 2).flatten(2)

    def __call__(self, pixels: Tensor, text: Tensor, added: Sequence[Tensor | None] = (None,) * 99) -> Tensor:
        """Logit of each frame with one sentence; `added` is added to each attention."""
        self.attentions: list[Tensor] = []
        offsets = iter(added)
        tokens = self.vision.embeddings(pixels)
        if self.has_class_token:
            tokens = self.vision.pre_layrnorm(tokens)
        for layer in self.vision.encoder.layers:
            own, normed = layer.self_attn, layer.layer_norm1(tokens)
            rows = (part(normed) for part in (own.q_proj, own.k_proj, own.v_proj))
            heads = (row.unflatten(-1, (own.num_heads, -1)).transpose(1, 2) for row in rows)
            tokens = tokens + own.out_proj(self.attend(*heads, next(offsets)))
            tokens = tokens + layer.mlp(layer.layer_norm2(tokens))
        tokens = self.vision.post_layernorm(tokens)
        if self.has_class_token:
            features = self.clip.encoder.model.visual_projection(tokens[:, 0])
        else:
            features = self.pool(self.vision.head, tokens, next(offsets))
        cosines = F.normalize(features, dim=-1) @ text
        return self.clip.encoder.model.logit_scale.exp() * cosines

    def pool(self, head: nn.Module, tokens: Tensor, added: Tensor | None) -> Tensor:
        own, width = head.attention, tokens.shape[-1]
        inputs = (head.probe.expand(len(tokens), -1, -1), tokens, tokens)
        rows = (
            inputs[k] @ own.in_proj_weight[k * width : (k + 1) * width].T
            + own.in_proj_bias[k * width : (k + 1) * width]
            for k in range(3)
        )
        heads = (row.unflatten(-1, (own.num_heads, -1)).transpose(1, 2) for row in rows)
        pooled = own.out_proj(self.attend(*heads, added))[:, 0]
        return pooled + head.mlp(head.layernorm(pooled))


def matrix_relevance(attentions: Sequence[Tensor], gradients: Sequence[Tensor], class_token: bool) -> Tensor:
    """Equations 5 and 6 with whole matrices; without a class token, token 0 is the pooling query."""
    found = torch.eye(attentions[0].shape[-1] + (not class_token), dtype=torch.float64)
    for attention, gradient in zip(attentions, gradients, strict=True):
        mean = (attention * gradient).clamp_min(0).mean(1)
        if not class_token:  # the query attends to all tokens, and no token to the query
            mean = F.pad(mean, (1, 0, 1, 0) if mean.shape[1] > 1 else (1, 0, 0, mean.shape[2]))
        found = found + mean @ found
    return found[:, 0, 1:]


def test_relevance_is_that_of_a_plain_computation(video_clip: VideoCLIP) -> None:
    shown, texts = frames(), embeddings(2, video_clip.embedding_dim)
    plain = Plain(video_clip)
    pixels = video_clip.normalization(shown).double()
    found = attention_maps(video_clip, shown, texts)
    assert found.shape[:2] == (2, 3)
    for n, text in enumerate(texts.double()):
        logits = plain(pixels, text)
        gradients = torch.autograd.grad(logits.sum(), plain.attentions)
        expected = matrix_relevance(plain.attentions, gradients, plain.has_class_token)
        torch.testing.assert_close(found[n].flatten(1).double(), expected, rtol=1e-3, atol=1e-4 * expected.max().item())
        assert (found[n] >= 0).all()
    assert not torch.allclose(found[0], found[1])


def test_gradients_are_changes_of_the_logit(video_clip: VideoCLIP) -> None:
    """Every attention changes by a little; the logit changes as its gradients say."""
    text, plain = embeddings(1, video_clip.embedding_dim)[0].double(), Plain(video_clip)
    pixels = video_clip.normalization(frames(1)).double()
    features, attention = plain.clip.encoder.encode_with_attention(pixels.requires_grad_())
    logit = plain.clip.encoder.model.logit_scale.exp() * (F.normalize(features, dim=-1) @ text)
    gradients = torch.autograd.grad(logit.sum(), attention.tensors)
    with torch.no_grad():
        for k, gradient in enumerate(gradients):
            torch.testing.assert_close(attention.tensors[k].sum(-1), torch.ones_like(attention.tensors[k][..., 0]))
            change = 1e-5 * torch.randn_like(gradient)
            around = [
                float(plain(pixels, text, [sign * change if j == k else None for j in range(len(gradients))]))
                for sign in (1, -1)
            ]
            assert (around[0] - around[1]) / 2 == pytest.approx(float((gradient * change).sum()), rel=1e-4, abs=1e-10)


def test_features_are_those_of_the_encoder(video_clip: VideoCLIP) -> None:
    with torch.no_grad():
        pixels = video_clip.normalization(frames())
        features, attention = video_clip.encoder.encode_with_attention(pixels)
        torch.testing.assert_close(features, video_clip.encoder.encode_pixels(pixels), atol=1e-5, rtol=1e-5)
        shares = attention_rollout(attention).sum(1)
    if attention.has_class_token:
        assert (shares < 1).all()
    else:
        torch.testing.assert_close(shares, torch.ones(3))


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_of_frames_is_explained_by_their_own_maps(video_clip: VideoCLIP, method: MapMethod) -> None:
    """With a mean of frames, a sentence is compared with the mean, so that only relevance changes."""
    pooled = VideoCLIP(video_clip.pretrained, temporal_head=MeanPooling).eval()
    shown, texts = frames(), embeddings(2, video_clip.embedding_dim)
    found, alone = attention_maps(pooled, shown, texts, method), attention_maps(video_clip, shown, texts, method)
    assert torch.allclose(found, alone) == (method != "relevance")
    # the mean of equal frames is the frame, of whose score each has a share
    same = shown[:1].expand(3, -1, -1, -1)
    attention = attention_maps(pooled, same, texts, "relevance", first_layer=-1)
    whole = attention_maps(video_clip, same[:1], texts, "relevance", first_layer=-1)
    if video_clip.encoder.model_type == "clip":  # a single layer is linear in the score
        torch.testing.assert_close(attention, (whole / 3).expand_as(attention), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_a_siglip_explains_a_class_against_another(tmp_path: Path, method: MapMethod) -> None:
    model = Recognizer.load(write_siglip(tmp_path / "siglip"), ["archery", "surfing", "tango"], device="cpu")
    video = write_video(tmp_path / "clip.mp4", count=12)
    first, second = model.explain(video, ["tango", "archery"])
    assert (first.label, second.label) == ("tango", "archery")
    maps = model.maps(first, method)
    assert maps.shape == (1, 8, 3, 3)
    assert (maps >= 0).all()


def test_encoders_that_relate_frames_are_refused_by_name(xclip_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    texts = embeddings(1, 128)
    with pytest.raises(UserError, match="no attention maps for X-CLIP: its frames exchange messages"):
        attention_maps(VideoCLIP(str(xclip_folder)), torch.zeros(4, 3, 32, 32, dtype=torch.uint8), texts)
    with pytest.raises(UserError, match="temporal head relates frames: TemporalTransformer"):
        attention_maps(VideoCLIP("tiny", temporal_head=TemporalTransformer), frames(), texts)
    prompted = PromptedVideoCLIP("tiny", vision_prompts=partial(VideoPrompts, frames=4), temporal_head=MeanPooling)
    with pytest.raises(UserError, match="vision tower has learned prompts, by which the frames"):
        attention_maps(prompted, frames(), texts)
    with pytest.raises(UserError, match="no attention maps for clip: they need"):  # a kind that doesn't define them
        DualEncoder.encode_with_attention(VideoCLIP("tiny").encoder, frames())
    # its frames and texts can't be matched one by one either
    recognizer = Recognizer.load(str(xclip_folder), ["t1", "t2"], device="cpu")
    with pytest.raises(UserError, match="can't be explained by sentences and frames"):
        recognizer.explain(write_video(tmp_path / "clip.mp4", count=12))
