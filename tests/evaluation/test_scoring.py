import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ost_lightning.evaluation import embed, probabilities, similarities
from ost_lightning.matching import CategoryName, Matcher, OptimalDescriptorSolver
from ost_lightning.models import VideoCLIP
from ost_lightning.text import Templates
from ost_lightning.toyworld.dataset import label_space


@pytest.fixture(scope="module")
def video_clip() -> VideoCLIP:
    return VideoCLIP("tiny").eval().requires_grad_(False)


def texts_of(video_clip: VideoCLIP, matcher: Matcher) -> dict[str, Tensor]:
    sentences = Templates.load("ost").apply(label_space(0, "unseen"), matcher.kinds, 4)
    return dict(video_clip.encode_sentences(video_clip.tokenize(sentences)))


def clips(videos: int = 2, views: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (videos, views, 4, 3, 48, 48), dtype=torch.uint8, generator=generator)


def test_embeddings_keep_videos_and_views_apart(video_clip: VideoCLIP) -> None:
    embedded = embed(video_clip, clips())
    assert embedded.shape == (2, 3, 4, video_clip.encode_frames(clips()[0, :1]).shape[-1])
    torch.testing.assert_close(embedded[1, 2], video_clip.encode_frames(clips()[1, 2:])[0])


def test_views_are_averaged_as_probabilities(video_clip: VideoCLIP) -> None:
    matcher = OptimalDescriptorSolver()
    texts, embedded = texts_of(video_clip, matcher), embed(video_clip, clips())
    together = probabilities(video_clip, matcher, texts, embedded)
    views = torch.stack([probabilities(video_clip, matcher, texts, embedded[:, [view]]) for view in range(3)])
    torch.testing.assert_close(together, views.mean(0))
    torch.testing.assert_close(together.sum(1), torch.ones(2))


def test_one_view_is_the_softmax_of_the_scaled_similarities(video_clip: VideoCLIP) -> None:
    matcher = CategoryName()
    texts, embedded = texts_of(video_clip, matcher), embed(video_clip, clips(views=1))
    cosines = embedded[:, 0].mean(1) @ F.normalize(texts["name"].mean(1), dim=-1).T
    expected = (video_clip.similarity_to_logits(torch.ones(())) * cosines).softmax(-1)
    torch.testing.assert_close(probabilities(video_clip, matcher, texts, embedded), expected)


class Recording(CategoryName):
    """Records whether it computes in mixed precision."""

    autocast: bool | None = None

    def forward(self, frames: Tensor, *texts: Tensor) -> Tensor:
        self.autocast = torch.is_autocast_enabled("cpu")
        return super().forward(frames, *texts)


def test_similarities_are_in_full_precision_under_autocast(video_clip: VideoCLIP) -> None:
    matcher = Recording()
    texts, embedded = texts_of(video_clip, matcher), embed(video_clip, clips())
    exact = (
        similarities(video_clip, matcher, texts, embedded.flatten(0, 1)),
        probabilities(video_clip, matcher, texts, embedded),
    )
    with torch.autocast("cpu", torch.bfloat16):
        found = similarities(video_clip, matcher, texts, embedded.flatten(0, 1))
        assert torch.is_autocast_enabled("cpu")  # enabled again afterwards
        shares = probabilities(video_clip, matcher, texts, embedded)
    assert matcher.autocast is False
    assert found.dtype == shares.dtype == torch.float32
    assert torch.equal(found, exact[0])
    assert torch.equal(shares, exact[1])
