"""What the study learns from videos of seen classes."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn.functional import normalize

FOLDER = Path(__file__).parents[2] / "studies/beyond"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("reliability")


def test_means_are_shrunk_by_their_noise(study: ModuleType) -> None:
    exact = [torch.full((4,), value) for value in (1.0, 2.0, 6.0)]
    torch.testing.assert_close(study.shrunk(exact), torch.tensor([1.0, 2.0, 6.0]))
    # groups that differ less than their samples do are all alike
    noisy = [torch.tensor([-5.0, 5.2]), torch.tensor([5.0, -5.0]), torch.tensor([-5.0, 5.1])]
    torch.testing.assert_close(study.shrunk(noisy), torch.full((3,), 0.05))
    some = [torch.tensor([0.0, 2.0]), torch.tensor([3.0, 5.0])]  # variances 4.5 of the means, 1 of their noise
    torch.testing.assert_close(study.shrunk(some), 2.5 + 3.5 / 4.5 * torch.tensor([-1.5, 1.5]))


def test_every_class_has_videos_in_every_part(study: ModuleType) -> None:
    labels = torch.arange(3).repeat_interleave(10)[torch.randperm(30, generator=torch.Generator().manual_seed(0))]
    encoded = study.Encoded(torch.arange(30), labels, {})
    parts = [study.part(encoded, number) for number in range(3)]
    assert [one.labels.bincount().tolist() for one in parts] == [[4] * 3, [2] * 3, [4] * 3]
    assert torch.cat([one.frames for one in parts]).sort().values.tolist() == list(range(30))
    assert all(torch.equal(labels[one.frames], one.labels) for one in parts)


def test_a_descriptor_of_another_class_is_less_reliable(study: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    texts = normalize(torch.randn(6, 4, 32, generator=generator), dim=-1)
    labels = torch.arange(6).repeat_interleave(5)
    noise = torch.randn(30, 4, 32, generator=generator)
    frames = normalize(texts[labels] + 0.05 * noise, dim=-1)
    wrong = texts.clone()
    wrong[2, 1] = texts[4, 3]
    encoded = study.Encoded(frames, labels, {"spatio": texts, "temporal": wrong})
    found = study.reliabilities(encoded)
    assert int(found["temporal"].flatten().argmin()) == 2 * 4 + 1
    weights = study.weights_of(found, 0.5)
    assert float(weights["temporal"][2, 1]) < 0.1
    torch.testing.assert_close(weights["temporal"].sum(-1), torch.ones(6))
    # an unseen descriptor takes what the closest sentence has
    unseen = replace(encoded, texts={kind: each[:, [3, 2, 1, 0]] for kind, each in encoded.texts.items()})
    taken = study.most_similar(encoded, unseen, found)
    torch.testing.assert_close(taken["spatio"], found["spatio"][:, [3, 2, 1, 0]])
    torch.testing.assert_close(study.weighted(encoded), study.weighted(encoded, study.weights_of(taken, 1e9)))


def test_orders_are_shuffled_in_a_share_of_the_classes(study: ModuleType) -> None:
    steps = torch.arange(12.0)[:, None, None] * 10 + torch.arange(4.0)[:, None]
    encoded = study.Encoded(torch.zeros(0), torch.zeros(0), {"temporal": steps})
    assert torch.equal(study.with_some_shuffled(encoded, 0, 0).texts["temporal"], steps)
    some = study.with_some_shuffled(encoded, 1 / 3, 1).texts["temporal"]
    assert torch.equal(some.sort(1).values, steps)
    assert 1 <= int((some != steps).any(1).sum()) <= 4
