import math

import pytest
import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.evaluation import TransductiveCache


@pytest.fixture
def videos() -> tuple[Tensor, Tensor, list[str]]:
    """Probabilities (12, 3), frames (12, 4, 8) and ids of videos at random."""
    generator = torch.Generator().manual_seed(3)
    frames = torch.nn.functional.normalize(torch.randn(12, 4, 8, generator=generator), dim=-1)
    return torch.randn(12, 3, generator=generator).softmax(1), frames, [f"v{k}" for k in range(12)]


def by_definition(cache: TransductiveCache, probabilities: Tensor, frames: Tensor, ids: list[str]) -> Tensor:
    """One video and one class at a time."""
    probabilities, frames = probabilities.double(), frames.double()
    order = cache.arrival(ids)
    adapted = torch.zeros_like(probabilities)
    for arrived, video in enumerate(order):
        known = order[: arrived + 1] if cache.online else order
        center = frames[known].mean((0, 1))
        for label in range(probabilities.shape[1]):
            own = [other for other in known if int(probabilities[other].argmax()) == label]
            own.sort(key=lambda other: float(-(probabilities[other] * probabilities[other].log()).sum()))
            logit = math.log(float(probabilities[video, label]))
            for other in own[: cache.capacity]:
                pairs = zip(frames[video] - center, frames[other] - center, strict=True)
                cosine = sum(float(torch.cosine_similarity(one, two, dim=0)) for one, two in pairs) / frames.shape[1]
                logit += cache.weight * math.exp(-cache.sharpness * (1 - cosine))
            adapted[video, label] = logit
    return adapted.softmax(1)


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("capacity", [1, 2, 100])
def test_scores_are_those_of_the_definition(
    videos: tuple[Tensor, Tensor, list[str]], online: bool, capacity: int
) -> None:
    cache = TransductiveCache(capacity, weight=2.5, sharpness=1.5, online=online)
    found = cache.adapt(*videos)
    torch.testing.assert_close(found, by_definition(cache, *videos), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found, videos[0].double(), atol=1e-3)


@pytest.mark.parametrize("online", [False, True])
def test_the_order_of_the_list_changes_nothing(videos: tuple[Tensor, Tensor, list[str]], online: bool) -> None:
    probabilities, frames, ids = videos
    cache = TransductiveCache(2, online=online)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = cache.adapt(probabilities[order], frames[order], [ids[k] for k in order])
    torch.testing.assert_close(moved, cache.adapt(*videos)[order])


def test_only_online_scores_depend_on_the_arrival(videos: tuple[Tensor, Tensor, list[str]]) -> None:
    scores = {
        (online, seed): TransductiveCache(2, online=online, seed=seed).adapt(*videos)
        for online in (False, True)
        for seed in (0, 1, None)
    }
    for seed in (1, None):
        torch.testing.assert_close(scores[False, 0], scores[False, seed])
        assert not torch.allclose(scores[True, 0], scores[True, seed])


def test_the_first_video_online_sees_only_itself(videos: tuple[Tensor, Tensor, list[str]]) -> None:
    probabilities, frames, ids = videos
    cache = TransductiveCache(online=True)
    first = cache.arrival(ids)[0]
    alone = cache.adapt(probabilities[[first]], frames[[first]], [ids[first]])
    torch.testing.assert_close(cache.adapt(*videos)[first], alone[0])


def test_no_weight_changes_nothing(videos: tuple[Tensor, Tensor, list[str]]) -> None:
    torch.testing.assert_close(TransductiveCache(weight=0).adapt(*videos), videos[0].double(), rtol=1e-6, atol=1e-8)


def test_confident_neighbors_decide() -> None:
    """An unsure video is of the class of the confident video that looks the same."""
    frames = torch.eye(4)[[0, 1, 0]][:, None]
    probabilities = torch.tensor([[0.98, 0.02], [0.02, 0.98], [0.45, 0.55]])
    assert TransductiveCache(capacity=1).adapt(probabilities, frames, ["a", "b", "c"]).argmax(1).tolist() == [0, 1, 0]


def test_certain_probabilities_and_equal_videos_stay_finite() -> None:
    frames = torch.ones(3, 2, 4) / 2
    found = TransductiveCache(weight=100).adapt(torch.eye(3), frames, ["a", "a", "a"])
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.sum(1), torch.ones(3, dtype=torch.float64))


def test_no_videos_are_no_error() -> None:
    assert TransductiveCache().adapt(torch.zeros(0, 3), torch.zeros(0, 4, 8), []).shape == (0, 3)


@pytest.mark.parametrize(
    ("setting", "value"), [("capacity", 0), ("weight", -1.0), ("weight", math.inf), ("sharpness", 0.0)]
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UserError, match=f"TransductiveCache.{setting} is {value}"):
        TransductiveCache(**{setting: value})
